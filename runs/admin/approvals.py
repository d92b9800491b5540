"""Questions to people: to look at, to decide, and grants to end. The arguments stand as they would be used."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, ask_first, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from runs import approvals
from runs.approvals import Decision, Verdict
from runs.models import Approval


class ApprovalPages(ReadOnlyPages[Approval]):
    """One is decided here as it stands; other arguments and wider approvals are for the inbox."""

    list_display = ["tool", "risk", "status", "covers", "agent_id", "whose", "created_at", "expires_at", "decided_by"]
    list_filter = ["status", "covers", "risk"]
    list_select_related = ["run__user", "decided_by"]
    search_fields = ["=run__id", "tool"]
    ordering = ["-created_at", "-pk"]
    show_full_result_count = False
    actions = ["approve", "reject", "revoke"]
    fields = [
        "tool",
        "risk",
        "shown_arguments",
        "rule",
        "reason",
        "status",
        "covers",
        "shown_edited",
        "note",
        "agent_id",
        "whose",
        "decided_by",
        "decided_at",
        "created_at",
        "expires_at",
        "revoked_at",
        "trace",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return super().get_queryset(request).filter(pk__in=approvals.questions(asker(request)).values("pk"))

    @display(description=_("arguments"))
    def shown_arguments(self, approval: Approval) -> SafeString:
        return _as_json(approval.arguments)

    @display(description=_("changed arguments"))
    def shown_edited(self, approval: Approval) -> SafeString | str:
        return "–" if approval.edited_arguments is None else _as_json(approval.edited_arguments)

    @display(description=_("person"))
    def whose(self, approval: Approval) -> str:
        return str(approval.run.user)

    @display(description=_("trace"))
    def trace(self, approval: Approval) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("trace", args=[approval.run_id]), _("open"))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "approval", "decide")

    @action(description=_("Approve the selected calls as they stand"), permissions=["decide"])
    def approve(self, request: HttpRequest, chosen: QuerySet[Approval]) -> HttpResponse | None:
        return self._decide(request, chosen, Verdict.APPROVE, title=_("Approve these calls?"))

    @action(description=_("Reject the selected calls"), permissions=["decide"])
    def reject(self, request: HttpRequest, chosen: QuerySet[Approval]) -> HttpResponse | None:
        return self._decide(request, chosen, Verdict.REJECT, title=_("Reject these calls?"))

    @action(description=_("End the selected grants"), permissions=["decide"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Approval]) -> HttpResponse | None:
        title, note = _("End these grants?"), _("Later calls are asked about again.")
        if asked := ask_first(request, chosen, site=self.admin_site, action="revoke", title=title, note=note):
            return asked
        scope, at = asker(request), timezone.now()
        for_each(request, chosen, lambda grant: approvals.revoke(scope, grant.pk, at=at))
        return None

    def _decide(
        self, request: HttpRequest, chosen: QuerySet[Approval], verdict: Verdict, *, title: Any
    ) -> HttpResponse | None:
        note = _("Each runs, or is refused, with exactly these arguments.")
        if asked := ask_first(
            request, chosen, site=self.admin_site, action=verdict, title=title, note=note, tell=_whole
        ):
            return asked
        scope, at, decision = asker(request), timezone.now(), Decision(verdict=verdict)
        for_each(request, chosen, lambda one: approvals.decide(scope, one.run_id, one.tool_call_id, decision, at=at))
        return None


def _whole(approval: Approval) -> str:
    """The call to its last letter: what is cut off is what nobody has seen."""
    return f"{approval.tool} {json.dumps(approval.arguments, ensure_ascii=False)}"


def _as_json(value: Any) -> SafeString:
    return format_html('<pre class="prompt-preview">{}</pre>', json.dumps(value, ensure_ascii=False, indent=2))


organization_admin.register(Approval, ApprovalPages)
