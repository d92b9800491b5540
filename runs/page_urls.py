"""The pages' paths."""

from django.urls import path

from runs import inbox, spending, urls, views  # noqa: F401  `urls` registers the converters
from runs.pages import clock, foreign_servers, outbox

urlpatterns = [
    path("", views.chat, name="chat"),
    path("chat/<session_key:session_key>", views.chat, name="chat"),
    path("chat/<session_key:session_key>/title", views.rename_session, name="rename-session"),
    path("chat/<session_key:session_key>/archive", views.archive_session, name="archive-session"),
    path("turns/<run_id:run_id>", views.turn, name="turn"),
    path("runs", views.runs, name="runs"),
    path("runs/<run_id:run_id>/cancel", views.cancel_run, name="cancel-run"),
    path("runs/<run_id:run_id>/inject", views.inject_message, name="inject-message"),
    path("runs/<run_id:run_id>/repin", views.repin_run, name="repin-run"),
    path("runs/<run_id:run_id>/effects/<str:tool_call_id>", views.settle_effect, name="settle-effect"),
    path("approvals", inbox.inbox, name="approvals"),
    path("approvals/count", inbox.count, name="approval-count"),
    path("approvals/<approval_id:approval_id>/revoke", inbox.revoke, name="revoke-grant"),
    path("runs/<run_id:run_id>/approvals/<str:tool_call_id>", inbox.decide, name="decide-call"),
    path("budgets", spending.budgets_page, name="budgets"),
    path("budgets/<int:budget_id>/remove", spending.remove, name="remove-budget"),
    path("mcp-servers", foreign_servers.mcp_servers, name="mcp-servers"),
    path("mcp-servers/<int:server_id>/<str:action>", foreign_servers.act, name="mcp-server"),
    path("schedules", clock.schedules, name="schedules"),
    path("schedules/time-zone", clock.time_zone, name="time-zone"),
    path("schedules/<schedule_id:schedule_id>", clock.schedule, name="schedule"),
    path("schedules/<schedule_id:schedule_id>/<str:action>", clock.act, name="schedule-act"),
    path("webhooks", outbox.webhooks, name="webhooks"),
    path("webhooks/<webhook_id:webhook_id>", outbox.webhook, name="webhook"),
    path("webhooks/<webhook_id:webhook_id>/again/<int:delivery_id>", outbox.send_again, name="send-again"),
    path("webhooks/<webhook_id:webhook_id>/<str:action>", outbox.act, name="webhook-act"),
    path("trace/<run_id:run_id>", views.trace, name="trace"),
]
