"""Files of strangers, given back: nothing in them may run, load or be guessed at, wherever their link is opened."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from rest_framework.request import Request

_HARMLESS: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


def attachment(content: bytes, *, name: str, mime_type: str) -> HttpResponse:
    """Answer with a file to be saved under its name."""
    disposition = content_disposition_header(as_attachment=True, filename=name)
    headers = {**_HARMLESS, "Content-Disposition": disposition or "attachment"}
    return HttpResponse(content, content_type=mime_type, headers=headers)


def announced(request: HttpRequest | Request) -> int:
    """Return how many bytes a request says that it brings; what really comes is counted elsewhere."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0
