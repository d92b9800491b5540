"""The REST API of boards. Each view makes one call into the domain and puts its result into form.

An entry's author, group, run and times are the server's word; a body that names them is refused like any other field
that isn't known.
"""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from memory.models import Tier
from openintern.api import Choice, Number, Text, body_of, limit_parameter, query_of, scope_of
from openintern.errors import Invalid
from openintern.paging import flag, newest_first, whole_number
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS
from teams.board import keeping
from teams.board.keeping import DETAILS, Wanted
from teams.models import BoardEntry, BoardVersion
from teams.models.board import LONGEST_ENTRY
from teams.rest.versions import IF_MATCH, matched

_PAGE: Final = 50
_FILTERS: Final = ("kind", "status", "pinned", "run_id", "q")


class EntryRow(serializers.ModelSerializer[BoardEntry]):
    """Something on a board, who wrote it, and where it comes from."""

    type = Choice(Tier.values, source="tier", help_text="`core`: pinned")
    metadata = serializers.SerializerMethodField()
    author = serializers.SerializerMethodField()
    refs = serializers.SerializerMethodField()

    class Meta:
        model = BoardEntry
        fields = [
            "id",
            "group_id",
            "type",
            "kind",
            "text",
            "metadata",
            "importance",
            "status",
            "is_pinned",
            "trust",
            "author",
            "run_id",
            "event_seq",
            "refs",
            "version",
            "created_at",
            "updated_at",
        ]

    def get_metadata(self, entry: BoardEntry) -> dict[str, Any]:
        """What is said beside the text."""
        given: dict[str, Any] = entry.details.get("metadata", {})
        told = {name: value for name, value in entry.details.items() if name not in {"metadata", "refs"}}
        return {**given, **told, "blackboard": True, "episodic_type": entry.kind.upper()}

    def get_author(self, entry: BoardEntry) -> dict[str, Any]:
        """A person, or a member in a run; `role` is the one as which they speak."""
        if entry.user is not None:
            return {"kind": "user", "user_id": entry.user.username, "role": entry.role_name or None}
        return {"kind": "agent", "agent_id": entry.agent_id, "role": entry.role_name or None}

    def get_refs(self, entry: BoardEntry) -> list[dict[str, Any]]:
        """The events that support it."""
        refs: list[dict[str, Any]] = entry.details.get("refs", [])
        return refs


class VersionRow(serializers.ModelSerializer[BoardVersion]):
    """What an entry said before a change."""

    type = Choice(Tier.values, source="tier")

    class Meta:
        model = BoardVersion
        fields = ["number", "type", "kind", "text", "details", "importance", "status", "changed_by", "at"]


class _Said(serializers.Serializer[Any]):
    """What people may say of an entry."""

    metadata = serializers.DictField(required=False)
    importance = Number(required=False, min_value=0, max_value=1)
    title = Text(max_length=DETAILS["title"], required=False, allow_blank=True)
    rationale = Text(max_length=DETAILS["rationale"], required=False, allow_blank=True)
    source = Text(max_length=DETAILS["source"], required=False, allow_blank=True)  # type: ignore[assignment]


class NewEntry(_Said):
    """Something to put on a board."""

    text = Text(max_length=LONGEST_ENTRY)
    kind = Choice(BoardEntry.Kind.choices, required=False, help_text="else by metadata.episodic_type")
    type = Choice(Tier.values, default=Tier.EPISODIC.value, help_text="`core` pins it: admins only")
    role_id = Text(max_length=40, required=False, help_text="speak as a role of the group")


class EntryChange(_Said):
    """What to change of an entry."""

    text = Text(max_length=LONGEST_ENTRY, required=False)
    kind = Choice(BoardEntry.Kind.choices, required=False)
    type = Choice(Tier.values, required=False)
    status = Choice(BoardEntry.Status.choices, required=False)


_ENTRY_LIST = inline_serializer(
    "EntryList", {"memories": EntryRow(many=True), "next_cursor": serializers.CharField(allow_null=True)}
)
_HISTORY = inline_serializer("EntryHistory", {"versions": VersionRow(many=True)})


@access("board", GET="read", POST="create")
class Board(APIView):
    """A group's board."""

    @extend_schema(
        operation_id="read_board",
        parameters=[
            OpenApiParameter("kind", enum=BoardEntry.Kind.values),
            OpenApiParameter("status", enum=BoardEntry.Status.values, description="of to-dos"),
            OpenApiParameter("pinned", bool),
            OpenApiParameter("run_id", str, description="what came of one run"),
            OpenApiParameter("q", str, description="those with this text"),
            limit_parameter(default=_PAGE),
            OpenApiParameter("cursor", str),
        ],
        responses=_ENTRY_LIST,
    )
    def get(self, request: Request, group_id: str) -> Response:
        """List what is on it, newest first."""
        query = query_of(request, *_FILTERS, "limit", "cursor")
        wanted = Wanted(
            kind=query.get("kind", ""),
            status=query.get("status", ""),
            pinned=flag(query["pinned"], field="pinned") if query.get("pinned") else None,
            run_id=query.get("run_id", ""),
            words=query.get("q", "")[:200],
        )
        limit = whole_number(query.get("limit"), field="limit", default=_PAGE, least=1, most=100)
        page = newest_first(keeping.board(scope_of(request), group_id, wanted), cursor=query.get("cursor"), limit=limit)
        return Response({"memories": EntryRow(page.rows, many=True).data, "next_cursor": page.next_cursor})

    @extend_schema(operation_id="add_to_board", request=NewEntry, responses={201: EntryRow})
    def post(self, request: Request, group_id: str) -> Response:
        """Put something on it. Decisions and what is pinned are for admins; a role has to be in the group, and lead it to decide."""
        told = _told(NewEntry, request)
        told["kind"] = told.get("kind") or _kind(told.get("metadata", {}))
        entry = keeping.add(scope_of(request), group_id, tier=told.pop("type"), **told)
        return _one(entry, status=201)


@access("board", GET="read", PATCH="change", DELETE="delete")
class OneEntry(APIView):
    """One entry of a board."""

    @extend_schema(operation_id="read_board_entry", responses=EntryRow)
    def get(self, request: Request, group_id: str, entry_id: str) -> Response:
        """Return it; 404 for one of another board."""
        query_of(request)
        return _one(keeping.find(scope_of(request), group_id, entry_id))

    @extend_schema(operation_id="change_board_entry", parameters=[IF_MATCH], request=EntryChange, responses=EntryRow)
    def patch(self, request: Request, group_id: str, entry_id: str) -> Response:
        """Change what is given. Anybody who may write says how far a to-do is; the rest is its author's, or an admin's."""
        told = _told(EntryChange, request)
        if "type" in told:
            told["tier"] = told.pop("type")
        return _one(keeping.change(scope_of(request), group_id, entry_id, version=matched(request), **told))

    @extend_schema(operation_id="remove_board_entry", parameters=[IF_MATCH], responses={204: None})
    def delete(self, request: Request, group_id: str, entry_id: str) -> Response:
        """Take it from the board, and forget it."""
        keeping.remove(scope_of(request), group_id, entry_id, version=matched(request))
        return Response(status=204)


@access("board", POST="decide", DELETE="decide")
class EntryPin(APIView):
    """Whether an entry is of the board's core."""

    @extend_schema(operation_id="pin_board_entry", request=None, responses=EntryRow)
    def post(self, request: Request, group_id: str, entry_id: str) -> Response:
        """Pin it."""
        return _one(keeping.pin(scope_of(request), group_id, entry_id, is_pinned=True))

    @extend_schema(operation_id="unpin_board_entry", responses=EntryRow)
    def delete(self, request: Request, group_id: str, entry_id: str) -> Response:
        """Pin it no longer."""
        return _one(keeping.pin(scope_of(request), group_id, entry_id, is_pinned=False))


@access("board", GET="read")
class EntryHistory(APIView):
    """What an entry said before."""

    @extend_schema(
        operation_id="read_board_history",
        parameters=[OpenApiParameter("before", int, description="only versions with a lower number")],
        responses=_HISTORY,
    )
    def get(self, request: Request, group_id: str, entry_id: str) -> Response:
        """List its earlier versions, the latest first, 100 at most."""
        told = query_of(request, "before").get("before")
        before = whole_number(told, field="before", default=0, least=1, most=2**31 - 1)
        rows = keeping.history(scope_of(request), group_id, entry_id, before=before or None)
        return Response({"versions": VersionRow(rows, many=True).data})


def _one(entry: BoardEntry, *, status: int = 200) -> Response:
    return Response(EntryRow(entry).data, status=status, headers={"ETag": f'"{entry.version}"'})


def _told(form: type[_Said], request: Request) -> dict[str, Any]:
    """Return what was sent. Raises VALIDATION_ERROR for what nobody can say of an entry, above all who wrote it."""
    body = body_of(request)
    filled = form(data=body)
    for name in body:
        if name not in {*filled.fields, *CLAIMS}:
            raise Invalid(name[:100], "An entry has no such field")
    filled.is_valid(raise_exception=True)
    return dict(filled.validated_data)


def _kind(metadata: dict[str, Any]) -> str:
    """What kind of entry the metadata says it is; without a word, a note."""
    kind = str(metadata.get("episodic_type", BoardEntry.Kind.NOTE)).lower()
    if kind not in BoardEntry.Kind.values:
        raise Invalid("metadata.episodic_type", f"Must be one of {', '.join(BoardEntry.Kind.values)}")
    return kind
