"""Who am I? The first call of every integration."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import scope_of
from openintern.tenancy.access import access


@access("profile", GET="read")
class Me(APIView):
    """The identity a request has."""

    @extend_schema(
        operation_id="read_me",
        responses=inline_serializer(
            "Me",
            {
                "org_id": serializers.CharField(),
                "user_id": serializers.CharField(),
                "role": serializers.CharField(),
                "project_id": serializers.CharField(allow_null=True),
                "via": serializers.CharField(),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """Say as whom, in which organisation and project, and how the request came in."""
        scope = scope_of(request)
        project = scope.project.slug if scope.project else None
        return Response(
            {
                "org_id": scope.org.slug,
                "user_id": scope.user.username,
                "role": scope.role.value,
                "project_id": project,
                "via": scope.via,
            }
        )
