"""Reading PDFs, a small step at a time: claim a file, ask or do one thing, hand it back. Nothing is waited for here.

| the file                 | the step                                         | then                                  |
|--------------------------|--------------------------------------------------|---------------------------------------|
| waits                    | is sent to the service                           | is asked about after a while          |
| is with the service      | is asked about                                   | again, or its result is fetched       |
| is done there            | its result is fetched, judged and remembered     | is in memory, and whoever waits hears |
| is to be read here       | is read in a process of its own, and remembered  | the same                              |

A claim is a lease that what is long keeps renewing. Whoever dies leaves the file to the next; whoever lost it writes nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from connectors.mineru import archive, content
from connectors.mineru.asking import FILES, MOST_BYTES
from connectors.mineru.refusals import Busy, Refused
from connectors.mineru.service import Progress, Service, download
from connectors.models import PdfFile
from connectors.progress import PDFS, tell
from memory.documents import reading
from memory.documents.ingesting import Source, ingest
from memory.documents.parts import Part, Unreadable
from memory.models import Document, Memory
from memory.owners import Owner
from openintern import kept_files
from openintern.errors import OpenInternError
from openintern.outgoing import Unreachable, fetch
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import organizations_where, take_turns
from runs import delivery
from runs.models import Run
from runs.outbox import emitting

logger = structlog.get_logger(__name__)

#: What a run waits for, as its log names it.
KIND: Final = "external_job"
LEASE: Final = timedelta(seconds=60)
MOST_TRIES: Final = 5
COMPLETED: Final = "pdf.completed"
FAILED: Final = "pdf.failed"
_RENEW_SECONDS: Final = 10.0
Status = PdfFile.Status
IsStopping = Callable[[], bool]


class Lost(Exception):
    """The file is somebody else's by now."""


def work_off(orgs: Sequence[Organization], is_stopping: IsStopping = lambda: False) -> int:
    """Work until nothing is due; return how many steps that were. Organisations take turns, a step each."""
    return take_turns(orgs, lambda _: work_next() is not None, doing="reading PDFs", is_stopping=is_stopping)


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a PDF is due."""
    return organizations_where(
        table="connectors_pdffile",
        condition="(status IN ('pending', 'processing') OR NOT is_told) AND available_at <= clock_timestamp()",
        values={},
    )


def work_next(file_id: str = "") -> PdfFile | None:
    """Do one step at the file that is due longest, or at the one named; None if there is none to be had."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE.total_seconds(), file_id])
        row = cursor.fetchone()
    if row is None:
        return None
    file = PdfFile.objects.select_related("job__user", "job__project").get(pk=row[0])
    if not file.is_final:
        _try(file)
    if file.is_final and not file.is_told:
        _tell(file)
    return file


def _try(file: PdfFile) -> None:
    """Do a step, and settle what comes of it."""
    try:
        _step(file)
    except Lost:
        logger.info("a PDF was taken from its reader", file=file.pk)
    except Busy as busy:
        _wait(file, busy)
    except Refused as refusal:
        fail(file, refusal.code, str(refusal))


def _step(file: PdfFile) -> None:
    """Do the next thing. Raises Busy, Refused, Lost."""
    if file.tries > MOST_TRIES:
        raise Refused("MINERU_FAILED", "It was interrupted too often without getting on")
    if file.run_id and not Run.objects.filter(pk=file.run_id).unfinished().exists():
        raise Refused("RUN_ENDED", "The run that wanted it has ended")
    if file.job.mode == "local":
        remember(file, _read_here(file))
    elif not (file.task_id or file.batch_id):
        _send(file)
    else:
        _ask(file)


def _send(file: PdfFile) -> None:
    service, options = Service(settings.CONFIG.mineru), file.job.options
    if file.url:
        known = {"task_id": service.begin_url(file.url, options=options, data_id=file.data_id)}
    else:
        with _kept(file) as stored:
            keep = _Keeper(file)
            known = {
                "batch_id": service.begin_file(
                    stored, name=file.filename, size=file.size, options=options, data_id=file.data_id, keep=keep
                )
            }
    _get_on(file, status=Status.PROCESSING, available_at=Now() + _interval(), **known)


def _ask(file: PdfFile) -> None:
    service = Service(settings.CONFIG.mineru)
    progress = service.look(task_id=file.task_id, batch_id=file.batch_id, data_id=file.data_id, name=file.filename)
    match progress.state:
        case "failed":
            raise Refused("MINERU_FAILED", progress.problem or "The service could not read it")
        case "done":
            _collect(file, progress)
        case _ if file.polls + 1 >= settings.CONFIG.mineru.max_poll_attempts:
            raise Refused("MINERU_TIMEOUT", f"The service was not done after {file.polls + 1} looks")
        case _:
            _get_on(
                file,
                available_at=Now() + _interval(),
                polls=F("polls") + 1,
                pages=progress.pages,
                pages_read=progress.pages_read,
            )


def _collect(file: PdfFile, progress: Progress) -> None:
    """Fetch the result, judge it, remember what it says."""
    if not progress.zip_url:
        raise Refused("MINERU_RESULT_MISSING", "The service says that it is done, and names no result")
    with tempfile.TemporaryFile() as packed:
        download(progress.zip_url, packed, keep=_Keeper(file))
        found = archive.opened(packed)
    remember(file, content.parts_of(found), title=found.name)


def _read_here(file: PdfFile) -> list[Part]:
    """Read a PDF by our own reader, in its process with its bounds."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as copy:
        path = kept_files.path_of(FILES, file.pk)
        if file.url:
            _fetch(file.url, copy)
            path = Path(copy.name)
        keep = _Keeper(file)
        try:
            findings = reading.read(path, kind="pdf", watch=lambda _: keep())
        except FileNotFoundError as error:
            raise Refused("MINERU_RESULT_MISSING", "The file is gone") from error
        except Unreadable as refusal:
            empty = refusal.problem == Document.Problem.NO_TEXT
            label = Document.Problem(refusal.problem).label
            raise Refused("MINERU_EMPTY_CONTENT" if empty else "MINERU_FAILED", str(label)) from refusal
    file.title = file.title or findings.title
    file.pages = findings.pages
    return findings.parts


def _fetch(url: str, into: IO[bytes]) -> None:
    try:
        fetched = fetch(url, max_bytes=min(MOST_BYTES, 32 * 1024 * 1024))
    except Unreachable as error:
        raise Refused("MINERU_RESULT_MISSING", str(error)) from error
    if fetched.status != 200 or fetched.is_cut or b"%PDF-" not in fetched.content[:1024]:
        raise Refused("MINERU_RESULT_MISSING", f"No PDF can be had there ({fetched.status})")
    into.write(fetched.content)
    into.flush()


@transaction.atomic
def remember(file: PdfFile, parts: Sequence[Part], *, title: str = "") -> None:
    """Remember what a PDF says, and that it is done, in one transaction."""
    if not _mine(file).select_for_update().exists():
        raise Lost
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
    if _mine(file).select_for_update().exists():
        _end(file, Status.FAILED, error_code=code[:40], error_message=message[:500])


def _end(file: PdfFile, status: str, **changes: Any) -> None:
    """The one way to an end: webhooks are told with it; whoever waits hears after it."""
    _mine(file).update(status=status, ended_at=Now(), **changes)
    file.refresh_from_db()
    if not file.url:
        kept_files.remove_on_commit(FILES, file.pk)
    is_well = status == Status.COMPLETED
    tell(PDFS)
    emitting.emit(COMPLETED if is_well else FAILED, {"job_id": file.job_id, **told_of(file)})


def _tell(file: PdfFile) -> None:
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


def _wait(file: PdfFile, busy: Busy) -> None:
    """Let the same step be tried again after a growing pause; after so many in a row the file is given up."""
    if file.failures >= settings.CONFIG.mineru.max_retries:
        fail(file, "MINERU_UNREACHABLE", str(busy))
        return
    pause = timedelta(seconds=min(2**file.failures, 60))
    _mine(file).update(failures=F("failures") + 1, tries=0, available_at=Now() + pause)


def _get_on(file: PdfFile, **changes: Any) -> None:
    """Write down how far it is, and let go of it. Raises Lost."""
    if not _mine(file).update(**{"failures": 0, "tries": 0, **changes}):
        raise Lost
    tell(PDFS)


def _mine(file: PdfFile) -> Any:
    """The row, as long as it is what was claimed."""
    return PdfFile.objects.filter(pk=file.pk, attempt=file.attempt, status__in=PdfFile.UNFINISHED)


def _interval() -> timedelta:
    return timedelta(milliseconds=settings.CONFIG.mineru.poll_interval_ms)


def _kept(file: PdfFile) -> IO[bytes]:
    try:
        return kept_files.path_of(FILES, file.pk).open("rb")
    except FileNotFoundError as error:
        raise Refused("MINERU_FILE_PATH_NOT_FOUND", "The file is gone") from error


class _Keeper:
    """Renews the lease now and then, while something long is under way. Raises Lost."""

    def __init__(self, file: PdfFile) -> None:
        self._file = file
        self._again_at = time.monotonic() + _RENEW_SECONDS

    def __call__(self) -> None:
        if time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + _RENEW_SECONDS
        if not _mine(self._file).update(available_at=Now() + LEASE):
            raise Lost


_CLAIM = """
    UPDATE connectors_pdffile SET attempt = attempt + 1, tries = tries + 1,
           available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT id FROM connectors_pdffile
        WHERE (status IN ('pending', 'processing') OR NOT is_told) AND available_at <= clock_timestamp() AND %s IN ('', id)
        ORDER BY available_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""
