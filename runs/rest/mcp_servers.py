"""The REST API of foreign MCP servers: for an organisation's admins. A secret goes in and never comes out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, WholeNumber, YesNo, body_of, query_of, scope_of
from openintern.errors import Invalid
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS
from runs.mcp import servers
from runs.models import McpServer


class ToolRow(serializers.Serializer[Any]):
    """A tool as the server says it; everything in it is untrusted."""

    name = serializers.CharField()
    alias = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField()
    digest = serializers.CharField()
    refused = serializers.CharField(help_text="why it can't be used, if it can't")


class ServerRow(serializers.ModelSerializer[McpServer]):
    """A server, with what it lists and what of that is approved."""

    server_id = serializers.IntegerField(source="pk")
    has_secret = serializers.SerializerMethodField()
    seen = ToolRow(many=True)
    approved = serializers.SerializerMethodField()
    changed = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = McpServer
        fields = [
            "server_id", *servers.FIELDS, "has_secret", "state", "error", "looked_at", "failed_at", "seen", "approved",
            "changed",
        ]  # fmt: skip

    def get_has_secret(self, server: McpServer) -> bool:
        """Whether there is one."""
        return bool(server.secret)

    def get_approved(self, server: McpServer) -> dict[str, str]:
        """The digest of each tool that is approved."""
        return {tool["name"]: tool["digest"] for tool in server.approved}


class NewServer(serializers.Serializer[Any]):
    """A server: a program of the operator's catalogue with its parameters, or an address."""

    name = Text(max_length=20)
    transport = Choice(McpServer.Transport.values, required=False)
    program = Text(max_length=40, required=False)
    parameters = serializers.DictField(child=serializers.CharField(), required=False)
    url = Text(max_length=2000, required=False)
    auth = Choice(McpServer.Auth.values, required=False)
    secret = Text(max_length=servers.LONGEST_SECRET, required=False, write_only=True)
    client_id = Text(max_length=200, required=False)
    issuer = Text(max_length=2000, required=False)
    oauth_scope = Text(max_length=500, required=False)
    risk = Choice(McpServer.Risk.values, required=False)
    timeout_seconds = WholeNumber(min_value=1, max_value=600, required=False)
    is_enabled = YesNo(required=False)


class Digests(serializers.Serializer[Any]):
    """The tools to approve, as they were shown: all others are approved no more."""

    digests = serializers.DictField(child=serializers.CharField())


@access("mcp_server", GET="read", POST="change")
class McpServers(APIView):
    """The organisation's servers."""

    @extend_schema(
        operation_id="list_mcp_servers",
        responses=inline_serializer("McpServerList", {"servers": ServerRow(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List them by name."""
        query_of(request)
        return Response({"servers": ServerRow(servers.servers(scope_of(request)), many=True).data})

    @extend_schema(operation_id="add_mcp_server", request=NewServer, responses={201: ServerRow})
    def post(self, request: Request) -> Response:
        """Add one. Nothing is started or asked until somebody looks at it."""
        return Response(ServerRow(servers.add(scope_of(request), _told(request))).data, status=201)


@access("mcp_server", GET="read", PATCH="change", DELETE="change")
class OneMcpServer(APIView):
    """One server."""

    @extend_schema(operation_id="read_mcp_server", responses=ServerRow)
    def get(self, request: Request, server_id: int) -> Response:
        """Read it."""
        return Response(ServerRow(servers.find(scope_of(request), server_id)).data)

    @extend_schema(operation_id="change_mcp_server", request=NewServer(partial=True), responses=ServerRow)
    def patch(self, request: Request, server_id: int) -> Response:
        """Change what is given of it. Another place makes it another server: its tools have to be approved anew."""
        return Response(ServerRow(servers.change(scope_of(request), server_id, _told(request))).data)

    @extend_schema(operation_id="remove_mcp_server", responses={204: None})
    def delete(self, request: Request, server_id: int) -> Response:
        """Remove it."""
        servers.remove(scope_of(request), server_id)
        return Response(status=204)


@access("mcp_server", POST="change")
class McpServerLook(APIView):
    """Looking at a server."""

    @extend_schema(operation_id="look_at_mcp_server", request=None, responses=ServerRow)
    def post(self, request: Request, server_id: int) -> Response:
        """Connect to it, and say how that went and which tools it lists now."""
        return Response(ServerRow(servers.look(scope_of(request), server_id)).data)


@access("mcp_server", POST="change")
class McpServerApprove(APIView):
    """Approving tools."""

    @extend_schema(operation_id="approve_mcp_tools", request=Digests, responses=ServerRow)
    def post(self, request: Request, server_id: int) -> Response:
        """Approve tools by name and digest; 409 where one isn't what was shown."""
        digests = body_of(request).get("digests")
        if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
            raise Invalid("digests", "Must be an object of texts")
        return Response(ServerRow(servers.approve(scope_of(request), server_id, digests)).data)


def _told(request: Request) -> dict[str, Any]:
    return {name: value for name, value in body_of(request).items() if name not in CLAIMS}
