"""The pages' paths."""

from django.urls import path

from connectors import urls, views  # noqa: F401  `urls` registers the converter
from connectors.bot import pages as bot_pages
from connectors.bot import views as bot_views
from connectors.mineru import views as pdf_views

urlpatterns = [
    path("mineru", pdf_views.pdfs, name="pdfs"),
    path("connectors", views.connectors, name="connectors"),
    path(
        "connectors/feishu/<slug:org_id>/<connector_id:connector_id>/events",
        bot_views.take_event,
        name="feishu-events",
    ),
    path("connectors/<connector_id:connector_id>", views.one_connector, name="connector"),
    path("connectors/<connector_id:connector_id>/people", bot_pages.name_person, name="connector-people"),
    path("connectors/<connector_id:connector_id>/sync", views.sync, name="sync-connector"),
    path("connectors/<connector_id:connector_id>/remove", views.remove, name="remove-connector"),
    path("connectors/<connector_id:connector_id>/do/<str:action>", views.act, name="connector-action"),
]
