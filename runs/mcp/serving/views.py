"""`/mcp`: streamable HTTP, an API key in `Authorization`. Each request stands for itself: there is no session to take over."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from openintern.errors import OpenInternError
from openintern.refusals import refusal
from openintern.tenancy.access import access
from openintern.tenancy.handshake import is_own_origin
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.renewal import credential_of
from runs.mcp.serving.callers import KeyHolder

_PASSED_ON = ("accept", "content-type", "last-event-id")
_OF_THE_PROTOCOL = "mcp-"


@csrf_exempt  # a session's cookie opens nothing here
@access("profile", GET="read", POST="read", DELETE="read")
async def mcp(request: ScopedRequest) -> HttpResponseBase:
    """Pass a message of the protocol on to our server. What it may do is asked at each of its doors."""
    try:
        return await _answer(request)
    except OpenInternError as error:
        return refusal(request, error)


async def _answer(request: ScopedRequest) -> HttpResponse:
    if request.api_key is None:
        raise OpenInternError("FORBIDDEN", "Send an API key as 'Authorization: Bearer oi_…'")
    if "Origin" in request.headers and not is_own_origin(request):
        raise OpenInternError("FORBIDDEN", "This wasn't sent from one of our pages")
    credential = credential_of(request, at=timezone.now())
    if credential is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    from runs.mcp.serving.server import answer_http  # noqa: PLC0415  the SDK takes a second to import

    status, headers, body = await answer_http(
        KeyHolder(credential), method=request.method or "", headers=_headers(request), body=request.body
    )
    response = HttpResponse(body, status=status)
    for name, value in headers:
        if name.lower() != b"content-length":
            response[name.decode("latin-1")] = value.decode("latin-1")
    return response


def _headers(request: ScopedRequest) -> list[tuple[bytes, bytes]]:
    """The headers that mean something to the protocol. Who asks has been settled; the key goes no further."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in request.headers.items()
        if name.lower() in _PASSED_ON or name.lower().startswith(_OF_THE_PROTOCOL)
    ]
