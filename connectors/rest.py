"""The REST API of Feishu connectors, in a project. Secrets go in and never come out."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors import connecting
from connectors.bot.address import events_url
from connectors.feishu.config import CHUNKING, MOST_TOKENS, NUMBERS, TOKENS
from connectors.models import Connector, SyncJob
from connectors.progress import SYNCS
from openintern.api import Text, WholeNumber, YesNo, body_of, limit_parameter, query_of, scope_of
from openintern.live.watch import Standing, Watched, answer
from openintern.paging import whole_number
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS, ScopedRequest
from openintern.tenancy.scope import Scope
from runs.stream import hub

#: How long a request waits for a sync to end, and how often it looks.
WAITS_SECONDS: Final = 50.0
_LOOKS_EVERY: Final = 0.25


class Chunking(serializers.Serializer[Any]):
    """How texts are cut, in characters."""

    target_tokens = WholeNumber(
        min_value=CHUNKING["target_tokens"][0], max_value=CHUNKING["target_tokens"][1], required=False
    )
    max_tokens = WholeNumber(min_value=CHUNKING["max_tokens"][0], max_value=CHUNKING["max_tokens"][1], required=False)
    min_tokens = WholeNumber(min_value=CHUNKING["min_tokens"][0], max_value=CHUNKING["min_tokens"][1], required=False)


def _tokens() -> serializers.ListField:
    return serializers.ListField(child=Text(max_length=500), max_length=MOST_TOKENS, required=False)


def _number(name: str) -> WholeNumber:
    least, most, _default = NUMBERS[name]
    return WholeNumber(min_value=least, max_value=most, required=False)


ConnectorConfig = inline_serializer(
    "ConnectorConfig",
    {
        **{name: _tokens() for name in TOKENS},
        **{name: _number(name) for name in NUMBERS},
        "include_comments": YesNo(required=False),
        "chunking": Chunking(required=False),
    },
)


class ConnectorRow(serializers.ModelSerializer[Connector]):
    """A connector, and how its last sync went."""

    org_id = serializers.SerializerMethodField()
    project_id = serializers.CharField(source="project.slug")
    status = serializers.ChoiceField(Connector.Status.values)
    config = serializers.DictField()
    has_app_secret = serializers.SerializerMethodField()
    events_url = serializers.SerializerMethodField(help_text="where the app's events are to be sent")
    has_encrypt_key = serializers.SerializerMethodField()
    has_verification_token = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.username")

    class Meta:
        model = Connector
        fields = [
            "id", "org_id", "project_id", "name", "status", "config", "base_url", "app_id", "has_app_secret",
            "has_encrypt_key", "has_verification_token", "events_url", "created_by", "last_sync_at", "last_success_at",
            "last_error", "last_polled_at", "created_at", "updated_at",
        ]  # fmt: skip

    def get_org_id(self, connector: Connector) -> str:
        """The organisation's slug."""
        scope: Scope = self.context["scope"]
        return scope.org.slug

    def get_has_app_secret(self, connector: Connector) -> bool:
        """Whether there is one."""
        return bool(connector.app_secret)

    def get_events_url(self, connector: Connector) -> str:
        """A whole address where the operator has told PUBLIC_URL, else a path."""
        scope: Scope = self.context["scope"]
        return events_url(connector, scope.org)

    def get_has_encrypt_key(self, connector: Connector) -> bool:
        """Whether there is one."""
        return bool(connector.encrypt_key)

    def get_has_verification_token(self, connector: Connector) -> bool:
        """Whether there is one."""
        return bool(connector.verification_token)


class JobRow(serializers.ModelSerializer[SyncJob]):
    """A sync: how far it is, and what came of it."""

    org_id = serializers.SerializerMethodField()
    project_id = serializers.CharField(source="connector.project.slug")
    trigger = serializers.ChoiceField(SyncJob.Trigger.values)
    status = serializers.ChoiceField(SyncJob.Status.values)
    phase = serializers.ChoiceField(SyncJob.Phase.values)
    stats = serializers.DictField(child=serializers.IntegerField())
    note = serializers.CharField(help_text="what it waits for, if it does")

    class Meta:
        model = SyncJob
        fields = [
            "id", "connector_id", "org_id", "project_id", "trigger", "status", "phase", "stats", "note", "error_code",
            "error_message", "started_at", "ended_at", "created_at", "updated_at",
        ]  # fmt: skip

    def get_org_id(self, job: SyncJob) -> str:
        """The organisation's slug."""
        scope: Scope = self.context["scope"]
        return scope.org.slug


class NewConnector(serializers.Serializer[Any]):
    """A connector. Without an app id and secret it can't sync."""

    name = Text(max_length=200)
    status = serializers.ChoiceField(Connector.Status.values, required=False)
    config = ConnectorConfig
    base_url = Text(max_length=300, required=False, help_text="https://open.feishu.cn where nothing is said")
    app_id = Text(max_length=100, required=False, allow_blank=True)
    app_secret = Text(max_length=connecting.LONGEST_SECRET, required=False, allow_blank=True, write_only=True)
    encrypt_key = Text(max_length=connecting.LONGEST_SECRET, required=False, allow_blank=True, write_only=True)
    verification_token = Text(max_length=connecting.LONGEST_SECRET, required=False, allow_blank=True, write_only=True)


class SyncWanted(serializers.Serializer[Any]):
    """Whether to wait for the end."""

    wait = YesNo(default=True, help_text=f"answer when it has ended, or after {WAITS_SECONDS:g} seconds")


@access("connector", GET="read", POST="create")
class Connectors(APIView):
    """The project's connectors."""

    @extend_schema(
        operation_id="list_feishu_connectors",
        responses=inline_serializer("ConnectorList", {"connectors": ConnectorRow(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List them, newest first."""
        query_of(request)
        scope = scope_in_project(request)
        rows = connecting.connectors(scope)
        return Response({"connectors": ConnectorRow(rows, many=True, context={"scope": scope}).data})

    @extend_schema(operation_id="add_feishu_connector", request=NewConnector, responses={201: ConnectorRow})
    def post(self, request: Request) -> Response:
        """Add one. Nothing is asked of Feishu until it is synced."""
        scope = scope_in_project(request)
        connector = connecting.add(scope, told_in(request))
        return _connector(scope, connector, status=201)


@access("connector", GET="read", PATCH="change", DELETE="delete")
class OneConnector(APIView):
    """One connector."""

    @extend_schema(operation_id="read_feishu_connector", responses=ConnectorRow)
    def get(self, request: Request, connector_id: str) -> Response:
        """Read it."""
        scope = scope_in_project(request)
        return _connector(scope, connecting.find(scope, connector_id))

    @extend_schema(operation_id="change_feishu_connector", request=NewConnector(partial=True), responses=ConnectorRow)
    def patch(self, request: Request, connector_id: str) -> Response:
        """Change what is given of it; `config` as a whole. At another address the app secret has to be given anew."""
        scope = scope_in_project(request)
        return _connector(scope, connecting.change(scope, connector_id, told_in(request)))

    @extend_schema(operation_id="remove_feishu_connector", responses={204: None})
    def delete(self, request: Request, connector_id: str) -> Response:
        """Remove it, with all that it has brought."""
        connecting.remove(scope_in_project(request), connector_id)
        return Response(status=204)


@access("connector", POST="sync")
class ConnectorSync(APIView):
    """Syncing."""

    @extend_schema(operation_id="sync_feishu_connector", request=SyncWanted, responses={202: JobRow})
    def post(self, request: Request, connector_id: str) -> Response:
        """Sync it now; the sync under way is returned instead of a second."""
        scope = scope_in_project(request)
        wanted = SyncWanted(data=told_in(request))
        wanted.is_valid(raise_exception=True)
        job = connecting.sync(scope, connector_id)
        if wanted.validated_data["wait"]:
            job = _ended(job)
        return Response(JobRow(job, context={"scope": scope}).data, status=202)


@access("connector", GET="read")
class ConnectorJobs(APIView):
    """A connector's syncs."""

    @extend_schema(
        operation_id="list_feishu_syncs",
        parameters=[limit_parameter(), OpenApiParameter("job_id", str, description="this one alone")],
        responses=inline_serializer("SyncJobList", {"jobs": JobRow(many=True)}),
    )
    def get(self, request: Request, connector_id: str) -> Response:
        """List them, newest first."""
        query = query_of(request, "limit", "job_id")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        scope = scope_in_project(request)
        rows = connecting.jobs(scope, connector_id).select_related("connector__project")
        if job_id := query.get("job_id"):
            rows = rows.filter(pk=job_id)
        return Response({"jobs": JobRow(rows[:limit], many=True, context={"scope": scope}).data})


@access("connector", GET="read")
async def progress(request: ScopedRequest, connector_id: str) -> HttpResponseBase:
    """Stream how far a connector's newest sync is, at once and again whenever it is further, then `done`."""
    about = {"connector_id": connector_id}
    return await answer(request, hub.bell, Watched(SYNCS, "connector", partial(_newest, connector_id), about=about))


@access("connector", GET="read")
async def all_progress(request: ScopedRequest) -> HttpResponseBase:
    """Stream how far the newest sync of each connector in sight is, until none is under way."""
    return await answer(request, hub.bell, Watched(SYNCS, "connector", _all_newest, about={}))


def _newest(connector_id: str, scope: Scope) -> Standing:
    return _standing(scope, list(connecting.jobs(scope, connector_id).select_related("connector__project")[:1]))


def _all_newest(scope: Scope) -> Standing:
    connectors: Any = connecting.connectors_with_news(scope)
    return _standing(scope, [job for connector in connectors for job in connector.newest])


def _standing(scope: Scope, jobs: list[SyncJob]) -> Standing:
    told = {job.pk: JobRow(job, context={"scope": scope}).data for job in jobs}
    return Standing(told, is_over=all(job.is_final for job in jobs))


def scope_in_project(request: Request) -> Scope:
    """Return in whose name it is asked. Raises VALIDATION_ERROR without a project."""
    scope = scope_of(request)
    connecting.require_project(scope)
    return scope


def _connector(scope: Scope, connector: Connector, *, status: int = 200) -> Response:
    return Response(ConnectorRow(connector, context={"scope": scope}).data, status=status)


def told_in(request: Request) -> dict[str, Any]:
    return {name: value for name, value in body_of(request).items() if name not in CLAIMS}


def _ended(job: SyncJob) -> SyncJob:
    """Return the sync when it has ended, or as it is after a while. What waits holds no transaction."""
    ends_at = time.monotonic() + WAITS_SECONDS
    while not job.is_final and time.monotonic() < ends_at:
        time.sleep(_LOOKS_EVERY)
        job = SyncJob.objects.select_related("connector__project").get(pk=job.pk)
    return job
