"""The REST API of schedules: tasks that are given by the clock."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, body_of, query_of, scope_of
from openintern.errors import Invalid
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS
from openintern.tenancy.scope import Scope
from runs.models import SESSION_KEY_PATTERN, Firing, Schedule
from runs.rest.once import once
from runs.rest.serializers import NO_SESSION_KEY, LlmConfig
from runs.scheduling import cron, keeping


class FiringRow(serializers.ModelSerializer[Firing]):
    """What came of one due time."""

    problem = serializers.DictField(child=serializers.CharField(), help_text="`code` and `message`, where refused")

    class Meta:
        model = Firing
        fields = ["due_at", "fired_at", "outcome", "missed", "run_id", "problem"]


class ScheduleRow(serializers.Serializer[Any]):
    """A schedule, with what comes next and what came of it last."""

    schedule_id = serializers.CharField(source="row.pk")
    name = serializers.CharField(source="row.name")
    user_id = serializers.CharField(source="row.user.username")
    project_id = serializers.CharField(source="row.project.slug", default=None, allow_null=True)
    input = serializers.CharField(source="row.input")
    cron = serializers.CharField(source="row.cron")
    time_zone = serializers.CharField(source="row.time_zone", help_text="its own; empty: the organisation's")
    zone = serializers.CharField(help_text="the time zone by which it goes")
    role_id = serializers.CharField(source="row.role_id")
    group_id = serializers.CharField(source="row.group_id")
    session_key = serializers.CharField(source="row.session_key")
    llm_config = serializers.DictField(source="row.llm_config")
    paused = Choice(Schedule.Paused.choices, source="row.paused")
    next_at = serializers.DateTimeField(source="row.next_at", allow_null=True)
    next = serializers.SerializerMethodField()
    firings = FiringRow(many=True)
    created_at = serializers.DateTimeField(source="row.created_at")

    def get_next(self, shown: keeping.Shown) -> list[str]:
        """The next five due times, as the clocks of its zone show them."""
        return [at.isoformat() for at in shown.next]


class NewSchedule(serializers.Serializer[Any]):
    """A task and when it is due: five fields of cron. Without `session_key` it has a conversation of its own."""

    name = Text(max_length=100)
    input = Text(max_length=keeping.LONGEST_TASK, trim_whitespace=False)
    cron = Text(max_length=cron.LONGEST)
    time_zone = Text(max_length=60, required=False, allow_blank=True, help_text="empty: the organisation's")
    role_id = Text(max_length=40, required=False, allow_blank=True)
    group_id = Text(max_length=40, required=False, allow_blank=True, help_text="the team that works on it")
    session_key = serializers.RegexField(
        f"^({SESSION_KEY_PATTERN})?$", required=False, allow_blank=True, error_messages=NO_SESSION_KEY
    )
    llm_config = LlmConfig(required=False)


class Zone(serializers.Serializer[Any]):
    """The organisation's time zone."""

    time_zone = Text(max_length=60)


@access("schedule", GET="read", POST="create")
class Schedules(APIView):
    """Tasks that are given by the clock."""

    @extend_schema(
        operation_id="list_schedules",
        responses=inline_serializer("ScheduleList", {"schedules": ScheduleRow(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List those in sight, by name, each with its next five due times."""
        query_of(request)
        scope = scope_of(request)
        return Response({"schedules": _rows(scope, keeping.schedules(scope))})

    @extend_schema(operation_id="create_schedule", request=NewSchedule, responses={201: ScheduleRow})
    @once
    def post(self, request: Request) -> Response:
        """Keep a new one; its runs are started in one's own name, with the rights that one has then."""
        scope = scope_of(request)
        return Response(_row(scope, keeping.create(scope, _told(request), at=timezone.now())), status=201)


@access("schedule", GET="read", PATCH="change", DELETE="delete")
class OneSchedule(APIView):
    """One schedule."""

    @extend_schema(operation_id="read_schedule", responses=ScheduleRow)
    def get(self, request: Request, schedule_id: str) -> Response:
        """Read it, with its latest firings."""
        scope = scope_of(request)
        return Response(_row(scope, keeping.find(scope, schedule_id)))

    @extend_schema(operation_id="change_schedule", request=NewSchedule(partial=True), responses=ScheduleRow)
    def patch(self, request: Request, schedule_id: str) -> Response:
        """Change what is given of one's own."""
        scope = scope_of(request)
        return Response(_row(scope, keeping.change(scope, schedule_id, _told(request), at=timezone.now())))

    @extend_schema(operation_id="delete_schedule", responses={204: None})
    def delete(self, request: Request, schedule_id: str) -> Response:
        """Remove it; its runs stay."""
        keeping.remove(scope_of(request), schedule_id)
        return Response(status=204)


@access("schedule", POST="change")
class SchedulePause(APIView):
    """Letting a schedule rest."""

    @extend_schema(operation_id="pause_schedule", request=None, responses=ScheduleRow)
    @once
    def post(self, request: Request, schedule_id: str) -> Response:
        """Pause it; what is due meanwhile isn't made up for."""
        scope = scope_of(request)
        return Response(_row(scope, keeping.pause(scope, schedule_id)))


@access("schedule", POST="change")
class ScheduleGoOn(APIView):
    """Having a schedule go on."""

    @extend_schema(operation_id="continue_schedule", request=None, responses=ScheduleRow)
    @once
    def post(self, request: Request, schedule_id: str) -> Response:
        """Have a paused one go on with its next due time."""
        scope = scope_of(request)
        return Response(_row(scope, keeping.go_on(scope, schedule_id, at=timezone.now())))


@access("time_zone", GET="read", PUT="change")
class TimeZone(APIView):
    """The organisation's time zone."""

    @extend_schema(operation_id="read_time_zone", responses=Zone)
    def get(self, request: Request) -> Response:
        """Read it."""
        query_of(request)
        return Response({"time_zone": scope_of(request).org.time_zone})

    @extend_schema(operation_id="set_time_zone", request=Zone, responses=Zone)
    def put(self, request: Request) -> Response:
        """Set it; schedules that have none of their own go by it from now on."""
        scope, zone = scope_of(request), body_of(request).get("time_zone")
        if not isinstance(zone, str):
            raise Invalid("time_zone", "Must be a text")
        keeping.set_zone(scope, zone, at=timezone.now())
        return Response({"time_zone": zone})


def _told(request: Request) -> dict[str, Any]:
    return {name: value for name, value in body_of(request).items() if name not in CLAIMS}


def _row(scope: Scope, schedule: Schedule) -> dict[str, Any]:
    return _rows(scope, [schedule])[0]


def _rows(scope: Scope, schedules: list[Schedule]) -> list[dict[str, Any]]:
    return list(ScheduleRow(keeping.shown(scope, schedules, at=timezone.now()), many=True).data)
