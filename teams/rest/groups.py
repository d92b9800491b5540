"""The REST API of groups. Who sees a group reads it, admins change it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, WholeNumber, body_of, limit_parameter, query_of, scope_of
from openintern.errors import Invalid
from openintern.tenancy.access import access
from openintern.tenancy.scope import Scope
from teams import groups, history
from teams.models import Group
from teams.models.group import MOST_ROUNDS
from teams.rest.history import OFFSET, HistoryRow, page_of
from teams.rest.versions import IF_MATCH, matched


class GroupRow(serializers.ModelSerializer[Group]):
    """A group: roles that work as a team."""

    project_id = serializers.CharField(source="project.slug", default=None, allow_null=True)
    lead_id = serializers.CharField(allow_null=True, help_text="the member that was chosen to lead")

    class Meta:
        model = Group
        fields = [
            "id",
            "name",
            "description",
            "project_id",
            "lead_id",
            *groups.SETTINGS,
            "version",
            "created_at",
            "updated_at",
        ]


class GroupChange(serializers.Serializer[Any]):
    """What to change of a group."""

    name = Text(max_length=groups.TEXTS["name"], required=False)
    description = Text(max_length=groups.TEXTS["description"], required=False, allow_blank=True)
    project_id = Text(max_length=50, required=False, allow_null=True, help_text="null: everybody sees it")
    mode = Choice(Group.Mode.choices, required=False)
    quorum = WholeNumber(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=groups.MOST_MEMBERS,
        help_text="parallel: for how many the lead waits; null: for all",
    )
    max_rounds = WholeNumber(required=False, min_value=1, max_value=MOST_ROUNDS)
    on_member_failure = Choice(Group.OnFailure.choices, required=False)
    lead_id = Text(
        max_length=40,
        required=False,
        allow_null=True,
        help_text="a member's id; null: the first member whose role is a lead",
    )
    version = WholeNumber(
        required=False, min_value=1, help_text="the one that was read; 409 if the group has changed since"
    )


class NewGroup(GroupChange):
    """A group to make."""

    name = Text(max_length=groups.TEXTS["name"])
    lead_id = None  # type: ignore[assignment]
    version = None  # type: ignore[assignment]


@access("group", GET="read", POST="create")
class Groups(APIView):
    """The groups in sight."""

    @extend_schema(
        operation_id="list_groups",
        parameters=[OpenApiParameter("project_id", str, description="only those of this project")],
        responses=inline_serializer("GroupList", {"groups": GroupRow(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List them, newest first."""
        scope = scope_of(request)
        project = scope.project if query_of(request).get("project_id") else None
        return Response({"groups": GroupRow(groups.search(scope, project=project), many=True).data})

    @extend_schema(operation_id="create_group", request=NewGroup, responses={201: GroupRow})
    def post(self, request: Request) -> Response:
        """Make a group without members, of the project that is named or none."""
        scope = scope_of(request)
        form = NewGroup(data=body_of(request))
        form.is_valid(raise_exception=True)
        told = _with_project(scope, {"project_id": scope.project, **form.validated_data})
        return answer(groups.create(scope, **told), status=201)


@access("group", GET="read", PUT="change", DELETE="delete")
class OneGroup(APIView):
    """One group."""

    @extend_schema(operation_id="read_group", responses=GroupRow)
    def get(self, request: Request, group_id: str) -> Response:
        """Return it; its ETag names its version."""
        return answer(groups.find(scope_of(request), group_id))

    @extend_schema(operation_id="change_group", parameters=[IF_MATCH], request=GroupChange, responses=GroupRow)
    def put(self, request: Request, group_id: str) -> Response:
        """Change what is given of it. Runs that have begun keep what they began with."""
        form = GroupChange(data=body_of(request))
        form.is_valid(raise_exception=True)
        told = _with_project(scope_of(request), form.validated_data)
        version = told.pop("version", None) or matched(request)
        return answer(groups.change(scope_of(request), group_id, version=version, **told))

    @extend_schema(operation_id="delete_group", responses={204: None})
    def delete(self, request: Request, group_id: str) -> Response:
        """Remove it. Runs that have begun keep what they began with."""
        groups.delete(scope_of(request), group_id)
        return Response(status=204)


@access("group", GET="read")
class GroupHistory(APIView):
    """Who did what to a group."""

    @extend_schema(
        operation_id="read_group_history",
        parameters=[limit_parameter(), OFFSET],
        responses=inline_serializer("GroupHistory", {"history": HistoryRow(many=True)}),
    )
    def get(self, request: Request, group_id: str) -> Response:
        """List it, newest first."""
        limit, offset = page_of(request)
        scope = scope_of(request)
        rows = history.of(scope, groups.find(scope, group_id).pk, limit=limit, offset=offset)
        return Response({"history": HistoryRow(rows, many=True).data})


@access("group", POST="delete")
class GroupsDeletion(APIView):
    """Several groups at once."""

    @extend_schema(
        operation_id="delete_groups",
        request=inline_serializer(
            "GroupIds",
            {"ids": serializers.ListField(child=Text(max_length=40), min_length=1, max_length=groups.MOST_AT_ONCE)},
        ),
        responses=inline_serializer("GroupsDeleted", {"deleted": serializers.IntegerField()}),
    )
    def post(self, request: Request) -> Response:
        """Remove those that are there; the others are passed over."""
        ids = body_of(request).get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) and 0 < len(one) <= 40 for one in ids):
            raise Invalid("ids", "Must be a list of ids")
        return Response({"deleted": groups.delete_many(scope_of(request), ids)})


def answer(group: Group, *, status: int = 200) -> Response:
    """Return a group with its ETag."""
    return Response(GroupRow(group).data, status=status, headers={"ETag": f'"{group.version}"'})


def _with_project(scope: Scope, told: dict[str, Any]) -> dict[str, Any]:
    """Put the project where its id stands: the one in scope, which the middleware has found to be in sight."""
    if "project_id" not in told:
        return told
    kept = {name: value for name, value in told.items() if name != "project_id"}
    return {**kept, "project": scope.project if told["project_id"] else None}
