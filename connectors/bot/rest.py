"""The REST API of a connector's bot: who people of Feishu are here, and what became of what they said. For admins."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors import connecting
from connectors.bot import people
from connectors.models import BotMessage, FeishuPerson
from connectors.rest import scope_in_project, told_in
from openintern.api import Text, limit_parameter, query_of
from openintern.paging import whole_number
from openintern.tenancy.access import access


class PersonRow(serializers.ModelSerializer[FeishuPerson]):
    """Who somebody of Feishu is here."""

    username = serializers.CharField(source="user.username")

    class Meta:
        model = FeishuPerson
        fields = ["open_id", "username"]


class NewPerson(serializers.Serializer[Any]):
    """Somebody of Feishu, and who that is here."""

    open_id = Text(max_length=100)
    username = Text(max_length=150)


class MessageRow(serializers.ModelSerializer[BotMessage]):
    """What became of a message: not what it says, which is in its run."""

    state = serializers.ChoiceField(BotMessage.State.values)
    run_id = serializers.CharField(help_text="empty where none was started")
    problem = serializers.CharField(help_text="why there is no answer, or not yet")

    class Meta:
        model = BotMessage
        fields = ["id", "message_id", "sender", "state", "run_id", "problem", "created_at", "ended_at"]


@access("connector", GET="change", POST="change")
class ConnectorPeople(APIView):
    """Who people of Feishu are here."""

    @extend_schema(
        operation_id="list_feishu_people",
        responses=inline_serializer("FeishuPersonList", {"people": PersonRow(many=True)}),
    )
    def get(self, request: Request, connector_id: str) -> Response:
        """List who is known to the bot."""
        query_of(request)
        connector = connecting.find(scope_in_project(request), connector_id)
        return Response({"people": PersonRow(people.known(connector), many=True).data})

    @extend_schema(operation_id="name_feishu_person", request=NewPerson, responses={201: PersonRow})
    def post(self, request: Request, connector_id: str) -> Response:
        """Say who somebody is, in place of what was said before: their messages are tasks in that person's name."""
        scope = scope_in_project(request)
        connector = connecting.find(scope, connector_id)
        told = NewPerson(data=told_in(request))
        told.is_valid(raise_exception=True)
        named = people.name(
            scope, connector, open_id=told.validated_data["open_id"], username=told.validated_data["username"]
        )
        return Response(PersonRow(named).data, status=201)


@access("connector", DELETE="change")
class OneConnectorPerson(APIView):
    """One of them."""

    @extend_schema(operation_id="forget_feishu_person", responses={204: None})
    def delete(self, request: Request, connector_id: str, open_id: str) -> Response:
        """Have somebody be nobody here."""
        scope = scope_in_project(request)
        people.forget(scope, connecting.find(scope, connector_id), open_id=open_id)
        return Response(status=204)


@access("connector", GET="change")
class ConnectorMessages(APIView):
    """Messages to the bot."""

    @extend_schema(
        operation_id="list_feishu_messages",
        parameters=[limit_parameter()],
        responses=inline_serializer("FeishuMessageList", {"messages": MessageRow(many=True)}),
    )
    def get(self, request: Request, connector_id: str) -> Response:
        """List them, newest first."""
        limit = whole_number(query_of(request, "limit").get("limit"), field="limit", default=20, least=1, most=100)
        connector = connecting.find(scope_in_project(request), connector_id)
        rows = BotMessage.objects.filter(connector=connector).order_by("-created_at", "-pk")[:limit]
        return Response({"messages": MessageRow(rows, many=True).data})
