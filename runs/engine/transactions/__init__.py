"""Every transaction of the engine, and what is written in it.

| transaction       | events                                                | and |
|-------------------|-------------------------------------------------------|-----|
| `count_losses`    |                                                       | how many workers died over it |
| `begin`           | `run.started` or `run.resumed`                        | the fencing number |
| `record_answer`   | `llm.called`, `tool.called`                           | the usage; a claim on every effect |
| `record_progress` | `tool.result`                                         | effects done, and those that begin |
| `finish_step`     | `tool.result`, `step.completed`, `step.started`       | effects done; the checkpoint; what comes next is reserved |
| `finish`          | `llm.called`, `step.completed`, `run.completed`       | the usage; the checkpoint; the ticket goes |
|                   | … or what begins the next turn                        | … the ticket stays |
| `wait_for_…`      | `run.waiting`                                         | the effect in doubt; the ticket is parked |
| `wait_for_answers` | `tool.result`, `run.waiting`                         | effects done, and those that are awaited; the ticket is parked |
| `hear_decisions`  | `tool.rejected` for what expired                      | effects that may begin |
| `fail`, `end_lost_turn` | `run.failed`, or what begins the next turn      | what was reserved is free; the ticket goes, or stays |

What happens between transactions can be lost, never repeated: a resumed run finds the recorded answer and doesn't
buy it again, and finds every effect done, not started, or in doubt (`runs.engine.effects`).
"""

from runs.engine.transactions.beginning import begin, count_losses, scope_of
from runs.engine.transactions.endings import end_lost_turn, fail, finish, move_on
from runs.engine.transactions.steps import finish_step, hand_back, record_answer, record_progress
from runs.engine.transactions.waiting import hear_decisions, wait_for_answers, wait_for_approval, wait_for_settlement

__all__ = [
    "begin",
    "count_losses",
    "end_lost_turn",
    "fail",
    "finish",
    "finish_step",
    "hand_back",
    "hear_decisions",
    "move_on",
    "record_answer",
    "record_progress",
    "scope_of",
    "wait_for_answers",
    "wait_for_approval",
    "wait_for_settlement",
]
