"""What every request gets and every answer carries."""

from __future__ import annotations

import re
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

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
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or any("\x00" in value for values in request.GET.lists() for value in values[1]):
            return refusal(request, OpenInternError("VALIDATION_ERROR", "NUL characters are not allowed"))
        return self.get_response(request)
