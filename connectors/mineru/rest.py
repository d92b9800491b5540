"""The REST API of PDFs: send a batch, and see how far each file is, also live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.db import connections
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors.mineru import asking, working
from connectors.models import PdfFile, PdfJob
from openintern import downloads
from openintern.api import query_of, scope_of
from openintern.errors import NotFound, OpenInternError
from openintern.live.frames import encode
from openintern.live.reading import DATABASE_AWAY, read
from openintern.refusals import refusal
from openintern.tenancy.access import access
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.renewal import Credential, credential_of, renew
from openintern.tenancy.scope import org_scope

#: All of one request, by what it says and by what comes (see the settings).
MOST_REQUEST: Final = 1024 * 1024 * 1024
_LOOK_SECONDS: Final = 1.0
_PING_SECONDS: Final = 15.0
_LONGEST_SECONDS: Final = 3600.0
#: Streams of progress that one process keeps open.
MOST_STREAMS: Final = 100
_open: set[object] = set()


class BatchFile(serializers.Serializer[Any]):
    """How far one file is."""

    file_index = serializers.IntegerField()
    filename = serializers.CharField()
    status = serializers.ChoiceField(PdfFile.Status.choices)
    pages = serializers.IntegerField(allow_null=True)
    pages_read = serializers.IntegerField()
    memory_id = serializers.UUIDField(required=False)
    chunk_count = serializers.IntegerField(required=False)
    replaced = serializers.BooleanField(required=False)
    error = serializers.DictField(required=False, help_text="`code` and `message`")


class Batch(serializers.Serializer[Any]):
    """A batch, as far as its files are."""

    job_id = serializers.CharField()
    user_id = serializers.CharField()
    project_id = serializers.CharField(allow_null=True)
    mode = serializers.CharField(help_text="`v4`: by MinerU's service; `local`: here, where there is no key")
    is_done = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    files = BatchFile(many=True)


_FORM = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": asking.MOST_FILES},
        "model_version": {"type": "string", "enum": list(asking.MODELS)},
        "is_ocr": {"type": "boolean"},
        "enable_formula": {"type": "boolean"},
        "enable_table": {"type": "boolean"},
        "language": {"type": "string"},
    },
}
_ACCEPTED = inline_serializer(
    "AcceptedBatch", {"job_id": serializers.CharField(), "file_count": serializers.IntegerField()}
)


@access("pdf", GET="read", POST="create")
class Batches(APIView):
    """PDFs on their way into memory."""

    parser_classes = [MultiPartParser]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Turn away what says that it is too large before any of it is parsed."""
        if downloads.announced(request) > MOST_REQUEST:
            raise OpenInternError("TOO_LARGE", "A request may have at most 1 GiB")
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_pdf_batches", responses=inline_serializer("BatchList", {"jobs": Batch(many=True)})
    )
    def get(self, request: Request) -> Response:
        """List the latest 20 in sight, newest first."""
        query_of(request)
        return Response({"jobs": [batch(job) for job in asking.latest(scope_of(request))]})

    @extend_schema(
        operation_id="ingest_pdf_batch",
        request={"multipart/form-data": _FORM},
        responses={202: _ACCEPTED},
        examples=[OpenApiExample("accepted", {"job_id": "mju_…", "file_count": 2}, response_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Send up to 20 PDFs (200 MiB each, 1 GiB together); in a project they are the project's. They are read in the background."""
        try:
            sent, told = request.FILES.getlist("files"), request.POST.dict()
        except SuspiciousOperation as error:
            raise ParseError("The form can't be read") from error
        files = [(str(each.name or ""), cast(Any, each), int(each.size or 0)) for each in sent]
        job = asking.accept_batch(scope_of(request), files, told)
        return Response({"job_id": job.pk, "file_count": len(files)}, status=202)


@access("pdf", GET="read")
class OneBatch(APIView):
    """One batch."""

    @extend_schema(operation_id="read_pdf_batch", responses=Batch)
    def get(self, request: Request, pdf_job_id: str) -> Response:
        """Say how far each file is."""
        return Response(batch(asking.find(scope_of(request), pdf_job_id)))


@access("pdf", GET="read")
async def progress(request: ScopedRequest, pdf_job_id: str) -> HttpResponseBase:
    """Stream how far each file is: all of them first, then what changes, then `done`. Ends with the batch."""
    credential = credential_of(request, at=timezone.now())
    if credential is None or request.method != "GET":
        return refusal(request, OpenInternError("METHOD_NOT_ALLOWED", "A stream can only be read: GET"))
    if len(_open) >= MOST_STREAMS:
        full = OpenInternError("UNAVAILABLE", "Too many streams are open; try again", details={"retry_after": 5})
        return refusal(request, full)
    try:
        first = await _files(credential, pdf_job_id)
    except OpenInternError as error:
        return refusal(request, error)
    except DATABASE_AWAY:
        return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))
    await sync_to_async(connections.close_all)()  # what told us who asks; a stream may last for an hour
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    told = _told(credential, pdf_job_id, first)
    return StreamingHttpResponse(told, content_type="text/event-stream", headers=headers)


async def _told(credential: Credential, job_id: str, files: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Tell each file, then each that changes; looked at once a second, with no connection held between."""
    known: dict[int, dict[str, Any]] = {}
    ends_at, ping_at, mark = time.monotonic() + _LONGEST_SECONDS, time.monotonic() + _PING_SECONDS, object()
    _open.add(mark)
    try:
        while time.monotonic() < ends_at:
            for file in files:
                if known.get(file["file_index"]) != file:
                    known[file["file_index"]] = file
                    yield encode("progress", file)
            if all(file["status"] in {"completed", "failed"} for file in files):
                yield encode("done", {"job_id": job_id})
                return
            if time.monotonic() > ping_at:
                ping_at = time.monotonic() + _PING_SECONDS
                yield encode("ping", {})
            await asyncio.sleep(_LOOK_SECONDS)
            files = await _files(credential, job_id)
    except (OpenInternError, *DATABASE_AWAY):  # it is out of sight by now; or the client comes again
        return
    finally:
        _open.discard(mark)


async def _files(credential: Credential, job_id: str) -> list[dict[str, Any]]:
    """How far the files are, for somebody with the rights of now. Raises NOT_FOUND."""
    return await read(_look, credential, job_id)


def _look(credential: Credential, job_id: str) -> list[dict[str, Any]]:
    """In one of the few threads that streams share; its connection goes back at once."""
    scope = renew(credential, at=timezone.now())
    if scope is None or not credential.allows(scope, "pdf", "read"):
        raise NotFound("Job")
    with org_scope(scope.org):
        return [working.told_of(file) for file in asking.find(scope, job_id).files.order_by("file_index")]


def batch(job: PdfJob) -> dict[str, Any]:
    """A batch, as far as its files are."""
    files = sorted(job.files.all(), key=lambda file: file.file_index)
    return {
        "job_id": job.pk,
        "user_id": job.user.username,
        "project_id": job.project.slug if job.project else None,
        "mode": job.mode,
        "is_done": all(file.is_final for file in files),
        "created_at": job.created_at,
        "files": [working.told_of(file) for file in files],
    }
