"""What people do with documents that were sent: list them, open them, forget them, bring them back, try again."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from memory import forgetting
from memory.documents.accepting import FILES, ring
from memory.keeping import OWNERS, may_change
from memory.models import Document
from openintern import kept_files
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each
from openintern.tenancy.scope import Scope

_PURGED_AT_ONCE = 200


def documents(scope: Scope, *, state: str = "", owner: str = "", forgotten: bool = False) -> QuerySet[Document]:
    """Return the documents in sight, newest first: those that are there, or those that can still be brought back."""
    if state and state not in Document.State.values:
        raise Invalid("state", f"Must be one of {', '.join(Document.State.values)}")
    if owner and owner not in OWNERS:
        raise Invalid("owner", f"Must be one of {', '.join(OWNERS)}")
    rows = _in_sight(scope).filter(forgotten_at__isnull=not forgotten)
    if state:
        rows = rows.filter(state=state)
    if owner:
        rows = rows.filter(**{f"shelf__{owner}__isnull": False})
    return rows.order_by("-created_at", "-pk")


def find_document(scope: Scope, document_id: str) -> Document:
    """Return a document in sight, forgotten or not, or raise NOT_FOUND."""
    document = _in_sight(scope).filter(pk=document_id).first()
    if document is None:
        raise NotFound("Document")
    return document


def content_of(document: Document) -> bytes:
    """Return a document as it was sent. Raises NOT_FOUND where its bytes are gone."""
    try:
        return kept_files.read(FILES, document.stored_as)
    except FileNotFoundError as error:
        raise NotFound("Document") from error


@transaction.atomic
def forget(scope: Scope, document_id: str, *, at: datetime) -> Document:
    """Forget a document with all that came from it; it can be brought back for 30 days. May be repeated."""
    document = _in_hand(scope, document_id)
    if document.forgotten_at is not None:
        return document
    known = [document.memory] if document.memory is not None and document.memory.forgotten_at is None else []
    forgotten_with = forgetting.forget(known, at=at)
    Document.objects.filter(pk=document.pk).update(
        forgotten_at=at, forgotten_with=forgotten_with, attempt=F("attempt") + 1
    )
    audit.record_for(scope, "document.forget", object_id=document_id)
    return find_document(scope, document_id)


@transaction.atomic
def bring_back(scope: Scope, document_id: str, *, at: datetime) -> Document:
    """Undo a forgetting. Raises NOT_FOUND if it is too late, CONFLICT if there is another of that name by now."""
    document = _in_hand(scope, document_id)
    if document.forgotten_at is None or document.forgotten_with is None:
        return document
    if document.forgotten_at <= at - forgetting.RESTORABLE:
        raise NotFound("Document")
    kept_files.hold_quota(FILES)
    if Document.objects.filter(shelf=document.shelf, name=document.name, forgotten_at__isnull=True).exists():
        raise OpenInternError("CONFLICT", "Another document has this name by now; forget that one first")
    if document.memory is not None and document.memory.forgotten_with == document.forgotten_with:
        forgetting.restore(document.forgotten_with, at=at)
    Document.objects.filter(pk=document.pk).update(forgotten_at=None, forgotten_with=None)
    if not document.is_final:
        _queue(document)
    audit.record_for(scope, "document.restore", object_id=document_id)
    return find_document(scope, document_id)


@transaction.atomic
def try_again(scope: Scope, document_id: str) -> Document:
    """Let a document that failed be read once more. Raises CONFLICT for one that didn't."""
    document = _in_hand(scope, document_id)
    if document.state != Document.State.FAILED or document.forgotten_at is not None:
        raise OpenInternError("CONFLICT", "Only a document that failed can be tried again")
    _queue(document)
    audit.record_for(scope, "document.retry", object_id=document_id)
    return find_document(scope, document_id)


@transaction.atomic
def purge(*, at: datetime) -> int:
    """Remove for good what was forgotten too long ago to be brought back, files and all; return how many went."""
    old = list(Document.objects.filter(forgotten_at__lte=at - forgetting.RESTORABLE)[:_PURGED_AT_ONCE])
    for document in old:
        kept_files.remove_on_commit(FILES, document.stored_as)
    Document.objects.filter(pk__in=[document.pk for document in old]).delete()
    return len(old)


def purge_all() -> None:
    """Purge every organisation; called by the daily schedule. One that can't be doesn't keep the others from it."""
    in_each(Organization.objects.order_by("pk"), _purge_whole, doing="purging documents")


def _purge_whole(org: Organization) -> int:
    gone = 0
    while batch := purge(at=timezone.now()):
        gone += batch
    if gone:
        audit.record("document.purge", org=org, via="schedule", object_id=org.slug, details={"documents": gone})
    return gone


def _queue(document: Document) -> None:
    Document.objects.filter(pk=document.pk).update(
        state=Document.State.QUEUED,
        problem="",
        finished_at=None,
        tries=0,
        pages_read=0,
        attempt=F("attempt") + 1,
        available_at=Now(),
    )
    ring()


def _in_sight(scope: Scope) -> QuerySet[Document]:
    rows: QuerySet[Document] = Document.objects.for_scope(scope)
    return rows.select_related("shelf__user", "shelf__project", "author", "memory")


def _in_hand(scope: Scope, document_id: str) -> Document:
    """Return a document that is this person's to forget. Locked until the transaction ends."""
    Document.objects.filter(pk=document_id).select_for_update().first()
    document = find_document(scope, document_id)
    if not may_change(scope, document):
        raise OpenInternError("FORBIDDEN", "Somebody else added this; an admin can change it")
    return document
