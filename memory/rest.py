"""The REST API of memories. Each view makes one call into the domain and puts its result into form."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from memory import keeping, search
from memory.keeping import Wanted
from memory.models import Memory, Tier
from memory.search import Filters, Hit
from openintern.api import Choice, Number, Text, WholeNumber, YesNo, body_of, limit_parameter, query_of, scope_of
from openintern.paging import flag, newest_first, whole_number
from openintern.tenancy.access import access

LONGEST_QUERY = 100_000
_WANTED = ("tier", "owner", "source_type", "run_id", "document")


class MemoryRow(serializers.ModelSerializer[Memory]):
    """A memory and where it comes from."""

    memory_id = serializers.UUIDField(source="pk")
    tier = Choice(Tier.values)
    owner = serializers.CharField(source="owner.kind", help_text="`user`, `project`, `board` or `agent`")
    project_id = serializers.CharField(source="shelf.project.slug", default=None, allow_null=True)
    author_id = serializers.CharField(source="author.username", default=None, allow_null=True)
    supersedes = serializers.UUIDField(source="supersedes_id", allow_null=True)

    class Meta:
        model = Memory
        fields = [
            "memory_id",
            "tier",
            "owner",
            "project_id",
            "author_id",
            "text",
            "metadata",
            "importance",
            "trust",
            "contains_secrets",
            "run_id",
            "event_seq",
            "document",
            "source_type",
            "source_key",
            "supersedes",
            "created_at",
            "updated_at",
            "superseded_at",
            "forgotten_at",
        ]


class NewMemory(serializers.Serializer[Any]):
    """Something to remember."""

    text = Text(trim_whitespace=False)
    tier = Choice(Tier.values, default=Tier.CORE.value)
    owner = Choice(keeping.OWNERS, default="user", help_text="`project`: for all in the project named")
    metadata = serializers.DictField(required=False)
    importance = Number(default=0.5, min_value=0, max_value=1)
    source_key = Text(max_length=300, required=False, allow_blank=True, default="", help_text="replaces what had it")


class Correction(serializers.Serializer[Any]):
    """What to change of a memory."""

    text = Text(trim_whitespace=False, required=False)
    tier = Choice(Tier.values, required=False)
    metadata = serializers.DictField(required=False)
    importance = Number(required=False, min_value=0, max_value=1)


class Replacement(serializers.Serializer[Any]):
    """What takes a memory's place."""

    text = Text(trim_whitespace=False)


class Question(serializers.Serializer[Any]):
    """What to look for, and where."""

    query = Text(max_length=LONGEST_QUERY)
    limit = WholeNumber(default=10, min_value=1, max_value=search.finding.MOST_HITS)
    tiers = serializers.ListField(child=Choice(Tier.values), required=False, max_length=len(Tier))
    run_id = Text(max_length=40, required=False, allow_blank=True, default="")
    document = Text(max_length=300, required=False, allow_blank=True, default="")
    explain = YesNo(default=False)


class QuoteRow(serializers.Serializer[Any]):
    """A passage that speaks for a hit."""

    snippet = serializers.CharField()
    highlights = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    heading = serializers.CharField()
    page = serializers.IntegerField(allow_null=True)
    anchor = serializers.CharField(help_text="what its source calls the place: the id of a block, of a record")
    score = serializers.FloatField()


class HitRow(serializers.Serializer[Any]):
    """A memory that was found, with its best passages."""

    memory_id = serializers.UUIDField(source="id")
    tier = serializers.CharField()
    owner = serializers.CharField()
    score = serializers.FloatField()
    text = serializers.CharField(help_text="its beginning")
    quotes = QuoteRow(many=True)
    metadata = serializers.DictField()
    importance = serializers.FloatField()
    trust = serializers.CharField()
    source_type = serializers.CharField()
    document = serializers.CharField()
    run_id = serializers.CharField()
    event_seq = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()
    explanation = serializers.SerializerMethodField()

    def get_explanation(self, hit: Hit) -> dict[str, Any] | None:
        """Why it is where it is, if that was asked for."""
        return None if hit.explanation is None else dict(vars(hit.explanation))


@access("memory", GET="read", POST="create")
class Memories(APIView):
    """What is remembered, and remembering."""

    @extend_schema(
        operation_id="list_memories",
        parameters=[
            OpenApiParameter("tier", str, enum=Tier.values),
            OpenApiParameter("owner", str, enum=list(keeping.OWNERS)),
            OpenApiParameter("source_type", str, description="such as `run`, `person`, `agent`"),
            OpenApiParameter("run_id", str),
            OpenApiParameter("document", str),
            OpenApiParameter(
                "forgotten", str, enum=["true", "false", "1", "0"], description="those that can be brought back"
            ),
            OpenApiParameter("cursor", str, description="where to go on: `next_cursor` of the page before"),
            limit_parameter(),
        ],
        responses=inline_serializer(
            "MemoryList", {"memories": MemoryRow(many=True), "next_cursor": serializers.CharField(allow_null=True)}
        ),
    )
    def get(self, request: Request) -> Response:
        """List one's own memories and those of one's projects, newest first."""
        query = query_of(request, *_WANTED, "forgotten", "cursor", "limit")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        forgotten = flag(query.pop("forgotten", None), field="forgotten")
        wanted = Wanted(**{name: query[name] for name in _WANTED if name in query}, forgotten=forgotten)
        rows = keeping.memories(scope_of(request), wanted)
        page = newest_first(rows, cursor=query.get("cursor"), limit=limit)
        return Response({"memories": MemoryRow(page.rows, many=True).data, "next_cursor": page.next_cursor})

    @extend_schema(operation_id="create_memory", request=NewMemory, responses={201: MemoryRow})
    def post(self, request: Request) -> Response:
        """Remember something. What says the same already is returned as it is."""
        form = NewMemory(data=body_of(request))
        form.is_valid(raise_exception=True)
        return Response(MemoryRow(keeping.keep(scope_of(request), **form.validated_data)).data, status=201)


@access("memory", GET="read", PATCH="change", DELETE="delete")
class OneMemory(APIView):
    """One memory."""

    @extend_schema(operation_id="get_memory", responses=MemoryRow)
    def get(self, request: Request, memory_id: uuid.UUID) -> Response:
        """Return it whole, superseded or not."""
        return Response(MemoryRow(search.find_memory(scope_of(request), memory_id)).data)

    @extend_schema(operation_id="change_memory", request=Correction, responses=MemoryRow)
    def patch(self, request: Request, memory_id: uuid.UUID) -> Response:
        """Change what is given of it."""
        form = Correction(data=body_of(request))
        form.is_valid(raise_exception=True)
        return Response(MemoryRow(keeping.correct(scope_of(request), memory_id, **form.validated_data)).data)

    @extend_schema(operation_id="forget_memory", responses={204: None})
    def delete(self, request: Request, memory_id: uuid.UUID) -> Response:
        """Forget it, and what was derived from it; it can be brought back for 30 days."""
        keeping.forget(scope_of(request), memory_id, at=timezone.now())
        return Response(status=204)


@access("memory", POST="change")
class MemorySupersede(APIView):
    """Replacing a memory."""

    @extend_schema(operation_id="supersede_memory", request=Replacement, responses={201: MemoryRow})
    def post(self, request: Request, memory_id: uuid.UUID) -> Response:
        """Put a new memory in its place."""
        form = Replacement(data=body_of(request))
        form.is_valid(raise_exception=True)
        return Response(
            MemoryRow(keeping.replace(scope_of(request), memory_id, **form.validated_data)).data, status=201
        )


@access("memory", POST="delete")
class MemoryRestore(APIView):
    """Bringing a memory back."""

    @extend_schema(operation_id="restore_memory", request=None, responses=MemoryRow)
    def post(self, request: Request, memory_id: uuid.UUID) -> Response:
        """Undo the forgetting that took it."""
        return Response(MemoryRow(keeping.bring_back(scope_of(request), memory_id, at=timezone.now())).data)


@access("memory", POST="read")
class MemorySearch(APIView):
    """Finding memories."""

    @extend_schema(
        operation_id="search_memories",
        request=Question,
        responses=inline_serializer(
            "MemoryHits",
            {
                "hits": HitRow(many=True),
                "missing_vectors": serializers.IntegerField(help_text="passages found by their words alone so far"),
                "searched": serializers.IntegerField(help_text="passages in sight"),
            },
        ),
    )
    def post(self, request: Request) -> Response:
        """Search by words and by meaning; `explain` says of each hit why it is there."""
        form = Question(data=body_of(request))
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        filters = Filters(run_id=asked["run_id"], document=asked["document"])
        answer = search.search(
            scope_of(request),
            asked["query"],
            limit=asked["limit"],
            tiers=asked.get("tiers") or Tier.values,
            filters=None if filters.is_empty else filters,
            explain=asked["explain"],
        )
        return Response(
            {
                "hits": HitRow(answer.hits, many=True).data,
                "missing_vectors": answer.missing_vectors,
                "searched": answer.searched,
            }
        )
