"""The part of a connector's page that is about its bot, for admins."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from connectors import connecting
from connectors.bot import address, people
from connectors.models import BotMessage, Connector
from openintern.errors import OpenInternError
from openintern.pages import scope_of
from openintern.tenancy.access import access
from openintern.tenancy.models import Membership
from openintern.tenancy.scope import Scope

_SHOWN: Final = 20
_STRANGERS: Final = 10
_MOST_MEMBERS: Final = 500
_NAMES: Final = {
    "app_id": gettext_lazy("App id"),
    "app_secret": gettext_lazy("App secret"),
    "encrypt_key": gettext_lazy("Encrypt key"),
    "verification_token": gettext_lazy("Verification token"),
}


def about(request: HttpRequest, scope: Scope, connector: Connector) -> dict[str, Any]:
    """Return what the page shows of the bot."""
    known = list(people.known(connector))
    names = {person.open_id: person.user.username for person in known}
    rows = list(BotMessage.objects.filter(connector=connector).order_by("-created_at", "-pk")[:_SHOWN])
    members = Membership.objects.filter(organization=scope.org, user__is_active=True).order_by("user__username")
    strangers = dict.fromkeys(row.sender for row in rows if row.sender not in names)
    return {
        "url": address.events_url(connector, scope.org, site=f"{request.scheme}://{request.get_host()}"),
        "hears": connector.hears,
        "is_half": address.is_half(connector),
        "missing": [_NAMES[name] for name in address.missing(connector)],
        "people": known,
        "strangers": list(strangers)[:_STRANGERS],
        "members": list(members.values_list("user__username", flat=True)[:_MOST_MEMBERS]),
        "messages": [{"row": row, "name": names.get(row.sender, row.sender)} for row in rows],
    }


@access("connector", POST="change")
@require_POST
def name_person(request: HttpRequest, connector_id: str) -> HttpResponse:
    """Say who somebody of Feishu is here, or that nobody is."""
    scope = scope_of(request)
    connector = connecting.find(scope, connector_id)
    try:
        if forgotten := request.POST.get("forget"):
            people.forget(scope, connector, open_id=forgotten)
        else:
            open_id = request.POST.get("open_id", "").strip()
            people.name(scope, connector, open_id=open_id, username=request.POST.get("username", ""))
    except OpenInternError as refusal:
        messages.error(request, _(refusal.message))
    return redirect("connector", connector_id)
