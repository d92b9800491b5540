"""The REST API of PDFs: send a batch, and see how far each file is, also live."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from connectors.mineru import asking, ending
from connectors.models import PdfFile, PdfJob
from connectors.progress import PDFS
from openintern import downloads
from openintern.api import query_of, scope_of
from openintern.errors import OpenInternError
from openintern.live.watch import Standing, Watched, answer
from openintern.tenancy.access import access
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.scope import Scope
from runs.stream import hub

#: All of one request, by what it says and by what comes (see the settings).
MOST_REQUEST: Final = 1024 * 1024 * 1024


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
    return await answer(request, hub.bell, watched(pdf_job_id))


@access("pdf", GET="read")
async def all_progress(request: ScopedRequest) -> HttpResponseBase:
    """Stream how far the files of the latest batches in sight are; each says of which batch it is."""
    return await answer(request, hub.bell, Watched(PDFS, "pdf", _all_files, about={}))


def watched(job_id: str) -> Watched:
    """Return how a batch is followed."""
    return Watched(PDFS, "pdf", partial(_files, job_id), about={"job_id": job_id})


def _files(job_id: str, scope: Scope) -> Standing:
    files = list(asking.find(scope, job_id).files.order_by("file_index"))
    told = {file.pk: ending.told_of(file) for file in files}
    return Standing(told, is_over=all(file.is_final for file in files))


def _all_files(scope: Scope) -> Standing:
    files = [file for job in asking.latest(scope) for file in job.files.all()]
    told = {file.pk: {"job_id": file.job_id, **ending.told_of(file)} for file in files}
    return Standing(told, is_over=all(file.is_final for file in files))


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
        "files": [ending.told_of(file) for file in files],
    }
