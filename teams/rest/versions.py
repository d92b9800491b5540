"""Changes on top of what was read: `If-Match` against the version that an ETag names."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="the ETag that was read; 409 if it has changed since"
)


def matched(request: Request) -> int | None:
    """Return the version that an `If-Match` header names; None where there is none or any will do."""
    told = request.headers.get("If-Match", "").strip()
    if told in {"", "*"}:
        return None
    number = told.removeprefix("W/").strip('"')
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
