"""The REST API of roles. Members read them, admins change them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Text, WholeNumber, YesNo, body_of, limit_parameter, query_of, scope_of
from openintern.errors import Invalid
from openintern.tenancy.access import access
from teams import history, roles
from teams.models import Role
from teams.models.role import LONGEST_ENTRY, MOST_ENTRIES
from teams.rest.history import OFFSET, HistoryRow, page_of
from teams.rest.versions import IF_MATCH, matched


class RoleRow(serializers.ModelSerializer[Role]):
    """A role: what an agent is told, and what it may do."""

    class Meta:
        model = Role
        fields = ["id", *roles.FIELDS, "version", "created_at", "updated_at"]


def _entries() -> serializers.ListField:
    return serializers.ListField(child=Text(max_length=LONGEST_ENTRY), required=False, max_length=MOST_ENTRIES)


class RoleChange(serializers.Serializer[Any]):
    """What to change of a role."""

    name = Text(max_length=100, required=False)
    description = Text(max_length=2000, required=False, allow_blank=True)
    system_prompt = Text(max_length=roles.LONGEST_PROMPT, required=False, trim_whitespace=False)
    allowed_tools = _entries()
    denied_tools = _entries()
    style_constraints = serializers.DictField(required=False)
    model = Text(max_length=250, required=False, allow_blank=True, help_text="PROVIDER/MODEL; empty: the default")
    is_lead = YesNo(required=False)
    version = WholeNumber(
        required=False, min_value=1, help_text="the one that was read; 409 if the role has changed since"
    )


class NewRole(RoleChange):
    """A role to make."""

    name = Text(max_length=100)
    system_prompt = Text(max_length=roles.LONGEST_PROMPT, trim_whitespace=False)
    version = None  # type: ignore[assignment]


@access("role", GET="read", POST="create")
class Roles(APIView):
    """The organisation's roles."""

    @extend_schema(operation_id="list_roles", responses=inline_serializer("RoleList", {"roles": RoleRow(many=True)}))
    def get(self, request: Request) -> Response:
        """List them, newest first."""
        query_of(request)
        return Response({"roles": RoleRow(roles.all_roles(), many=True).data})

    @extend_schema(operation_id="create_role", request=NewRole, responses={201: RoleRow})
    def post(self, request: Request) -> Response:
        """Make a role."""
        form = NewRole(data=body_of(request))
        form.is_valid(raise_exception=True)
        return _answer(roles.create(scope_of(request), **form.validated_data), status=201)


@access("role", GET="read", PUT="change", DELETE="delete")
class OneRole(APIView):
    """One role."""

    @extend_schema(operation_id="read_role", responses=RoleRow)
    def get(self, request: Request, role_id: str) -> Response:
        """Return it; its ETag names its version."""
        return _answer(roles.find(role_id))

    @extend_schema(operation_id="change_role", parameters=[IF_MATCH], request=RoleChange, responses=RoleRow)
    def put(self, request: Request, role_id: str) -> Response:
        """Change what is given of it. Runs that have begun keep what they began with."""
        form = RoleChange(data=body_of(request))
        form.is_valid(raise_exception=True)
        told = form.validated_data
        version = told.pop("version", None) or matched(request)
        return _answer(roles.change(scope_of(request), role_id, version=version, **told))

    @extend_schema(operation_id="delete_role", responses={204: None})
    def delete(self, request: Request, role_id: str) -> Response:
        """Remove it. Runs that have begun keep what they began with."""
        roles.delete(scope_of(request), role_id)
        return Response(status=204)


@access("role", GET="read")
class RoleStats(APIView):
    """What came of a role's runs, and which groups it is in."""

    @extend_schema(
        operation_id="read_role_stats",
        responses=inline_serializer(
            "RoleStats",
            {
                "run_count": serializers.IntegerField(),
                "completed_count": serializers.IntegerField(),
                "failed_count": serializers.IntegerField(),
                "group_count": serializers.IntegerField(),
                "groups": inline_serializer(
                    "GroupOfRole", {"id": serializers.CharField(), "name": serializers.CharField()}, many=True
                ),
            },
        ),
    )
    def get(self, request: Request, role_id: str) -> Response:
        """Count its runs by how they ended; name its groups."""
        return Response(roles.stats(scope_of(request), role_id))


@access("role", GET="read")
class RoleHistory(APIView):
    """Who did what to a role."""

    @extend_schema(
        operation_id="read_role_history",
        parameters=[limit_parameter(), OFFSET],
        responses=inline_serializer("RoleHistory", {"history": HistoryRow(many=True)}),
    )
    def get(self, request: Request, role_id: str) -> Response:
        """List it, newest first."""
        limit, offset = page_of(request)
        rows = history.of(scope_of(request), roles.find(role_id).pk, limit=limit, offset=offset)
        return Response({"history": HistoryRow(rows, many=True).data})


@access("role", POST="delete")
class RolesDeletion(APIView):
    """Several roles at once."""

    @extend_schema(
        operation_id="delete_roles",
        request=inline_serializer(
            "RoleIds",
            {"ids": serializers.ListField(child=Text(max_length=40), min_length=1, max_length=roles.MOST_AT_ONCE)},
        ),
        responses=inline_serializer("RolesDeleted", {"deleted": serializers.IntegerField()}),
    )
    def post(self, request: Request) -> Response:
        """Remove those that are there; the others are passed over."""
        ids = body_of(request).get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) and 0 < len(one) <= 40 for one in ids):
            raise Invalid("ids", "Must be a list of ids")
        return Response({"deleted": roles.delete_many(scope_of(request), ids)})


def _answer(role: Role, *, status: int = 200) -> Response:
    return Response(RoleRow(role).data, status=status, headers={"ETag": f'"{role.version}"'})
