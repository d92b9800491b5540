"""The REST API of teams as documents: export, import, templates."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, YesNo, body_of, query_of, scope_of
from openintern.downloads import attachment
from openintern.errors import Invalid
from openintern.tenancy.access import access
from openintern.tenancy.scope import Scope
from teams.blueprints import document
from teams.blueprints import templates as shipped
from teams.blueprints.document import MOST_CHARACTERS, Blueprint
from teams.blueprints.exporting import export
from teams.blueprints.importing import install
from teams.blueprints.planning import CHOICES, Existing, Step, plan

FORMS = {"yaml": "application/yaml", "json": "application/json"}
_MOST_IDS = 100


class StepRow(serializers.Serializer[Any]):
    """What becomes of one role or group of a document."""

    kind = Choice(["role", "group"])
    name = serializers.CharField(help_text="as the document has it")
    becomes = serializers.CharField(help_text="as it is called here")
    action = Choice(["create", "copy", "replace", "unchanged", "skip"])
    fields_changed = serializers.ListField(child=serializers.CharField(), source="fields")
    note = serializers.CharField()
    id = serializers.CharField(source="object_id", help_text="empty while it isn't there")


class InstallChoice(serializers.Serializer[Any]):
    """How to install."""

    existing = Choice(CHOICES, default="skip", help_text="what becomes of names that are taken")
    dry_run = YesNo(default=False, help_text="only say what would be done")


class TeamImport(InstallChoice):
    """A document to import: `document` as an object, or `text` as YAML or JSON."""

    document = serializers.DictField(required=False)
    text = Text(required=False, max_length=MOST_CHARACTERS, trim_whitespace=False)


_DONE = inline_serializer("TeamImported", {"done": serializers.BooleanField(), "steps": StepRow(many=True)})


@access("group", GET="read")
class TeamExport(APIView):
    """Roles and groups as a document."""

    @extend_schema(
        operation_id="export_teams",
        parameters=[
            OpenApiParameter("format", str, enum=list(FORMS)),
            OpenApiParameter("ids", str, description="of roles and groups, with commas; without: all in sight"),
        ],
        responses={(200, kind): OpenApiTypes.OBJECT for kind in FORMS.values()},
    )
    def get(self, request: Request) -> HttpResponse:
        """Download them by name, without ids: groups bring their roles."""
        query = query_of(request, "format", "ids")
        form = query.get("format", "yaml")
        if form not in FORMS:
            raise Invalid("format", "Must be yaml or json")
        ids = [one for one in query.get("ids", "").split(",") if one]
        if len(ids) > _MOST_IDS:
            raise Invalid("ids", f"Must name at most {_MOST_IDS}")
        chosen = {"role_ids": ids, "group_ids": ids} if ids else {}
        return download(export(scope_of(request), **chosen), form)  # type: ignore[arg-type]


@access("group", POST="create")
class TeamsImport(APIView):
    """A document made into roles and groups."""

    @extend_schema(operation_id="import_teams", request=TeamImport, responses=_DONE)
    def post(self, request: Request) -> Response:
        """Import all of it or, where anything can't be, nothing. `dry_run` says what would be done."""
        body = body_of(request)
        form = TeamImport(data=body)
        form.is_valid(raise_exception=True)
        told = form.validated_data
        if ("document" in told) is ("text" in told):
            raise Invalid("document", "Send either document or text")
        blueprint = document.checked(body["document"]) if "document" in told else document.read(told["text"])
        return _installed(scope_of(request), blueprint, told)


@access("group", GET="read")
class TeamTemplates(APIView):
    """The teams that are shipped."""

    @extend_schema(
        operation_id="list_team_templates",
        responses=inline_serializer(
            "TeamTemplates",
            {
                "templates": inline_serializer(
                    "TeamTemplate",
                    {
                        "name": serializers.CharField(),
                        "title": serializers.CharField(),
                        "description": serializers.CharField(),
                        "roles": serializers.ListField(child=serializers.CharField()),
                        "groups": serializers.ListField(child=serializers.CharField()),
                    },
                    many=True,
                )
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """List them."""
        query_of(request)
        return Response({"templates": [_about(name, one) for name, one in shipped.templates().items()]})


@access("group", POST="create")
class TemplateInstallation(APIView):
    """A team that is shipped, made into one's own."""

    @extend_schema(operation_id="install_team_template", request=InstallChoice, responses=_DONE)
    def post(self, request: Request, template: str) -> Response:
        """Install it; what is there by its names stays as it is unless `existing` says otherwise."""
        form = InstallChoice(data=body_of(request))
        form.is_valid(raise_exception=True)
        return _installed(scope_of(request), shipped.template(template), form.validated_data, source=template)


def download(blueprint: Blueprint, form: document.Form) -> HttpResponse:
    """Answer with a document as a file."""
    content = document.written(blueprint, form).encode()
    return attachment(content, name=f"teams.{form}", mime_type=FORMS[form])


def _installed(scope: Scope, blueprint: Blueprint, told: dict[str, Any], *, source: str = "") -> Response:
    existing: Existing = told["existing"]
    steps: list[Step] = (
        plan(scope, blueprint, existing=existing)
        if told["dry_run"]
        else install(scope, blueprint, existing=existing, source=source)
    )
    return Response({"done": not told["dry_run"], "steps": StepRow(steps, many=True).data})


def _about(name: str, one: Blueprint) -> dict[str, Any]:
    return {
        "name": name,
        "title": one.title,
        "description": one.description,
        "roles": [role.name for role in one.roles],
        "groups": [group.name for group in one.groups],
    }
