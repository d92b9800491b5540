"""The REST API of what groups do: their runs."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, body_of, limit_parameter, number_parameter, query_of, scope_of
from openintern.paging import whole_number
from openintern.tenancy.access import access
from runs import lifecycle
from runs.files.attachments import MOST
from runs.models import DEFAULT_SESSION_KEY, SESSION_KEY_PATTERN, Run
from runs.multitask import Strategy
from runs.rest.serializers import NO_SESSION_KEY, Attachment, LlmConfig
from teams import group_runs

_FURTHEST = 100_000


class GroupTask(serializers.Serializer[Any]):
    """A task for a team. `llm_config` takes the place of every member's own model."""

    input = Text(trim_whitespace=False)
    session_key = serializers.RegexField(
        f"^{SESSION_KEY_PATTERN}$", default=DEFAULT_SESSION_KEY, error_messages=NO_SESSION_KEY
    )
    llm_config = LlmConfig(required=False)
    attachments = serializers.ListField(child=Attachment(), max_length=MOST, required=False)
    multitask_strategy = Choice([strategy.value for strategy in Strategy], default=Strategy.ENQUEUE.value)


class GroupRun(serializers.ModelSerializer[Run]):
    """A run in a group's history."""

    run_id = serializers.CharField(source="pk")

    class Meta:
        model = Run
        fields = ["run_id", "status", "input", "created_at", "ended_at", "duration_ms"]


@access("run", GET="read", POST="create")
class GroupRuns(APIView):
    """What a team did, and the way to give it a task."""

    @extend_schema(
        operation_id="list_group_runs",
        parameters=[
            limit_parameter(most=100, default=20),
            number_parameter("offset", least=0, most=_FURTHEST, default=0),
        ],
        responses=inline_serializer("GroupRunPage", {"runs": GroupRun(many=True)}),
    )
    def get(self, request: Request, group_id: str) -> Response:
        """List the group's runs in sight, newest first."""
        query = query_of(request, "limit", "offset")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        offset = whole_number(query.get("offset"), field="offset", default=0, least=0, most=_FURTHEST)
        rows = group_runs.history(scope_of(request), group_id)[offset : offset + limit]
        return Response({"runs": GroupRun(rows, many=True).data})

    @extend_schema(
        operation_id="create_group_run",
        request=GroupTask,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key", str, OpenApiParameter.HEADER, description="sent twice, it starts one run"
            )
        ],
        responses={
            201: inline_serializer(
                "GroupRunCreated",
                {
                    "run_id": serializers.CharField(),
                    "group_id": serializers.CharField(),
                    "status": serializers.CharField(),
                    "created_at": serializers.DateTimeField(),
                },
            )
        },
    )
    def post(self, request: Request, group_id: str) -> Response:
        """Give the team a task. The run is recorded when this answers; a later change of the group changes nothing in it."""
        form = GroupTask(data=body_of(request))
        form.is_valid(raise_exception=True)
        task = form.validated_data
        run = lifecycle.create_run(
            scope_of(request),
            text=task["input"],
            session_key=task["session_key"],
            group_id=group_id,
            llm_config=task.get("llm_config"),
            multitask_strategy=task["multitask_strategy"],
            attachments=[attached["upload_id"] for attached in task.get("attachments", ())],
            idempotency_key=request.headers.get("Idempotency-Key"),
            at=timezone.now(),
        )
        # the same key gets the same answer, however far its run has come
        answer = {
            "run_id": run.pk,
            "group_id": run.group_id,
            "status": Run.Status.PENDING,
            "created_at": run.created_at,
        }
        return Response(answer, status=201, headers={"Location": f"/api/runs/{run.pk}"})


@access("run", GET="read")
class GroupStats(APIView):
    """What came of a group's runs."""

    @extend_schema(
        operation_id="read_group_stats",
        responses=inline_serializer(
            "GroupStats",
            {
                "run_count": serializers.IntegerField(),
                "completed_count": serializers.IntegerField(),
                "failed_count": serializers.IntegerField(),
                "success_rate": serializers.FloatField(help_text="completed of all, from 0 to 1"),
                "avg_duration_ms": serializers.IntegerField(allow_null=True),
            },
        ),
    )
    def get(self, request: Request, group_id: str) -> Response:
        """Count its runs in sight by how they ended, and say how long they took on average."""
        return Response(group_runs.stats(scope_of(request), group_id))
