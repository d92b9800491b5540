"""Lists page by page: by cursor where they grow while they are read, by number where a person leafs through."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from openintern.errors import Invalid
from openintern.text import is_storable


def whole_number(value: str | None, *, field: str, default: int, least: int, most: int) -> int:
    """Return a number from a query string. Raises VALIDATION_ERROR for anything that isn't one within the bounds."""
    if value is None or value == "":
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise Invalid(field, f"Must be a whole number from {least} to {most}")
    number = int(value)
    if not least <= number <= most:
        raise Invalid(field, f"Must be a whole number from {least} to {most}")
    return number


def flag(value: str | None, *, field: str) -> bool:
    """Return a yes or no from a query string; what isn't given is a no. Raises VALIDATION_ERROR for anything else."""
    match (value or "").lower():
        case "true" | "1":
            return True
        case "false" | "0" | "":
            return False
    raise Invalid(field, "Must be true or false")


def moment(value: str, *, field: str) -> datetime:
    """Return a time in UTC. Raises VALIDATION_ERROR for what is none, lacks its zone, or lies beyond the calendar."""
    try:
        at = parse_datetime(value)
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(field, "Must be a time, ISO 8601") from error
    raise Invalid(field, "Must be a time with its zone, ISO 8601")


@dataclass(frozen=True)
class Page:
    """Some rows of a list and where it goes on; `next_cursor` is None at its end."""

    rows: list[Any]
    next_cursor: str | None


def newest_first(rows: QuerySet[Any], *, cursor: str | None, limit: int) -> Page:
    """Return one page of rows that have `created_at` and a primary key that is text or a UUID, the newest first.

    A cursor names the last row that was seen, so rows that come in meanwhile neither repeat nor hide any.
    """
    if cursor:
        at, key = _read_cursor(cursor)
        try:
            rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=key))
        except ValidationError as error:  # a key of another kind of row
            raise Invalid("cursor", "Not a cursor of this list") from error
    found = list(rows.order_by("-created_at", "-pk")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page(found, _cursor(found[-1]) if more else None)


def _cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.pk}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise Invalid("cursor", "Not a cursor of this list") from error
    at, _, key = text.partition(" ")
    if not key or not is_storable(key):
        raise Invalid("cursor", "Not a cursor of this list")
    return moment(at, field="cursor"), key
