"""The API's paths, below /api/."""

from django.urls import path, register_converter

from connectors import rest
from connectors.bot import rest as bot_api
from connectors.mineru import rest as mineru_api


class ConnectorId:
    regex = r"fconn_[A-Za-z0-9]{1,34}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class PdfJobId(ConnectorId):
    regex = r"mju_[A-Za-z0-9]{1,36}"


class OpenId(ConnectorId):
    regex = r"[A-Za-z0-9_-]{1,100}"


register_converter(OpenId, "open_id")
register_converter(PdfJobId, "pdf_job_id")
register_converter(ConnectorId, "connector_id")

urlpatterns = [
    path("mineru/ingest-batch", mineru_api.Batches.as_view()),
    path("mineru/ingest-batch/progress", mineru_api.all_progress, name="pdfs-progress"),
    path("mineru/ingest-batch/<pdf_job_id:pdf_job_id>", mineru_api.OneBatch.as_view()),
    path("mineru/ingest-batch/<pdf_job_id:pdf_job_id>/progress", mineru_api.progress),
    path("feishu/connectors", rest.Connectors.as_view()),
    path("feishu/connectors/progress", rest.all_progress, name="connectors-progress"),
    path("feishu/connectors/<connector_id:connector_id>", rest.OneConnector.as_view()),
    path("feishu/connectors/<connector_id:connector_id>/sync", rest.ConnectorSync.as_view()),
    path("feishu/connectors/<connector_id:connector_id>/jobs", rest.ConnectorJobs.as_view()),
    path("feishu/connectors/<connector_id:connector_id>/progress", rest.progress, name="connector-progress"),
    path("feishu/connectors/<connector_id:connector_id>/people", bot_api.ConnectorPeople.as_view()),
    path(
        "feishu/connectors/<connector_id:connector_id>/people/<open_id:open_id>", bot_api.OneConnectorPerson.as_view()
    ),
    path("feishu/connectors/<connector_id:connector_id>/messages", bot_api.ConnectorMessages.as_view()),
]
