"""What an organisation's runs are made of. Every table here lives in the organisation's own schema.

| row        | written by                                  | in which transaction |
|------------|---------------------------------------------|----------------------|
| Run        | lifecycle (create, cancel), log.append      | with its events      |
| Event      | log.append alone                            | with the run's `last_seq` |
| Effect     | engine                                      | claimed with the model's answer, settled with the result |
| Approval   | engine (asks), approvals (decides)          | with the model's answer; with the decision's event |
| Checkpoint | engine                                      | with `step.completed` |
| LiveText   | live text of the step that is running       | its own; unlogged, may be lost |
| LedgerEntry | budgets                                    | reserved in its own, settled with the model's answer |
| Budget     | budgets (set, remove)                       | with its audit row   |
| KeptAnswer | idempotency                                 | with what the request did |
| McpServer  | mcp.servers (admins), mcp.health (calls)    | with its audit row; its own |
| Schedule   | scheduling.keeping (people), scheduling.firing (the clock) | with its audit row; with the firing |
| Webhook    | outbox.webhooks (admins), outbox.courier     | with its audit row; its own |
| Delivery   | a trigger on runs_event, outbox.emitting; outbox.courier | with the events; with what came of it |
| Firing     | scheduling.firing                           | with the run it started and the next due time |
"""

from runs.models.approval import Approval
from runs.models.budget import Budget, LedgerEntry
from runs.models.effect import Effect
from runs.models.history import Checkpoint, Event, LiveText
from runs.models.kept_answer import KeptAnswer
from runs.models.mcp_server import McpServer
from runs.models.run import DEFAULT_AGENT, Run
from runs.models.schedule import Firing, Schedule
from runs.models.session import DEFAULT_SESSION_KEY, SESSION_KEY_PATTERN, Session
from runs.models.upload import Upload
from runs.models.webhook import Delivery, Webhook

__all__ = [
    "DEFAULT_AGENT",
    "DEFAULT_SESSION_KEY",
    "SESSION_KEY_PATTERN",
    "Approval",
    "Budget",
    "Checkpoint",
    "Delivery",
    "Effect",
    "Event",
    "Firing",
    "KeptAnswer",
    "LedgerEntry",
    "LiveText",
    "McpServer",
    "Run",
    "Schedule",
    "Session",
    "Upload",
    "Webhook",
]
