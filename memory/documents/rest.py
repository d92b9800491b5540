"""The REST API of documents. Each view makes one call into the domain and puts its result into form."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from memory.documents import accepting, kinds, shelving
from memory.documents.accepting import Accepted
from memory.keeping import OWNERS
from memory.models import Document
from openintern import downloads
from openintern.api import Choice, Text, body_of, limit_parameter, query_of, scope_of
from openintern.errors import Invalid
from openintern.paging import flag, newest_first, whole_number
from openintern.tenancy.access import access
from openintern.text import is_storable

_FORM = "multipart/form-data"
_JSON = "application/json"
_FORM_BYTES = 64 * 1024  # what a form may add to its file
_PASTED = {"markdown": "text/markdown", "html": "text/html", "text": "text/plain"}


class DocumentRow(serializers.ModelSerializer[Document]):
    """A document, how far it is, and what became of it."""

    document_id = serializers.CharField(source="pk")
    owner = serializers.CharField(source="shelf.owner.kind", help_text="`user` or `project`")
    project_id = serializers.CharField(source="shelf.project.slug", default=None, allow_null=True)
    author_id = serializers.CharField(source="author.username")
    format = serializers.CharField(source="kind")
    state = Choice(Document.State.values)
    progress = serializers.FloatField(help_text="from 0 to 1")
    error = serializers.SerializerMethodField(help_text="why it failed: `code`, `message`")
    memory_id = serializers.UUIDField(allow_null=True)
    is_remembered = serializers.BooleanField(
        help_text="whether a search finds it: also its last version while it is read"
    )

    class Meta:
        model = Document
        fields = [
            "document_id",
            "name",
            "title",
            "owner",
            "project_id",
            "author_id",
            "format",
            "size",
            "version",
            "state",
            "progress",
            "error",
            "pages",
            "pages_read",
            "textless_pages",
            "passages",
            "memory_id",
            "is_remembered",
            "created_at",
            "sent_at",
            "finished_at",
            "forgotten_at",
        ]

    def get_error(self, document: Document) -> dict[str, str] | None:
        """The problem's code and sentence."""
        if not document.problem:
            return None
        return {"code": document.problem.upper(), "message": str(Document.Problem(document.problem).label)}


class Paste(serializers.Serializer[Any]):
    """A text to be kept as a document."""

    text = Text(trim_whitespace=False)
    name = Text(max_length=1000)
    format = Choice(list(_PASTED), default="markdown")
    owner = Choice(OWNERS, default="user", help_text="`project`: for all in the project named")


_FILE = {"type": "string", "format": "binary"}
_TAKEN = inline_serializer(
    "AcceptedDocument",
    {"outcome": Choice(["new", "replaced", "unchanged"]), "document": DocumentRow()},
)


@access("document", GET="read", POST="create")
class Documents(APIView):
    """What was sent, and sending."""

    parser_classes = [MultiPartParser, JSONParser]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Turn away what says that it is too large before any of it is parsed."""
        if downloads.announced(request) > accepting.MAX_BYTES + _FORM_BYTES:
            raise accepting.too_large()
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_documents",
        parameters=[
            OpenApiParameter("state", str, enum=Document.State.values),
            OpenApiParameter("owner", str, enum=list(OWNERS)),
            OpenApiParameter(
                "forgotten", str, enum=["true", "false", "1", "0"], description="those that can be brought back"
            ),
            OpenApiParameter("cursor", str, description="where to go on: `next_cursor` of the page before"),
            limit_parameter(),
        ],
        responses=inline_serializer(
            "DocumentList",
            {"documents": DocumentRow(many=True), "next_cursor": serializers.CharField(allow_null=True)},
        ),
    )
    def get(self, request: Request) -> Response:
        """List one's own documents and those of one's projects, newest first."""
        query = query_of(request, "state", "owner", "forgotten", "cursor", "limit")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        rows = shelving.documents(
            scope_of(request),
            state=query.get("state", ""),
            owner=query.get("owner", ""),
            forgotten=flag(query.get("forgotten"), field="forgotten"),
        )
        page = newest_first(rows, cursor=query.get("cursor"), limit=limit)
        return Response({"documents": DocumentRow(page.rows, many=True).data, "next_cursor": page.next_cursor})

    @extend_schema(
        operation_id="create_document",
        request={
            _FORM: {
                "type": "object",
                "properties": {"file": _FILE, "name": {"type": "string"}, "owner": {"enum": list(OWNERS)}},
                "required": ["file"],
            },
            _JSON: Paste,
        },
        responses={202: _TAKEN, 200: _TAKEN},
    )
    def post(self, request: Request) -> Response:
        """Send a document of at most 32 MiB, as `file` of a form, or paste a text as JSON. It is read afterwards."""
        is_form = request.content_type.partition(";")[0].strip().lower() == _FORM
        sent = _from_form(request) if is_form else _from_paste(request)
        accepted = accepting.accept(scope_of(request), **sent)
        return Response(
            _told(accepted),
            status=200 if accepted.outcome == "unchanged" else 202,
            headers={"Location": f"/api/documents/{accepted.document.pk}"},
        )


@access("document", GET="read", DELETE="delete")
class OneDocument(APIView):
    """One document."""

    @extend_schema(operation_id="get_document", responses=DocumentRow)
    def get(self, request: Request, document_id: str) -> Response:
        """Return what it is and how far."""
        return Response(DocumentRow(shelving.find_document(scope_of(request), document_id)).data)

    @extend_schema(operation_id="forget_document", responses={204: None})
    def delete(self, request: Request, document_id: str) -> Response:
        """Forget it, with all that came from it; it can be brought back for 30 days."""
        shelving.forget(scope_of(request), document_id, at=timezone.now())
        return Response(status=204)


@access("document", GET="read")
class DocumentContent(APIView):
    """What was sent."""

    @extend_schema(operation_id="read_document", responses={(200, "*/*"): OpenApiTypes.BINARY})
    def get(self, request: Request, document_id: str) -> HttpResponse:
        """Download it as it was sent."""
        document = shelving.find_document(scope_of(request), document_id)
        content, name = shelving.content_of(document), document.name.rpartition("/")[2]
        return downloads.attachment(content, name=name, mime_type=kinds.MIME_TYPES[document.kind])


@access("document", POST="delete")
class DocumentRestore(APIView):
    """Bringing a document back."""

    @extend_schema(operation_id="restore_document", request=None, responses=DocumentRow)
    def post(self, request: Request, document_id: str) -> Response:
        """Undo its forgetting. 409 where another has its name by now."""
        return Response(DocumentRow(shelving.bring_back(scope_of(request), document_id, at=timezone.now())).data)


@access("document", POST="change")
class DocumentRetry(APIView):
    """Reading a document again."""

    @extend_schema(operation_id="retry_document", request=None, responses={202: DocumentRow})
    def post(self, request: Request, document_id: str) -> Response:
        """Read a document that failed once more."""
        return Response(DocumentRow(shelving.try_again(scope_of(request), document_id)).data, status=202)


def _told(accepted: Accepted) -> dict[str, Any]:
    return {"outcome": accepted.outcome, "document": DocumentRow(accepted.document).data}


def _from_form(request: Request) -> dict[str, Any]:
    try:
        file, fields = request.FILES.get("file"), request.POST
    except (ParseError, SuspiciousOperation) as error:
        raise Invalid("file", "The form can't be read") from error
    if file is None:
        raise Invalid("file", "Missing: send the file in a field of this name")
    name = fields.get("name") or unquote(file.name or "")
    for field, value in (("name", name), ("owner", fields.get("owner", ""))):
        if not is_storable(value):
            raise Invalid(field, "Must not hold NUL characters or lone surrogates")
    return {
        "content": file.read(accepting.MAX_BYTES + 1),
        "name": name,
        "declared_type": file.content_type or "",
        "owner": fields.get("owner") or "user",
    }


def _from_paste(request: Request) -> dict[str, Any]:
    form = Paste(data=body_of(request))
    form.is_valid(raise_exception=True)
    pasted = form.validated_data
    return {
        "content": pasted["text"].encode(),
        "name": pasted["name"],
        "declared_type": _PASTED[pasted["format"]],
        "owner": pasted["owner"],
    }
