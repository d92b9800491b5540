"""The one path of our MCP server."""

from django.urls import path

from runs.mcp.serving import views

urlpatterns = [path("", views.mcp, name="mcp")]
