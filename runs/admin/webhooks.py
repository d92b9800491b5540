"""Webhooks and their messages: to look at, to use or not, to send again. They are added on their own page."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import action
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from runs.models import Delivery, Webhook
from runs.outbox import webhooks


class WebhookPages(ReadOnlyPages[Webhook]):
    list_display = ["name", "url", "rests", "failures", "failing_since", "served_at"]
    list_filter = ["rests"]
    search_fields = ["name", "url"]
    exclude = ["secret", "old_secret"]
    actions = ["test", "use", "rest"]

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "webhook", "change")

    @action(description=_("Send a test message to the selected webhooks"), permissions=["settle"])
    def test(self, request: HttpRequest, chosen: QuerySet[Webhook]) -> None:
        for_each(request, chosen, lambda hook: webhooks.test(asker(request), hook.pk))

    @action(description=_("Use the selected webhooks"), permissions=["settle"])
    def use(self, request: HttpRequest, chosen: QuerySet[Webhook]) -> None:
        for_each(request, chosen, lambda hook: webhooks.use(asker(request), hook.pk))

    @action(description=_("Use the selected webhooks no more"), permissions=["settle"])
    def rest(self, request: HttpRequest, chosen: QuerySet[Webhook]) -> None:
        for_each(request, chosen, lambda hook: webhooks.rest(asker(request), hook.pk))


class DeliveryPages(ReadOnlyPages[Delivery]):
    list_display = ["id", "webhook", "type", "state", "attempts", "status", "error", "created_at", "settled_at"]
    list_filter = ["state"]
    search_fields = ["=run_id", "=type"]
    list_select_related = ["webhook"]
    show_full_result_count = False
    ordering = ["-id"]
    actions = ["send_again"]

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "webhook", "change")

    @action(description=_("Send the selected messages again"), permissions=["settle"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        for_each(request, chosen, lambda one: webhooks.send_again(asker(request), one.webhook_id, delivery_id=one.pk))


organization_admin.register(Webhook, WebhookPages)
organization_admin.register(Delivery, DeliveryPages)
