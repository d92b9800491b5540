"""The API's paths, below /api/."""

from django.urls import path, register_converter

from runs import stream
from runs.models import SESSION_KEY_PATTERN
from runs.rest import approvals as approval_api
from runs.rest import budgets as budget_api
from runs.rest import mcp_servers as mcp_api
from runs.rest import runs as api
from runs.rest import schedules as schedule_api
from runs.rest import uploads as upload_api
from runs.rest import webhooks as webhook_api


class RunId:
    regex = r"run_[A-Za-z0-9]{1,36}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class SessionKey(RunId):
    regex = SESSION_KEY_PATTERN


class UploadId(RunId):
    regex = r"upl_[A-Za-z0-9]{1,36}"


class ApprovalId(RunId):
    regex = r"apr_[A-Za-z0-9]{1,36}"


class ScheduleId(RunId):
    regex = r"sch_[A-Za-z0-9]{1,36}"


class WebhookId(RunId):
    regex = r"whk_[A-Za-z0-9]{1,36}"


register_converter(RunId, "run_id")
register_converter(SessionKey, "session_key")
register_converter(UploadId, "upload_id")
register_converter(ApprovalId, "approval_id")
register_converter(ScheduleId, "schedule_id")
register_converter(WebhookId, "webhook_id")

urlpatterns = [
    path("runs", api.Runs.as_view()),
    path("runs/<run_id:run_id>", api.OneRun.as_view()),
    path("runs/<run_id:run_id>/events", api.RunEvents.as_view()),
    path("runs/<run_id:run_id>/stream", stream.stream),
    path("runs/<run_id:run_id>/export", api.RunExport.as_view()),
    path("runs/<run_id:run_id>/children", api.RunChildren.as_view()),
    path("runs/<run_id:run_id>/cancel", api.RunCancel.as_view()),
    path("runs/<run_id:run_id>/repin", api.RunRepin.as_view()),
    path("runs/<run_id:run_id>/inject", api.RunInject.as_view()),
    path("runs/<run_id:run_id>/effects", api.RunEffects.as_view()),
    path("runs/<run_id:run_id>/effects/<str:tool_call_id>/settle", api.EffectSettle.as_view()),
    path("runs/<run_id:run_id>/approve", approval_api.RunApprove.as_view()),
    path("runs/<run_id:run_id>/reject", approval_api.RunReject.as_view()),
    path("approvals", approval_api.Approvals.as_view()),
    path("approvals/decide", approval_api.DecideMany.as_view()),
    path("approvals/<approval_id:approval_id>", approval_api.OneApproval.as_view()),
    path("approvals/<approval_id:approval_id>/grant", approval_api.Grant.as_view()),
    path("uploads", upload_api.Uploads.as_view()),
    path("uploads/<upload_id:upload_id>", upload_api.OneUpload.as_view()),
    path("sessions", api.Sessions.as_view()),
    path("sessions/<session_key:session_key>/runs", api.SessionRuns.as_view()),
    path("budgets", budget_api.Budgets.as_view()),
    path("webhooks", webhook_api.Webhooks.as_view()),
    path("webhooks/<webhook_id:webhook_id>", webhook_api.OneWebhook.as_view()),
    path("webhooks/<webhook_id:webhook_id>/rest", webhook_api.WebhookRest.as_view()),
    path("webhooks/<webhook_id:webhook_id>/use", webhook_api.WebhookUse.as_view()),
    path("webhooks/<webhook_id:webhook_id>/test", webhook_api.WebhookTest.as_view()),
    path("webhooks/<webhook_id:webhook_id>/rotate", webhook_api.WebhookRotate.as_view()),
    path("webhooks/<webhook_id:webhook_id>/deliveries", webhook_api.Deliveries.as_view()),
    path("webhooks/<webhook_id:webhook_id>/deliveries/again", webhook_api.AllAgain.as_view()),
    path("webhooks/<webhook_id:webhook_id>/deliveries/<int:delivery_id>/again", webhook_api.OneAgain.as_view()),
    path("schedules", schedule_api.Schedules.as_view()),
    path("schedules/<schedule_id:schedule_id>", schedule_api.OneSchedule.as_view()),
    path("schedules/<schedule_id:schedule_id>/pause", schedule_api.SchedulePause.as_view()),
    path("schedules/<schedule_id:schedule_id>/go-on", schedule_api.ScheduleGoOn.as_view()),
    path("time-zone", schedule_api.TimeZone.as_view()),
    path("mcp-servers", mcp_api.McpServers.as_view()),
    path("mcp-servers/<int:server_id>", mcp_api.OneMcpServer.as_view()),
    path("mcp-servers/<int:server_id>/look", mcp_api.McpServerLook.as_view()),
    path("mcp-servers/<int:server_id>/approve", mcp_api.McpServerApprove.as_view()),
]
