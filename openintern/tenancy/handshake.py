"""Who opens a WebSocket: settled by the rules of HTTP, before a frame is read.

A browser sends its cookies with a socket that any page opens, and no CSRF token goes along: a session therefore counts
only with an `Origin` of our own. A key comes in the `Authorization` header, as everywhere, and in nothing that is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.access import Access
from openintern.tenancy.identity import ScopedRequest, require_access, settle
from openintern.tenancy.renewal import Credential, credential_of

_SCHEMES = {"ws": "http", "wss": "https"}


class _Origins(CsrfViewMiddleware):
    """Django's own judgement of an `Origin`: this site, or one of CSRF_TRUSTED_ORIGINS."""

    def trusts(self, request: ScopedRequest) -> bool:
        return "HTTP_ORIGIN" in request.META and bool(self._origin_verified(request))  # type: ignore[attr-defined]


_origins = _Origins(lambda request: HttpResponse())


def is_own_origin(request: ScopedRequest) -> bool:
    """Whether the request says that it comes from one of our own pages."""
    return _origins.trusts(request)


def request_of(scope: Mapping[str, Any]) -> ScopedRequest:
    """Return the handshake as the GET request that it is. Raises VALIDATION_ERROR for a host that isn't ours."""
    as_http = {**scope, "type": "http", "method": "GET", "scheme": _SCHEMES.get(scope.get("scheme", ""), "http")}
    request = cast(ScopedRequest, ASGIRequest(as_http, BytesIO()))
    request.asker, request.api_key, request.user = None, None, AnonymousUser()
    try:
        request.get_host()
    except DisallowedHost as error:
        raise OpenInternError("VALIDATION_ERROR", "The request could not be understood") from error
    return request


def admit(scope: Mapping[str, Any], declared: Access | None) -> Credential:
    """Return what lets the sender of the handshake in. Raises what an HTTP request would be answered with."""
    request = request_of(scope)
    if any("\x00" in text for text in (request.path, *request.COOKIES.values(), *request.GET.values())):
        raise OpenInternError("VALIDATION_ERROR", "NUL characters are not allowed")
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    settle(request)
    if not request.user.is_authenticated:
        raise OpenInternError("UNAUTHENTICATED", "Sign in, or send an API key as 'Authorization: Bearer oi_…'")
    if request.api_key is None and not is_own_origin(request):
        raise OpenInternError("FORBIDDEN", "This socket wasn't opened from one of our pages")
    require_access(request, declared)
    credential = credential_of(request, at=timezone.now())
    if credential is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    return credential
