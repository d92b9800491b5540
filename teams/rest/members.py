"""The REST API of who is in a group, and in which order."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Text, WholeNumber, body_of, query_of, scope_of
from openintern.tenancy.access import access
from teams import groups, members
from teams.models import Group, Member
from teams.rest.versions import IF_MATCH, matched


class MemberRow(serializers.Serializer[Any]):
    """A role in a group."""

    id = serializers.CharField()
    group_id = serializers.CharField()
    role_id = serializers.CharField()
    role_name = serializers.CharField(source="role.name")
    agent_instance_id = serializers.CharField(
        source="agent_id", help_text="the role at work in the group's project, with a memory of its own"
    )
    ordinal = serializers.IntegerField()
    is_lead = serializers.SerializerMethodField(help_text="whether it leads the group")
    created_at = serializers.DateTimeField()

    def get_is_lead(self, member: Member) -> bool:
        """Whether it leads the group."""
        return bool(member.pk == self.context["lead"])


class NewMember(serializers.Serializer[Any]):
    """A role to take into a group."""

    role_id = Text(max_length=40)
    ordinal = WholeNumber(required=False, min_value=0, max_value=members.LAST_PLACE, help_text="without: at the end")


class MemberPlace(serializers.Serializer[Any]):
    """Where a member stands."""

    ordinal = WholeNumber(min_value=0, max_value=members.LAST_PLACE)


class MemberOrder(serializers.Serializer[Any]):
    """All members of a group in the order that they shall have."""

    members = serializers.ListField(child=Text(max_length=40), max_length=groups.MOST_MEMBERS)


_MEMBER_LIST = inline_serializer("MemberList", {"members": MemberRow(many=True)})


@access("group", GET="read", POST="change")
class Members(APIView):
    """Who is in a group."""

    @extend_schema(operation_id="list_members", responses=_MEMBER_LIST)
    def get(self, request: Request, group_id: str) -> Response:
        """List them in their order."""
        query_of(request)
        return _list(groups.find(scope_of(request), group_id))

    @extend_schema(operation_id="add_member", parameters=[IF_MATCH], request=NewMember, responses={201: MemberRow})
    def post(self, request: Request, group_id: str) -> Response:
        """Take a role into the group; 409 if it is in it already."""
        form = NewMember(data=body_of(request))
        form.is_valid(raise_exception=True)
        scope = scope_of(request)
        member = members.add(scope, group_id, version=matched(request), **form.validated_data)
        return _one(groups.find(scope, group_id), member, status=201)


@access("group", PUT="change")
class MembersOrder(APIView):
    """The order of a group's members."""

    @extend_schema(operation_id="reorder_members", parameters=[IF_MATCH], request=MemberOrder, responses=_MEMBER_LIST)
    def put(self, request: Request, group_id: str) -> Response:
        """Put them all into another order at once."""
        form = MemberOrder(data=body_of(request))
        form.is_valid(raise_exception=True)
        scope = scope_of(request)
        members.reorder(scope, group_id, form.validated_data["members"], version=matched(request))
        return _list(groups.find(scope, group_id))


@access("group", GET="read", PUT="change", DELETE="change")
class OneMember(APIView):
    """One member of a group."""

    @extend_schema(operation_id="read_member", responses=MemberRow)
    def get(self, request: Request, group_id: str, member_id: str) -> Response:
        """Return it."""
        group = groups.find(scope_of(request), group_id)
        return _one(group, members.find(group, member_id))

    @extend_schema(operation_id="place_member", parameters=[IF_MATCH], request=MemberPlace, responses=MemberRow)
    def put(self, request: Request, group_id: str, member_id: str) -> Response:
        """Give it another place."""
        form = MemberPlace(data=body_of(request))
        form.is_valid(raise_exception=True)
        scope = scope_of(request)
        member = members.place(scope, group_id, member_id, version=matched(request), **form.validated_data)
        return _one(groups.find(scope, group_id), member)

    @extend_schema(operation_id="remove_member", parameters=[IF_MATCH], responses={204: None})
    def delete(self, request: Request, group_id: str, member_id: str) -> Response:
        """Take it out of the group. Its memory stays for when it comes back."""
        members.remove(scope_of(request), group_id, member_id, version=matched(request))
        return Response(status=204)


def _list(group: Group) -> Response:
    there = groups.members_of(group)
    rows = MemberRow(there, many=True, context=_lead(group, there))
    return Response({"members": rows.data}, headers={"ETag": f'"{group.version}"'})


def _one(group: Group, member: Member, *, status: int = 200) -> Response:
    row = MemberRow(member, context=_lead(group, groups.members_of(group)))
    return Response(row.data, status=status, headers={"ETag": f'"{group.version}"'})


def _lead(group: Group, there: list[Member]) -> dict[str, Any]:
    lead = groups.lead_of(group, there)
    return {"lead": lead.pk if lead else ""}
