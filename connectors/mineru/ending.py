"""How a PDF ends: in memory, or given up; who is told of it, and what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from connectors.mineru import leases
from connectors.mineru.asking import FILES
from connectors.mineru.refusals import Refused
from connectors.models import PdfFile
from connectors.progress import PDFS, tell
from memory.documents.ingesting import Source, ingest
from memory.documents.parts import Part, Unreadable
from memory.models import Document, Memory
from memory.owners import Owner
from openintern import kept_files
from openintern.errors import OpenInternError
from runs import delivery
from runs.outbox import emitting

#: What a run waits for, as its log names it.
KIND: Final = "external_job"
COMPLETED: Final = "pdf.completed"
FAILED: Final = "pdf.failed"
Status = PdfFile.Status


@transaction.atomic
def remember(file: PdfFile, parts: Sequence[Part], *, title: str = "") -> None:
    """Remember what a PDF says, and that it is done, in one transaction."""
    if not leases.mine(file).select_for_update().exists():
        raise leases.Lost
    owner = Owner.of_project(file.job.project) if file.job.project else Owner.of_user(file.job.user)
    memories: Any = Memory.objects
    replaced = memories.of(owner).current().filter(source_key=file.source_key).exists()
    file.title = (file.title or title or file.filename)[:300]
    try:
        memory = ingest(owner=owner, parts=parts, source=_source(file))
    except Unreadable as refusal:
        raise Refused("MINERU_FAILED", str(Document.Problem(refusal.problem).label)) from refusal
    except OpenInternError as refusal:
        raise Refused(refusal.code, refusal.message) from refusal
    _end(
        file,
        Status.COMPLETED,
        memory_id=memory.pk,
        chunk_count=memory.passages.count(),
        content_hash=content_hash(parts),
        replaced=replaced,
        title=file.title,
        pages=file.pages,
    )


@transaction.atomic
def fail(file: PdfFile, code: str, message: str) -> None:
    """Give a file up, and say so to whoever waits for it."""
    if leases.mine(file).select_for_update().exists():
        _end(file, Status.FAILED, error_code=code[:40], error_message=message[:500])


def _end(file: PdfFile, status: str, **changes: Any) -> None:
    """The one way to an end: webhooks are told with it; whoever waits hears after it."""
    leases.mine(file).update(status=status, ended_at=Now(), **changes)
    file.refresh_from_db()
    if not file.url:
        kept_files.remove_on_commit(FILES, file.pk)
    is_well = status == Status.COMPLETED
    tell(PDFS)
    emitting.emit(COMPLETED if is_well else FAILED, {"job_id": file.job_id, **told_of(file)})


def tell_waiting(file: PdfFile) -> None:
    """Answer the call that waits, after the end and in a transaction of its own: it locks the run. May be repeated."""
    is_well = file.status == Status.COMPLETED
    answer = delivery.Delivery(
        kind=KIND,
        reference=file.pk,
        value=result_of(file) if is_well else None,
        error=file.error_message,
        code=file.error_code or "TOOL_ERROR",
        from_outside=True,
    )
    with transaction.atomic():
        delivery.deliver(file.run_id, file.tool_call_id, answer)
        PdfFile.objects.filter(pk=file.pk).update(is_told=True)


def result_of(file: PdfFile) -> dict[str, Any]:
    """Return what a call is answered for a PDF that is in memory."""
    return {
        "memory_id": str(file.memory_id),
        "source_key": file.source_key,
        "task_id": file.task_id or file.batch_id,
        "data_id": file.data_id,
        "mode": file.job.mode,
        "title": file.title,
        "chunk_count": file.chunk_count,
        "content_hash": file.content_hash,
        "replaced": file.replaced,
    }


def told_of(file: PdfFile) -> dict[str, Any]:
    """Return how far a file is, as the API says it."""
    told: dict[str, Any] = {
        "file_index": file.file_index,
        "filename": file.filename,
        "status": file.status,
        "pages": file.pages,
        "pages_read": file.pages_read,
    }
    if file.memory_id:
        told |= {"memory_id": str(file.memory_id), "chunk_count": file.chunk_count, "replaced": file.replaced}
    if file.error_code:
        told["error"] = {"code": file.error_code, "message": file.error_message}
    return told


def content_hash(parts: Iterable[Part]) -> str:
    """Return what names the text that was found."""
    digest = sha256()
    for part in parts:
        digest.update(part.text.encode("utf-8", "replace"))
    return digest.hexdigest()


def _source(file: PdfFile) -> Source:
    known = {
        "title": file.title,
        "url": file.url,
        "file_name": file.filename,
        "task_id": file.task_id,
        "batch_id": file.batch_id,
        "data_id": file.data_id,
        "mode": file.job.mode,
        "pages": file.pages,
    }
    return Source(
        key=file.source_key,
        name=file.filename,
        type="pdf_mineru",
        metadata={**file.metadata, **{name: value for name, value in known.items() if value}},
        author=file.job.user,
    )
