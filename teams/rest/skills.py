"""The REST API of skills. Members read them, admins change them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, YesNo, body_of, query_of, scope_of
from openintern.errors import OpenInternError
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS
from runs.rest.uploads import Untouched
from teams import package, skills
from teams.models import Skill, SkillVersion

_ZIP = {"type": "string", "format": "binary"}


class SkillTool(serializers.Serializer[Any]):
    """A tool of a skill."""

    name = Text(max_length=100)
    description = Text(max_length=2000, required=False, allow_blank=True, default="")
    parameters = serializers.DictField(required=False)


class Dependencies(serializers.Serializer[Any]):
    """What a skill needs beside its tools."""

    tools = serializers.ListField(child=Text(max_length=100), required=False)
    env_vars = serializers.ListField(child=Text(max_length=64), required=False)


class SkillRow(serializers.Serializer[Any]):
    """A skill and what its newest version says."""

    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(source="current.description")
    text = serializers.CharField(source="current.text")
    files = serializers.SerializerMethodField(help_text="the paths of its attached texts")
    tools = SkillTool(many=True, source="current.tools")
    risk_level = Choice(SkillVersion.Risk.values, source="current.risk_level")
    provider = Choice(SkillVersion.Provider.values, source="current.provider")
    health_status = Choice(Skill.Health.values)
    entry_path = serializers.CharField(source="current.entry_path")
    source_type = Choice(SkillVersion.Source.values, source="current.source_type")
    allow_implicit_invocation = serializers.BooleanField(source="current.allow_implicit_invocation")
    dependencies = Dependencies(source="current.dependencies")
    version = serializers.IntegerField(source="current.number")
    enabled_version = serializers.IntegerField(source="enabled.number", default=None, allow_null=True)
    is_for_everybody = serializers.BooleanField()
    roles = serializers.SerializerMethodField(help_text="the roles that have it, and its tools with it")
    lowers_risk = YesNo()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_files(self, skill: Skill) -> list[str]:
        """The paths of its attached texts."""
        return sorted(skill.current.files) if skill.current else []

    def get_roles(self, skill: Skill) -> list[str]:
        """The ids of the roles that have it."""
        return sorted(role.pk for role in skill.roles.all())


class SkillChange(serializers.Serializer[Any]):
    """What to change of a skill. Other content is a new version."""

    name = Text(max_length=100, required=False)
    description = Text(max_length=skills.LONGEST_DESCRIPTION, required=False, allow_blank=True)
    text = Text(max_length=skills.LONGEST_TEXT, required=False, allow_blank=True, trim_whitespace=False)
    tools = SkillTool(many=True, required=False)
    risk_level = Choice(SkillVersion.Risk.values, required=False)
    provider = Choice(SkillVersion.Provider.values, required=False)
    entry_path = Text(max_length=300, required=False, allow_blank=True)
    source_type = Choice(SkillVersion.Source.values, required=False)
    allow_implicit_invocation = YesNo(required=False)
    dependencies = Dependencies(required=False)
    is_enabled = YesNo(required=False, help_text="whether agents get its newest version")
    is_for_everybody = YesNo(required=False)
    roles = serializers.ListField(child=Text(max_length=40), required=False, max_length=200)
    lowers_risk = YesNo(
        required=False, help_text="its risk holds even where it is lower than the tool's own; admins only"
    )


class NewSkill(SkillChange):
    """A skill to make."""

    name = Text(max_length=100)


@access("skill", GET="read", POST="create")
class Skills(APIView):
    """The organisation's skills."""

    @extend_schema(
        operation_id="list_skills", responses=inline_serializer("SkillList", {"skills": SkillRow(many=True)})
    )
    def get(self, request: Request) -> Response:
        """List them by name."""
        query_of(request)
        return Response({"skills": SkillRow(skills.all_skills(), many=True).data})

    @extend_schema(operation_id="create_skill", request=NewSkill, responses={201: SkillRow})
    def post(self, request: Request) -> Response:
        """Make a skill; agents get it at once unless `is_enabled` is false."""
        return Response(SkillRow(skills.create(scope_of(request), **_told(request, NewSkill))).data, status=201)


@access("skill", GET="read", PUT="change", DELETE="delete")
class OneSkill(APIView):
    """One skill."""

    @extend_schema(operation_id="read_skill", responses=SkillRow)
    def get(self, request: Request, skill_id: str) -> Response:
        """Return it with its newest version."""
        return Response(SkillRow(skills.find(skill_id)).data)

    @extend_schema(operation_id="change_skill", request=SkillChange, responses=SkillRow)
    def put(self, request: Request, skill_id: str) -> Response:
        """Change what is given of it. Runs that have begun keep what they began with."""
        skills.find(skill_id)  # what isn't there has no fields to get wrong
        return Response(SkillRow(skills.change(scope_of(request), skill_id, **_told(request, SkillChange))).data)

    @extend_schema(operation_id="delete_skill", responses={204: None})
    def delete(self, request: Request, skill_id: str) -> Response:
        """Remove it with all its versions."""
        skills.delete(scope_of(request), skill_id)
        return Response(status=204)


@access("skill", GET="read")
class SkillVersions(APIView):
    """What a skill has said."""

    @extend_schema(
        operation_id="list_skill_versions",
        responses=inline_serializer(
            "SkillVersionList",
            {
                "versions": inline_serializer(
                    "SkillVersion",
                    {
                        "number": serializers.IntegerField(),
                        "label": serializers.CharField(),
                        "description": serializers.CharField(),
                        "text": serializers.CharField(),
                        "created_at": serializers.DateTimeField(),
                    },
                    many=True,
                )
            },
        ),
    )
    def get(self, request: Request, skill_id: str) -> Response:
        """List its newest 50 versions."""
        skill = skills.find(skill_id)
        fields = ("number", "label", "description", "text", "created_at")
        rows = list(skill.versions.order_by("-number").values(*fields)[:50])
        return Response({"versions": rows})


@access("skill", GET="read")
class SkillHealth(APIView):
    """Whether a skill can be followed."""

    @extend_schema(
        operation_id="check_skill",
        responses=inline_serializer(
            "SkillHealth",
            {
                "health_status": Choice(Skill.Health.values),
                "problems": serializers.ListField(child=serializers.CharField()),
            },
        ),
    )
    def get(self, request: Request, skill_id: str) -> Response:
        """Find out whether the tools that it needs are there."""
        skill = skills.find(skill_id)
        problems = skills.check_health(skill)
        return Response({"health_status": skill.health_status, "problems": problems})


@access("skill", POST="create")
class SkillImport(APIView):
    """Skills from elsewhere."""

    parser_classes = [MultiPartParser, Untouched]

    @extend_schema(
        operation_id="import_skill",
        request={
            "multipart/form-data": {"type": "object", "properties": {"file": _ZIP}, "required": ["file"]},
            "application/zip": OpenApiTypes.BINARY,
        },
        responses={201: SkillRow},
    )
    def post(self, request: Request) -> Response:
        """Import a zip with a SKILL.md. Agents get it when an admin has enabled it."""
        found = package.from_zip(_archive(request))
        return Response(SkillRow(skills.keep_imported(scope_of(request), found.name, found.content)).data, status=201)


def _archive(request: Request) -> bytes:
    """The zip that was sent, as `file` of a form or as the body; a byte more than may be, where it is too long."""
    most = package.MOST_ZIP_BYTES + 1
    if request.content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        file = request.FILES.get("file")
        return file.read(most) if file else b""
    return bytes(request.read(most))


def _told(request: Request, kind: type[SkillChange]) -> dict[str, Any]:
    """Return what was sent. Raises UNKNOWN_FIELD for what a skill hasn't got, above all for what would be executed."""
    body = body_of(request)
    form = kind(data=body)
    read_only = {"id", "health_status", "version", "enabled_version", "created_at", "updated_at", "files"}
    for name in body:
        if name not in {*form.fields, *CLAIMS, *read_only}:
            raise OpenInternError("UNKNOWN_FIELD", f"A skill has no field {name[:100]}", details={"field": name[:100]})
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)
