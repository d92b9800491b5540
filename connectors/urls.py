"""The API's paths, below /api/."""

from django.urls import path, register_converter

from connectors import rest


class ConnectorId:
    regex = r"fconn_[A-Za-z0-9]{1,34}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ConnectorId, "connector_id")

urlpatterns = [
    path("feishu/connectors", rest.Connectors.as_view()),
    path("feishu/connectors/<connector_id:connector_id>", rest.OneConnector.as_view()),
    path("feishu/connectors/<connector_id:connector_id>/sync", rest.ConnectorSync.as_view()),
    path("feishu/connectors/<connector_id:connector_id>/jobs", rest.ConnectorJobs.as_view()),
]
