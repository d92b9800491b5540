"""The REST API of uploads: sending a file, as a form or as it is, and getting it back."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern import downloads
from openintern.api import scope_of
from openintern.errors import Invalid
from openintern.tenancy.access import access
from runs.files import uploads
from runs.models import Upload

_FORM = "multipart/form-data"
_FORM_BYTES = 64 * 1024  # what a form may add to its file
_BYTES = {"type": "string", "format": "binary"}


class Untouched(BaseParser):
    """A body that is a file: nobody parses it, also not the check of a cookie's token, which looks for a form in it."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        """Leave the stream to the view."""
        return {}


class UploadRow(serializers.ModelSerializer[Upload]):
    """A file as it was taken; `mime_type` was found out from its content."""

    upload_id = serializers.CharField(source="pk")

    class Meta:
        model = Upload
        fields = ["upload_id", "original_name", "mime_type", "size"]


@access("upload", POST="create")
class Uploads(APIView):
    """Sending files."""

    parser_classes = [MultiPartParser, Untouched]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Turn away what says that it is too large before any of it is parsed."""
        if downloads.announced(request) > uploads.MAX_BYTES + _FORM_BYTES:
            raise uploads.too_large()
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_upload",
        parameters=[
            OpenApiParameter(
                "X-Filename",
                str,
                OpenApiParameter.HEADER,
                description="the name, percent-encoded, of a file that is the body",
            )
        ],
        request={
            _FORM: {"type": "object", "properties": {"file": _BYTES}, "required": ["file"]},
            "application/octet-stream": _BYTES,
        },
        responses={201: UploadRow},
    )
    def post(self, request: Request) -> Response:
        """Send a file of at most 8 MiB, as `file` of a form, or as the body with its name in `X-Filename`."""
        is_form = request.content_type.partition(";")[0].strip().lower() == _FORM
        name, declared_type, content = _from_form(request) if is_form else _from_body(request)
        upload = uploads.keep(scope_of(request), name=name, content=content, declared_type=declared_type)
        return Response(UploadRow(upload).data, status=201, headers={"Location": f"/api/uploads/{upload.pk}"})


@access("upload", GET="read", DELETE="delete")
class OneUpload(APIView):
    """One file."""

    @extend_schema(operation_id="read_upload", responses={(200, "*/*"): OpenApiTypes.BINARY})
    def get(self, request: Request, upload_id: str) -> HttpResponse:
        """Download a file that one has sent (an admin: anybody's)."""
        upload = uploads.find(scope_of(request), upload_id)
        return downloads.attachment(uploads.read(upload.pk), name=upload.original_name, mime_type=upload.mime_type)

    @extend_schema(operation_id="delete_upload", responses={204: None})
    def delete(self, request: Request, upload_id: str) -> Response:
        """Remove a file. Runs that have it hear that it is gone."""
        uploads.remove(scope_of(request), upload_id)
        return Response(status=204)


def _from_form(request: Request) -> tuple[str, str, bytes]:
    try:
        file = request.FILES.get("file")
    except (ParseError, SuspiciousOperation) as error:
        raise Invalid("file", "The form can't be read") from error
    if file is None:
        raise Invalid("file", "Missing: send the file in a field of this name")
    return file.name or "", file.content_type or "", file.read(uploads.MAX_BYTES + 1)


def _from_body(request: Request) -> tuple[str, str, bytes]:
    """Read the body itself: parsers would make something else of JSON, and of a form."""
    name = unquote(_as_utf8(request.headers.get("X-Filename", "")), errors="replace")
    return name, request.headers.get("Content-Type", ""), request.read(uploads.MAX_BYTES + 1)


def _as_utf8(header: str) -> str:
    """Return a header's text as it was sent by those who don't encode: HTTP reads its bytes as Latin-1."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header
