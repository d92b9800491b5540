"""Connectors in the organisation's admin: to look at. They are set up on their own page, where secrets are at home."""

from __future__ import annotations

from django.contrib.admin import RelatedOnlyFieldListFilter, display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from connectors.models import ApprovalCard, BotMessage, Connector, FeishuPerson, PdfFile, SyncJob
from openintern.administration import ReadOnlyPages
from openintern.sites import organization_admin


class ConnectorPages(ReadOnlyPages[Connector]):
    """Where knowledge comes from."""

    list_display = ["name", "project", "status", "last_sync_at", "last_success_at", "last_error"]
    list_filter = ["status", ("project", RelatedOnlyFieldListFilter)]
    search_fields = ["name", "=id"]
    list_select_related = ["project"]
    fields = [
        "id", "name", "project", "status", "base_url", "app_id", "has_secret", "has_bot", "config", "created_by", "last_sync_at",
        "last_success_at", "last_error", "last_polled_at", "polls_at", "created_at", "updated_at", "page",
    ]  # fmt: skip

    @display(description=_("secret"), boolean=True)
    def has_secret(self, connector: Connector) -> bool:
        """Whether there is one; it is never shown."""
        return bool(connector.app_secret)

    @display(description=_("bot"), boolean=True)
    def has_bot(self, connector: Connector) -> bool:
        """Whether it has the two secrets of one; they are never shown."""
        return connector.hears

    @display(description=_("page"))
    def page(self, connector: Connector) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("connector", args=[connector.pk]), connector.name)


class SyncJobPages(ReadOnlyPages[SyncJob]):
    """How syncs went."""

    list_display = ["id", "connector", "trigger", "status", "phase", "processed", "failed", "removed", "created_at"]
    list_filter = ["status", "trigger"]
    search_fields = ["=id", "=connector__id", "error_code"]
    list_select_related = ["connector"]
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncJob]:
        return super().get_queryset(request).select_related("connector", "asked_by")


class PdfFilePages(ReadOnlyPages[PdfFile]):
    """PDFs on their way into memory, and what became of them."""

    list_display = ["filename", "job", "status", "pages", "chunk_count", "error_code", "ended_at"]
    list_filter = ["status"]
    search_fields = ["filename", "=source_key", "=run_id"]
    list_select_related = ["job"]
    ordering = ["-job__created_at", "file_index"]


class BotMessagePages(ReadOnlyPages[BotMessage]):
    """What was said to bots, and what became of it."""

    list_display = ["id", "connector", "sender", "state", "run_id", "problem", "created_at"]
    list_filter = ["state"]
    search_fields = ["=id", "=sender", "=run_id", "=message_id"]
    list_select_related = ["connector"]
    date_hierarchy = "created_at"
    fields = [
        "id",
        "connector",
        "message_id",
        "sender",
        "state",
        "run_id",
        "problem",
        "tries",
        "created_at",
        "ended_at",
    ]


class FeishuPersonPages(ReadOnlyPages[FeishuPerson]):
    """Who people of Feishu are here; said on the connector's page."""

    list_display = ["open_id", "user", "connector"]
    search_fields = ["=open_id", "user__username"]
    list_select_related = ["user", "connector"]


class ApprovalCardPages(ReadOnlyPages[ApprovalCard]):
    """Questions of runs as they stand at Feishu."""

    list_display = ["id", "connector", "approval", "state", "problem", "created_at", "ended_at"]
    list_filter = ["state"]
    search_fields = ["=id", "=approval__run__id"]
    list_select_related = ["connector", "approval"]
    date_hierarchy = "created_at"


organization_admin.register(ApprovalCard, ApprovalCardPages)
organization_admin.register(BotMessage, BotMessagePages)
organization_admin.register(Connector, ConnectorPages)
organization_admin.register(FeishuPerson, FeishuPersonPages)
organization_admin.register(PdfFile, PdfFilePages)
organization_admin.register(SyncJob, SyncJobPages)
