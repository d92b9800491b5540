"""How programs read what was done to a role or a group."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request

from openintern.api import number_parameter, query_of
from openintern.paging import whole_number

_FURTHEST: Final = 100_000
OFFSET = number_parameter("offset", least=0, most=_FURTHEST, default=0)


class HistoryRow(serializers.Serializer[Any]):
    """One thing that was done."""

    at = serializers.DateTimeField()
    by = serializers.CharField(help_text="who did it; empty for the system")
    via = serializers.CharField(help_text="session, command, or the prefix of an API key")
    action = serializers.CharField()
    details = serializers.DictField(help_text="the fields that changed, the role that came or went, the new version")


def page_of(request: Request) -> tuple[int, int]:
    """Return `limit` and `offset`. Raises VALIDATION_ERROR for what isn't a number within the bounds."""
    query = query_of(request, "limit", "offset")
    limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
    return limit, whole_number(query.get("offset"), field="offset", default=0, least=0, most=_FURTHEST)
