"""Where Feishu sends what happens: an address for each connector, closed to whatever isn't signed with its key."""

from __future__ import annotations

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from connectors.bot import events
from connectors.bot.sealing import Unbelieved
from connectors.models import Connector
from openintern.errors import NotFound, OpenInternError
from openintern.refusals import error_body
from openintern.secret_store import Unreadable
from openintern.tenancy.access import public
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope

logger = structlog.get_logger(__name__)


@public
@csrf_exempt  # a session's cookie opens nothing here
@require_POST
def take_event(request: HttpRequest, org_id: str, connector_id: str) -> HttpResponse:
    """Take an event. Whoever can't sign it learns nothing, not even whether there is such a connector."""
    try:
        return JsonResponse(_taken(request, _body(request), org_id, connector_id))
    except OpenInternError as refusal:
        return JsonResponse(error_body(refusal), status=refusal.status)


def _body(request: HttpRequest) -> bytes:
    """Read what was sent, before anybody is looked for. Raises TOO_LARGE."""
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise OpenInternError("TOO_LARGE", "The request's body is too large") from error
    if len(body) > events.LARGEST:
        raise OpenInternError("TOO_LARGE", "The request's body is too large")
    return body


def _taken(request: HttpRequest, body: bytes, org_id: str, connector_id: str) -> dict[str, object]:
    org = Organization.objects.filter(slug=org_id, is_active=True).first()
    if org is None:
        raise NotFound("Connector")
    with org_scope(org):
        connector = Connector.objects.select_related("project").filter(pk=connector_id).first()
        if connector is None:
            raise NotFound("Connector")
        try:
            return events.take(connector, org, body=body, headers=request.headers, at=timezone.now())
        except (Unbelieved, Unreadable) as refusal:
            logger.info("an event isn't believed: %s", refusal, connector=connector.pk)
            raise NotFound("Connector") from refusal
