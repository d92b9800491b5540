"""Reading what waits: claim, read, write. Any number of readers may do this; a crash gives a document back.

A claim is a lease: it moves `available_at` ahead in a transaction of its own and raises `attempt`, by which whoever lost
the document is told apart. What a document says is written in one transaction with the word that it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from memory.documents import reading
from memory.documents.accepting import FILES
from memory.documents.ingesting import Source, ingest
from memory.documents.parts import Unreadable
from memory.documents.reading import Findings
from memory.models import Document
from openintern import kept_files
from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import organizations_where, take_turns

logger = structlog.get_logger(__name__)

#: How long a document belongs to who claimed it without a word; progress renews it.
LEASE: Final = timedelta(seconds=30)
#: How often it is begun before it is given up.
MOST_TRIES: Final = 3
State = Document.State


class Lost(Exception):
    """The document is somebody else's by now, or forgotten, or has a newer version."""


class Stopped(Exception):
    """The process is to end; the document was handed back."""


def read_all(orgs: Sequence[Organization], *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Read until nothing waits; return how many documents were taken. Organisations take turns, a document each."""
    return take_turns(
        orgs,
        lambda _: read_next(is_stopping=is_stopping) is not None,
        doing="reading documents",
        is_stopping=is_stopping,
    )


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a document waits to be read."""
    return organizations_where(
        table="memory_document",
        condition="state IN ('queued', 'reading', 'writing') AND forgotten_at IS NULL AND available_at <= clock_timestamp()",
        values={},
    )


def read_next(*, document_id: str = "", is_stopping: Callable[[], bool] = lambda: False) -> Document | None:
    """Read the document that waits longest (or the one named) to its end; None if there is none to be had."""
    document = claim(document_id)
    if document is not None:
        try:
            _read(document, is_stopping)
        except Lost:
            logger.info("a document was taken from its reader", document=document.pk)
    return document


def _read(document: Document, is_stopping: Callable[[], bool]) -> None:
    """Read a claimed document and settle what comes of it. Raises Lost."""
    try:
        findings = reading.read(
            kept_files.path_of(FILES, document.stored_as), kind=document.kind, watch=_Watch(document, is_stopping)
        )
        _remember(document, findings)
    except Unreadable as refusal:
        _settle(document, State.FAILED, problem=refusal.problem, finished_at=Now())
    except FileNotFoundError:
        _settle(document, State.FAILED, problem=Document.Problem.LOST, finished_at=Now())
    except Stopped:
        _settle(document, State.QUEUED, available_at=Now(), tries=F("tries") - 1)


def claim(document_id: str = "") -> Document | None:
    """Take a document to read, for the time of the lease; counted as a try before it is begun."""
    _give_up_what_fails()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [State.READING, LEASE.total_seconds(), MOST_TRIES, document_id])
        row = cursor.fetchone()
    if row is None:
        return None
    return Document.objects.select_related("shelf", "author").get(pk=row[0])


@dataclass
class _Watch:
    """Keeps the lease while a reader is at work, and shows how far it is."""

    document: Document
    is_stopping: Callable[[], bool]

    def __call__(self, findings: Findings) -> None:
        if self.is_stopping():
            raise Stopped
        told = {"pages": findings.pages, "pages_read": findings.page}
        if not _mine(self.document, State.READING).update(available_at=Now() + LEASE, **told):
            raise Lost


@transaction.atomic
def _write(document: Document, findings: Findings) -> None:
    """Remember what the document says, and that it is done. The row is locked, so nobody claims it meanwhile."""
    if not _mine(document, State.WRITING).select_for_update().exists():
        raise Lost
    memory = ingest(owner=document.shelf.owner, parts=findings.parts, source=_source(document, findings))
    _mine(document, State.WRITING).update(
        state=State.DONE,
        finished_at=Now(),
        memory=memory,
        passages=memory.passages.count(),
        title=findings.title,
        encoding=findings.encoding,
        pages=findings.pages or None,
        pages_read=findings.page,
        textless_pages=findings.textless_pages,
    )


def _remember(document: Document, findings: Findings) -> None:
    _settle(document, State.WRITING, pages=findings.pages or None, pages_read=findings.page, available_at=Now() + LEASE)
    try:
        _write(document, findings)
    except OpenInternError as refusal:
        logger.warning("a document can't be remembered: %s", refusal.message, document=document.pk)
        raise Unreadable(_REFUSED.get(refusal.code, Document.Problem.BROKEN)) from refusal


_REFUSED: Final = {"TOO_LARGE": Document.Problem.NO_ROOM}


def _source(document: Document, findings: Findings) -> Source:
    known = {
        "title": findings.title or document.name.rpartition("/")[2],
        "document_id": document.pk,
        "format": document.kind,
        "pages": findings.pages,
    }
    return Source(
        key=document.source_key,
        name=document.name,
        type="document",
        metadata={name: value for name, value in known.items() if value},
        author=document.author,
    )


def _settle(document: Document, state: str, **changes: Any) -> None:
    """Move a document on. Raises Lost where it is no longer ours to move."""
    if not _mine(document, *Document.TRANSITIONS[state]).update(state=state, **changes):
        raise Lost


def _mine(document: Document, *states: str) -> Any:
    """The row, as long as it is what was claimed."""
    return Document.objects.filter(
        pk=document.pk,
        version=document.version,
        attempt=document.attempt,
        forgotten_at__isnull=True,
        state__in=states,
    )


def _give_up_what_fails() -> None:
    Document.objects.filter(
        state__in=Document.UNFINISHED, forgotten_at__isnull=True, tries__gte=MOST_TRIES, available_at__lte=Now()
    ).update(state=State.FAILED, problem=Document.Problem.GIVEN_UP, finished_at=Now())


_CLAIM = """
    UPDATE memory_document SET state = %s, attempt = attempt + 1, tries = tries + 1, pages_read = 0,
           available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT id FROM memory_document
        WHERE state IN ('queued', 'reading', 'writing') AND forgotten_at IS NULL
          AND available_at <= clock_timestamp() AND tries < %s AND %s IN ('', id)
        ORDER BY available_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""
