"""The REST API of runs and sessions. Each view makes one call into the domain and puts its result into form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import body_of, limit_parameter, number_parameter, query_of, scope_of
from openintern.errors import Invalid
from openintern.paging import newest_first, whole_number
from openintern.tenancy.access import access
from openintern.tenancy.scope import Scope, org_scope
from runs import export, lifecycle
from runs.events import EventType
from runs.listing import FILTERS, runs_matching
from runs.models import Run, Session
from runs.pinning import differences
from runs.rest.once import once
from runs.rest.serializers import EffectRow, Injection, NewRun, RunDetail, RunMeta, SessionMeta, Settlement
from runs.settlement import settle_effect

_PIECE = 500  # events of an export that are written at once
_CURSOR = OpenApiParameter("cursor", str, description="where to go on: `next_cursor` of the page before")


def _page(name: str, **fields: serializers.Field[Any, Any, Any, Any]) -> Any:
    return inline_serializer(name, fields)


_EVENTS = {"type": "array", "items": {"type": "object"}}
_SUCCESS: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    "success": serializers.BooleanField(),
    "run_id": serializers.CharField(),
}


@access("run", GET="read", POST="create")
class Runs(APIView):
    """Runs across all sessions, and the way to start one."""

    @extend_schema(
        operation_id="list_runs",
        parameters=[
            OpenApiParameter("status", str, enum=Run.Status.values),
            OpenApiParameter("session_key", str),
            OpenApiParameter("agent_id", str),
            OpenApiParameter("group_id", str),
            OpenApiParameter("q", str, description="a part of the task, or a run's id"),
            OpenApiParameter("created_after", OpenApiTypes.DATETIME),
            OpenApiParameter("created_before", OpenApiTypes.DATETIME),
            _CURSOR,
            limit_parameter(most=100, default=20),
        ],
        responses=_page("RunPage", runs=RunMeta(many=True), next_cursor=serializers.CharField(allow_null=True)),
    )
    def get(self, request: Request) -> Response:
        """List runs, newest first."""
        query = query_of(request, *FILTERS, "cursor", "limit")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        page = newest_first(runs_matching(scope_of(request), query), cursor=query.get("cursor"), limit=limit)
        return Response({"runs": RunMeta(page.rows, many=True).data, "next_cursor": page.next_cursor})

    @extend_schema(
        operation_id="create_run",
        request=NewRun,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key", str, OpenApiParameter.HEADER, description="sent twice, it starts one run"
            )
        ],
        responses={
            201: _page(
                "RunCreated",
                run_id=serializers.CharField(),
                session_key=serializers.CharField(),
                status=serializers.CharField(),
                created_at=serializers.DateTimeField(),
            )
        },
    )
    def post(self, request: Request) -> Response:
        """Start a run. It is recorded when this answers, and will end exactly once."""
        form = NewRun(data=body_of(request))
        form.is_valid(raise_exception=True)
        task = form.validated_data
        run = lifecycle.create_run(
            scope_of(request),
            text=task["input"],
            session_key=task["session_key"],
            agent_id=task["agent_id"],
            role_id=task["role_id"],
            group_id=task["group_id"],
            llm_config=task.get("llm_config"),
            multitask_strategy=task["multitask_strategy"],
            attachments=[attached["upload_id"] for attached in task.get("attachments", ())],
            idempotency_key=request.headers.get("Idempotency-Key"),
            at=timezone.now(),
        )
        # the same key gets the same answer, however far its run has come
        answer = {
            "run_id": run.pk,
            "session_key": run.session.key,
            "status": Run.Status.PENDING,
            "created_at": run.created_at,
        }
        return Response(answer, status=201, headers={"Location": f"/api/runs/{run.pk}"})


@access("run", GET="read", DELETE="delete")
class OneRun(APIView):
    """One run."""

    @extend_schema(operation_id="read_run", responses=RunDetail)
    def get(self, request: Request, run_id: str) -> Response:
        """Read a run with its task, answer or error, usage and cost."""
        return Response(RunDetail(lifecycle.find_run(scope_of(request), run_id)).data)

    @extend_schema(operation_id="delete_run", responses={204: None})
    def delete(self, request: Request, run_id: str) -> Response:
        """Remove a run that has ended, with its events."""
        lifecycle.delete_run(scope_of(request), run_id, at=timezone.now())
        return Response(status=204)


@access("run", GET="read")
class RunEvents(APIView):
    """What happened in a run."""

    @extend_schema(
        operation_id="list_events",
        parameters=[
            number_parameter(
                "cursor", least=0, most=2**31 - 1, default=0, about="events with a higher `seq` than this"
            ),
            limit_parameter(most=1000, default=200),
            OpenApiParameter("type", str, enum=[str(name) for name in EventType]),
            OpenApiParameter(
                "include_tokens", bool, description="add the running step's text so far, as an llm.token without seq"
            ),
        ],
        responses=_page(
            "EventPage",
            events=serializers.ListField(child=serializers.DictField()),
            total=serializers.IntegerField(),
            next_cursor=serializers.CharField(allow_null=True),
        ),
    )
    def get(self, request: Request, run_id: str) -> Response:
        """List events in their order; `total` counts all of the run's. Page until `next_cursor` is null."""
        query = query_of(request, "cursor", "limit", "type", "include_tokens")
        limit = whole_number(query.get("limit"), field="limit", default=200, least=1, most=1000)
        after = whole_number(query.get("cursor"), field="cursor", default=0, least=0, most=2**31 - 1)
        run, events = export.events_of(scope_of(request), run_id, limit=limit, after=after, type=query.get("type", ""))
        next_cursor = str(events[-1]["seq"]) if len(events) == limit else None
        if _flag(query, "include_tokens") and next_cursor is None and (token := export.live_token(run)):
            events.append(token)
        return Response({"events": events, "total": run.last_seq, "next_cursor": next_cursor})


@access("run", GET="read")
class RunExport(APIView):
    """A run's events as a file."""

    @extend_schema(
        operation_id="export_run",
        parameters=[
            OpenApiParameter("format", str, enum=["jsonl", "json"]),
            OpenApiParameter("type", str, enum=[str(name) for name in EventType]),
        ],
        responses={
            (200, "application/x-ndjson"): OpenApiTypes.BINARY,
            (200, "application/json"): _EVENTS,
        },
    )
    def get(self, request: Request, run_id: str) -> HttpResponseBase:
        """Download every event, as JSON lines or as one JSON array."""
        query = query_of(request, "format", "type")
        form = query.get("format", "jsonl")
        if form not in {"json", "jsonl"}:
            raise Invalid("format", "Must be json or jsonl")
        scope, type_ = scope_of(request), query.get("type", "")
        run, _ = export.events_of(scope, run_id, limit=0, type=type_)
        texts = export.written(export.all_events(run, type=type_), form=form)
        name = f"{run.pk}{'-' + type_ if type_ else ''}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(
            _pieces(texts, scope=scope),
            content_type="application/x-ndjson" if form == "jsonl" else "application/json",
            headers=headers,
        )


async def _pieces(texts: Iterator[str], *, scope: Scope) -> AsyncIterator[str]:
    """Yield many texts at a time, and let the other requests go on in between.

    The body is made after the view has returned: each piece enters the organisation for itself, and leaves it.
    """

    def take() -> str:
        with org_scope(scope.org):
            return "".join(islice(texts, _PIECE))

    while piece := await sync_to_async(take)():
        yield piece


@access("run", GET="read")
class RunChildren(APIView):
    """The runs that a run delegated to."""

    @extend_schema(operation_id="list_children", responses=_page("RunChildren", children=RunMeta(many=True)))
    def get(self, request: Request, run_id: str) -> Response:
        """List a run's children, the oldest first."""
        scope = scope_of(request)
        run = lifecycle.find_run(scope, run_id)
        children = (
            Run.objects.for_scope(scope)
            .filter(parent=run)
            .select_related("session", "user", "project")
            .order_by("created_at", "pk")
        )
        return Response({"children": RunMeta(children, many=True).data})


@access("run", GET="read", POST="repin")
class RunRepin(APIView):
    """A run and the current version of what it began with."""

    @extend_schema(
        operation_id="compare_run",
        responses=_page("RunDifferences", differs_in=serializers.ListField(child=serializers.CharField())),
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Say in what the current version of its role, prompt, tools and policy differs from what it was given."""
        return Response({"differs_in": differences(lifecycle.find_run(scope_of(request), run_id))})

    @extend_schema(operation_id="repin_run", request=None, responses=RunDetail)
    def post(self, request: Request, run_id: str) -> Response:
        """Have a run that isn't being worked on go on with its role, prompt, tools and policy as they are now."""
        return Response(RunDetail(lifecycle.repin_run(scope_of(request), run_id)).data)


@access("run", POST="cancel")
class RunCancel(APIView):
    """Stopping a run."""

    @extend_schema(operation_id="cancel_run", request=None, responses=_page("RunCancelled", **_SUCCESS))
    @once
    def post(self, request: Request, run_id: str) -> Response:
        """End a run now, whether it is queued, waiting, or in the middle of a model call or a tool."""
        lifecycle.cancel_run(scope_of(request), run_id, at=timezone.now())
        return Response({"success": True, "run_id": run_id})


@access("run", POST="inject")
class RunInject(APIView):
    """Speaking to a run that is under way."""

    @extend_schema(operation_id="inject_message", request=Injection, responses=_page("MessageInjected", **_SUCCESS))
    @once
    def post(self, request: Request, run_id: str) -> Response:
        """Send a message that the agent reads before its next step."""
        form = Injection(data=body_of(request))
        form.is_valid(raise_exception=True)
        lifecycle.inject_message(scope_of(request), run_id, message=form.validated_data["message"])
        return Response({"success": True, "run_id": run_id})


@access("effect", GET="read")
class RunEffects(APIView):
    """The tool calls of a run, and what is known of each."""

    @extend_schema(operation_id="list_effects", responses=_page("RunEffects", effects=EffectRow(many=True)))
    def get(self, request: Request, run_id: str) -> Response:
        """List a run's tool calls in the order of their steps; `in_doubt` is what the run waits for."""
        run = lifecycle.find_run(scope_of(request), run_id)
        return Response({"effects": EffectRow(run.effects.order_by("step", "pk"), many=True).data})


@access("effect", POST="settle")
class EffectSettle(APIView):
    """Saying what became of a tool call in doubt."""

    @extend_schema(operation_id="settle_effect", request=Settlement, responses=_page("EffectSettled", **_SUCCESS))
    @once
    def post(self, request: Request, run_id: str, tool_call_id: str) -> Response:
        """Decide that it happened (with which result), that it didn't, or that it is to run again; the run goes on."""
        form = Settlement(data=body_of(request))
        form.is_valid(raise_exception=True)
        settle_effect(scope_of(request), run_id, tool_call_id, **form.validated_data)
        return Response({"success": True, "run_id": run_id})


@access("session", GET="read")
class Sessions(APIView):
    """One's conversations."""

    @extend_schema(operation_id="list_sessions", responses=_page("SessionList", sessions=SessionMeta(many=True)))
    def get(self, request: Request) -> Response:
        """List one's own conversations, the latest first (100 at most)."""
        sessions = Session.objects.of_person(scope_of(request)).filter(is_archived=False).order_by("-active_at")[:100]
        return Response({"sessions": SessionMeta(sessions, many=True).data})


@access("run", GET="read")
class SessionRuns(APIView):
    """The runs of one session."""

    @extend_schema(
        operation_id="list_session_runs",
        parameters=[number_parameter("page", least=1, most=10_000, default=1), limit_parameter(most=100, default=20)],
        responses=_page(
            "SessionRuns",
            runs=RunMeta(many=True),
            total=serializers.IntegerField(),
            page=serializers.IntegerField(),
            limit=serializers.IntegerField(),
        ),
    )
    def get(self, request: Request, session_key: str) -> Response:
        """List a session's runs, newest first."""
        query = query_of(request, "page", "limit")
        page = whole_number(query.get("page"), field="page", default=1, least=1, most=10_000)
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        runs = runs_matching(scope_of(request), {"session_key": session_key}).order_by("-created_at", "-pk")
        rows = runs[(page - 1) * limit : page * limit]
        return Response({"runs": RunMeta(rows, many=True).data, "total": runs.count(), "page": page, "limit": limit})


def _flag(query: Mapping[str, str], name: str) -> bool:
    match query.get(name, "false").lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise Invalid(name, "Must be true or false")
