"""How a refusal is answered: JSON for programs, a page for people, the same words for both."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext

from openintern.errors import OpenInternError
from openintern.redaction import redact_text

CHAT = "/v1/"  # below it clients read errors in OpenAI's form
_CHAT_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def wants_json(request: HttpRequest) -> bool:
    """Whether the request comes from a program: by its path, or because it says so."""
    if request.path.startswith(("/api/", "/ws/", CHAT)) or request.path in {"/api", "/health", "/mcp"}:
        return True
    return request.headers.get("Accept", "").startswith("application/json")


def error_body(error: OpenInternError) -> dict[str, Any]:
    """Return the public error body."""
    body: dict[str, Any] = {"code": error.code, "message": redact_text(error.message)}
    if error.details is not None:
        body["details"] = error.details
    return {"error": body}


def chat_error_body(error: OpenInternError) -> dict[str, Any]:
    """Return the error as clients of OpenAI's API read it."""
    kind = _CHAT_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    told = {"message": redact_text(error.message), "type": kind, "param": (error.details or {}).get("field")}
    return {"error": {**told, "code": error.code.lower()}}


def refusal(request: HttpRequest, error: OpenInternError) -> HttpResponse:
    """Answer with the error, in the form the sender reads: programs in English, people in their language where we can."""
    response: HttpResponse
    if wants_json(request):
        body = chat_error_body if request.path.startswith(CHAT) else error_body
        response = JsonResponse(body(error), status=error.status)
    else:
        told = {"code": error.code, "message": gettext(error.message) if error.message else ""}
        response = render(request, "error.html", {"error": told}, status=error.status)
    return _with_headers(response, error)


def _with_headers(response: HttpResponse, error: OpenInternError) -> HttpResponse:
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if error.status in {429, 503}:
        response["Retry-After"] = str((error.details or {}).get("retry_after", 5))
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, OpenInternError("VALIDATION_ERROR", "The request could not be understood"))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, OpenInternError("FORBIDDEN", "This is not allowed"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return refusal(
        request,
        OpenInternError("FORBIDDEN", "This form wasn't sent from one of our pages, or has grown old; load it anew"),
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(request, OpenInternError("NOT_FOUND", "Not found"))


def server_error(request: HttpRequest) -> HttpResponse:
    return refusal(request, OpenInternError("INTERNAL_ERROR", "Something went wrong on our side"))
