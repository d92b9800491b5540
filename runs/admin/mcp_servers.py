"""Foreign MCP servers: set up, look at, use or not. Their tools are approved on the page of MCP servers."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, asker
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from runs.mcp import catalogue, servers
from runs.models import McpServer


class McpServerForm(forms.ModelForm[McpServer]):
    """What `servers.add` and `servers.change` take. The secret is written, never read."""

    new_secret = forms.CharField(
        label=_("secret"),
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Never shown again; empty: as it was"),
    )

    class Meta:
        model = McpServer
        fields = [*servers.FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        programs = [("", "–"), *((name, name) for name in catalogue.programs())]
        self.fields["program"].widget = forms.Select(choices=programs)
        self.fields["transport"].required = self.fields["risk"].required = True

    def clean(self) -> dict[str, Any]:
        """Have the same function judge it that pages and API ask."""
        told = super().clean() or {}
        if self.errors:
            return told
        try:
            servers.check(self.told(), before=self.instance if self.instance.pk else None)
        except OpenInternError as error:
            field = str((error.details or {}).get("field", "")).replace("secret", "new_secret")
            self.add_error(field if field in self.fields else None, error.message)
        return told

    def told(self) -> dict[str, Any]:
        """What was said, in the words of the API: of a server that is there only what is another."""
        told = {name: self.cleaned_data[name] for name in servers.FIELDS}
        told["parameters"] = told["parameters"] or {}
        if secret := self.cleaned_data["new_secret"]:
            told["secret"] = secret
        return told


class McpServerPages(OrganizationPages[McpServer]):
    """What a server lists is approved tool by tool on its own page, where the descriptions stand whole."""

    form = McpServerForm
    list_display = ["name", "transport", "place", "auth", "risk", "is_enabled", "state", "error", "looked_at", "tools"]
    list_filter = ["state", "is_enabled"]
    search_fields = ["name", "url"]
    fieldsets = [
        (None, {"fields": ["name", "transport", "risk", "timeout_seconds", "is_enabled"]}),
        (
            McpServer.Transport.HTTP.label,
            {"fields": ["url", "auth", "new_secret", "client_id", "issuer", "oauth_scope"]},
        ),
        (McpServer.Transport.STDIO.label, {"fields": ["program", "parameters"]}),
        (_("State"), {"fields": ["state", "error", "looked_at", "failed_at", "tools"]}),
    ]
    readonly_fields = ["state", "error", "looked_at", "failed_at", "tools"]
    actions = ["look"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "mcp_server", "read")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "mcp_server", "change")

    has_add_permission = has_look_permission = has_delete_permission = has_change_permission

    @display(description=_("place"))
    def place(self, server: McpServer) -> str:
        return server.url or server.program

    @display(description=_("tools"))
    def tools(self, server: McpServer) -> SafeString:
        told = _("%(approved)d approved of %(seen)d") % {"approved": len(server.approved), "seen": len(server.seen)}
        return format_html('<a href="{}">{}</a>', reverse("mcp-servers"), told)

    def save_model(self, request: HttpRequest, obj: McpServer, form: Any, change: bool) -> None:
        try:
            if change:
                servers.change(asker(request), obj.pk, form.told())
            else:
                obj.pk = servers.add(asker(request), form.told()).pk
        except OpenInternError as error:
            messages.set_level(request, messages.ERROR)
            messages.error(request, error.message)

    def delete_model(self, request: HttpRequest, obj: McpServer) -> None:
        servers.remove(asker(request), obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[McpServer]) -> None:
        for server in queryset:
            servers.remove(asker(request), server.pk)

    @action(description=_("Look at the selected servers"), permissions=["look"])
    def look(self, request: HttpRequest, chosen: QuerySet[McpServer]) -> None:
        for server in chosen:
            seen = servers.look(asker(request), server.pk)
            is_well = seen.state == McpServer.State.HEALTHY
            messages.add_message(
                request,
                messages.SUCCESS if is_well else messages.WARNING,
                f"{seen}: {seen.error or seen.get_state_display()}",
            )


organization_admin.register(McpServer, McpServerPages)
