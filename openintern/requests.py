"""What every request gets and every answer carries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from openintern.errors import OpenInternError
from openintern.ids import new_id
from openintern.refusals import refusal

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestMiddleware:
    """Give each request an id, for logs and answers; turn away what PostgreSQL would choke on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id("req")
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._answer(request)
        response["X-Request-Id"] = request_id
        response.headers.setdefault("Cache-Control", "private, no-cache")  # what one may see isn't for the next
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            if any("\x00" in text for text in _texts(request)):
                return refusal(request, OpenInternError("VALIDATION_ERROR", "NUL characters are not allowed"))
        except RequestDataTooBig:
            return refusal(request, OpenInternError("TOO_LARGE", "The request's body is too large"))
        except UnreadablePostError:
            return refusal(request, OpenInternError("VALIDATION_ERROR", "The body broke off"))
        return self.get_response(request)


def _texts(request: HttpRequest) -> Iterator[str]:
    """Yield what may end in a query: path, parameters, cookies, fields of a form."""
    yield request.path
    yield from request.COOKIES.values()
    yield from (text for _, values in request.GET.lists() for text in values)
    if not request.path.startswith("/api/"):  # which takes no forms: what it reads is looked at there
        yield from (text for _, values in request.POST.lists() for text in values)
