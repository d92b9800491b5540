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
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

import structlog
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from connectors.mineru import archive, content, ending
from connectors.mineru.asking import FILES, MOST_BYTES
from connectors.mineru.leases import Keeper, Lost, claim, get_on, mine
from connectors.mineru.refusals import Busy, Refused
from connectors.mineru.service import Progress, Service, download
from connectors.models import PdfFile
from memory.documents import reading
from memory.documents.parts import Part, Unreadable
from memory.models import Document
from openintern import kept_files
from openintern.outgoing import Unreachable, fetch
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from runs.models import Run

logger = structlog.get_logger(__name__)

MOST_TRIES: Final = 5
Status = PdfFile.Status
IsStopping = Callable[[], bool]


def work_round(orgs: Sequence[Organization], is_stopping: IsStopping = lambda: False) -> int:
    """Do a step in each organisation; return how many there were to do."""
    return in_each(orgs, lambda _: not is_stopping() and work_next() is not None, doing="reading PDFs")


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a PDF is due."""
    return organizations_where(
        table="connectors_pdffile",
        condition="(status IN ('pending', 'processing') OR NOT is_told) AND available_at <= clock_timestamp()",
        values={},
    )


def work_next(file_id: str = "") -> PdfFile | None:
    """Do one step at the file that is due longest, or at the one named; None if there is none to be had."""
    file = claim(file_id)
    if file is None:
        return None
    if not file.is_final:
        _try(file)
    if file.is_final and not file.is_told:
        ending.tell_waiting(file)
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
        ending.fail(file, refusal.code, str(refusal))


def _step(file: PdfFile) -> None:
    """Do the next thing. Raises Busy, Refused, Lost."""
    if file.tries > MOST_TRIES:
        raise Refused("MINERU_FAILED", "It was interrupted too often without getting on")
    if file.run_id and not Run.objects.filter(pk=file.run_id).unfinished().exists():
        raise Refused("RUN_ENDED", "The run that wanted it has ended")
    if file.job.mode == "local":
        ending.remember(file, _read_here(file))
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
            keep = Keeper(file)
            known = {
                "batch_id": service.begin_file(
                    stored, name=file.filename, size=file.size, options=options, data_id=file.data_id, keep=keep
                )
            }
    get_on(file, status=Status.PROCESSING, available_at=Now() + _interval(), **known)


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
            get_on(
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
        download(progress.zip_url, packed, keep=Keeper(file))
        found = archive.opened(packed)
    ending.remember(file, content.parts_of(found), title=found.name)


def _read_here(file: PdfFile) -> list[Part]:
    """Read a PDF by our own reader, in its process with its bounds."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as copy:
        path = kept_files.path_of(FILES, file.pk)
        if file.url:
            _fetch(file.url, copy)
            path = Path(copy.name)
        keep = Keeper(file)
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


def _wait(file: PdfFile, busy: Busy) -> None:
    """Let the same step be tried again after a growing pause; after so many in a row the file is given up."""
    if file.failures >= settings.CONFIG.mineru.max_retries:
        ending.fail(file, "MINERU_UNREACHABLE", str(busy))
        return
    pause = timedelta(seconds=min(2**file.failures, 60))
    mine(file).update(failures=F("failures") + 1, tries=0, available_at=Now() + pause)


def _interval() -> timedelta:
    return timedelta(milliseconds=settings.CONFIG.mineru.poll_interval_ms)


def _kept(file: PdfFile) -> IO[bytes]:
    try:
        return kept_files.path_of(FILES, file.pk).open("rb")
    except FileNotFoundError as error:
        raise Refused("MINERU_FILE_PATH_NOT_FOUND", "The file is gone") from error
