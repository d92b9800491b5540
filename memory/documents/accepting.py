"""The door for documents: what is sent is kept, and waits to be read. Nothing of it is parsed here."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from django.db import connection, transaction
from django.db.models import Count, Sum
from django.db.models.functions import Now

from memory.documents import kinds
from memory.keeping import owner_named
from memory.models import Document, Tier
from memory.models.document import LONGEST_NAME
from memory.writing import shelves_of
from openintern import kept_files
from openintern.errors import Invalid, OpenInternError
from openintern.filenames import seen
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope

MAX_BYTES: Final = 32 * 1024 * 1024

#: What an organisation may keep.
QUOTA_BYTES: Final = 4 * 1024 * 1024 * 1024
QUOTA_DOCUMENTS: Final = 50_000

#: Where their bytes are kept, and what is rung when there is one to read.
FILES: Final = "documents"
READ: Final = "openintern_read"


@dataclass(frozen=True)
class Accepted:
    """What came of sending a document. `outcome`: `new`, `replaced` (a version before it) or `unchanged`."""

    document: Document
    outcome: str


@transaction.atomic
def accept(scope: Scope, *, content: bytes, name: str, declared_type: str = "", owner: str = "user") -> Accepted:
    """Take a document for oneself or for the project in scope; it is read in the background.

    What the owner has under that name is replaced once this version can be read; the same bytes change nothing.
    Raises VALIDATION_ERROR (empty, no name), UNSUPPORTED_MEDIA_TYPE, TOO_LARGE.
    """
    kind = _kind(content, name=name, declared=declared_type)
    shelf = shelves_of(owner_named(scope, owner)).get(tier=Tier.ARCHIVAL)
    kept_files.hold_quota(FILES)
    name, digest = document_name(name), sha256(content).hexdigest()
    known = Document.objects.select_related("memory").filter(shelf=shelf, name=name, forgotten_at=None).first()
    if known is not None and _is_the_same(known, digest=digest, kind=kind):
        return Accepted(known, "unchanged")
    _require_room(len(content))
    if known is None:
        document = Document(shelf=shelf, author=scope.user, name=name, kind=kind, size=len(content), digest=digest)
        document.save(force_insert=True)
    else:
        document = _renew(known, scope, kind=kind, size=len(content), digest=digest)
    kept_files.write(FILES, document.stored_as, content)
    audit.record_for(scope, "document.create", object_id=document.pk, version=document.version, owner=owner)
    ring()
    return Accepted(document, "new" if known is None else "replaced")


def document_name(name: str) -> str:
    """Return a name as it is kept: with its folders, without what leads elsewhere or can't be seen. Never a path to us."""
    parts = [seen(part) for part in name.replace("\\", "/").split("/")]
    tidy = "/".join(part for part in parts if part.strip("."))
    if not tidy:
        raise Invalid("name", "A document needs a name")
    if len(tidy) <= LONGEST_NAME:
        return tidy
    mark = sha256(tidy.encode()).hexdigest()[:12]  # two that are cut the same stay two
    return f"{mark}…{tidy[-(LONGEST_NAME - len(mark) - 1) :]}"


def ring() -> None:
    """Wake the readers, when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, current_schema())", [READ])


def too_large() -> OpenInternError:
    """Return the refusal of a document over the limit."""
    return OpenInternError("TOO_LARGE", f"A document may have at most {MAX_BYTES // 1024 // 1024} MiB")


def _kind(content: bytes, *, name: str, declared: str) -> str:
    if not content.strip():
        raise Invalid("file", "Must not be empty")
    if len(content) > MAX_BYTES:
        raise too_large()
    kind = kinds.kind_of(content, name=name, declared=declared)
    if kind is None:
        raise OpenInternError(
            "UNSUPPORTED_MEDIA_TYPE", "Not a document that can be read: send PDF, DOCX, HTML, Markdown or plain text"
        )
    return kind


def _is_the_same(known: Document, *, digest: str, kind: str) -> bool:
    """Whether nothing is gained by reading it: it is on its way, or what it says can be found."""
    if (known.digest, known.kind) != (digest, kind):
        return False
    return not known.is_final or (known.state == Document.State.DONE and known.is_remembered)


def _renew(known: Document, scope: Scope, **content: object) -> Document:
    """Let the row stand for a new version. Who is reading the old one has lost it."""
    kept_files.remove_on_commit(FILES, known.stored_as)
    Document.objects.filter(pk=known.pk).update(
        author=scope.user,
        version=known.version + 1,
        state=Document.State.QUEUED,
        problem="",
        attempt=known.attempt + 1,
        tries=0,
        available_at=Now(),
        sent_at=Now(),
        finished_at=None,
        pages_read=0,
        **content,
    )
    known.refresh_from_db()
    return known


def _require_room(size: int) -> None:
    kept = Document.objects.aggregate(documents=Count("pk"), bytes=Sum("size", default=0))
    if kept["documents"] >= QUOTA_DOCUMENTS or kept["bytes"] + size > QUOTA_BYTES:
        raise OpenInternError("TOO_LARGE", "The organisation's space for documents is used up; forget some")
