"""The REST API of change sets."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from memory.consolidation import deciding
from memory.models import Change, ChangeSet, State
from openintern.api import WholeNumber, body_of, limit_parameter, query_of, scope_of
from openintern.paging import newest_first, whole_number
from openintern.tenancy.access import access


class ChangeRow(serializers.ModelSerializer[Change]):
    """A proposal: to merge memories, or to forget one."""

    change_id = serializers.IntegerField(source="pk")
    memories = serializers.ListField(source="members", child=serializers.UUIDField())
    merged_text = serializers.CharField(source="text", help_text="of a merge, while it is proposed")
    result = serializers.UUIDField(allow_null=True, help_text="the memory that an accepted merge made")

    class Meta:
        model = Change
        fields = ["change_id", "kind", "state", "memories", "merged_text", "written_by", "evidence", "result"]


class ChangeSetRow(serializers.ModelSerializer[ChangeSet]):
    """What one pass proposes for one owner."""

    change_set_id = serializers.UUIDField(source="pk")
    owner = serializers.CharField(source="owner.kind", help_text="`user` or `project`")
    project_id = serializers.CharField(source="project.slug", default=None, allow_null=True)
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)
    changes = ChangeRow(many=True)

    class Meta:
        model = ChangeSet
        fields = ["change_set_id", "owner", "project_id", "state", "created_at", "decided_at", "decided_by", "changes"]


class Choice(serializers.Serializer[Any]):
    """Which changes to make; all, unless said."""

    changes = serializers.ListField(child=WholeNumber(min_value=1), required=False, max_length=1000)


@access("memory", GET="read")
class ChangeSets(APIView):
    """What passes have proposed."""

    @extend_schema(
        operation_id="list_memory_changes",
        parameters=[
            OpenApiParameter("state", str, enum=State.values),
            OpenApiParameter("cursor", str, description="where to go on: `next_cursor` of the page before"),
            limit_parameter(most=50),
        ],
        responses=inline_serializer(
            "MemoryChangeList",
            {"change_sets": ChangeSetRow(many=True), "next_cursor": serializers.CharField(allow_null=True)},
        ),
    )
    def get(self, request: Request) -> Response:
        """List the change sets about one's own memories and those of one's projects, newest first."""
        query = query_of(request, "state", "cursor", "limit")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=50)
        rows = deciding.change_sets(scope_of(request), state=query.get("state", "")).prefetch_related("changes")
        page = newest_first(rows, cursor=query.get("cursor"), limit=limit)
        return Response({"change_sets": ChangeSetRow(page.rows, many=True).data, "next_cursor": page.next_cursor})


@access("memory", GET="read")
class OneChangeSet(APIView):
    """One change set."""

    @extend_schema(operation_id="get_memory_changes", responses=ChangeSetRow)
    def get(self, request: Request, change_set_id: uuid.UUID) -> Response:
        """Return it with its changes."""
        return Response(ChangeSetRow(deciding.find_change_set(scope_of(request), change_set_id)).data)


@access("memory", POST="change")
class AcceptChanges(APIView):
    """Accepting."""

    @extend_schema(operation_id="accept_memory_changes", request=Choice, responses=ChangeSetRow)
    def post(self, request: Request, change_set_id: uuid.UUID) -> Response:
        """Make all changes of the set, or the chosen ones; the others are rejected."""
        form = Choice(data=body_of(request))
        form.is_valid(raise_exception=True)
        chosen = form.validated_data.get("changes")
        accepted = deciding.accept(scope_of(request), change_set_id, chosen=chosen, at=timezone.now())
        return Response(ChangeSetRow(accepted).data)


@access("memory", POST="change")
class RejectChanges(APIView):
    """Rejecting."""

    @extend_schema(operation_id="reject_memory_changes", request=None, responses=ChangeSetRow)
    def post(self, request: Request, change_set_id: uuid.UUID) -> Response:
        """Leave everything as it is; the same isn't proposed again."""
        return Response(ChangeSetRow(deciding.reject(scope_of(request), change_set_id, at=timezone.now())).data)


@access("memory", POST="change")
class RollBackChanges(APIView):
    """The way back."""

    @extend_schema(operation_id="roll_back_memory_changes", request=None, responses=ChangeSetRow)
    def post(self, request: Request, change_set_id: uuid.UUID) -> Response:
        """Put back what the set has changed, all or nothing."""
        return Response(ChangeSetRow(deciding.roll_back(scope_of(request), change_set_id, at=timezone.now())).data)
