"""The door for PDFs: a batch that somebody sends, or a call of an agent. Nothing of them is read here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from connectors.models import PdfFile, PdfJob
from connectors.syncing.asked import ring
from openintern import kept_files
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.filenames import seen
from openintern.outgoing import Unreachable, check_url
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable

#: Where files wait.
FILES: Final = "pdfs"
MOST_FILES: Final = 20
MOST_BYTES: Final = 200 * 1024 * 1024
#: What an organisation may have waiting.
QUOTA_BYTES: Final = 4 * 1024 * 1024 * 1024
QUOTA_FILES: Final = 1_000
MODELS: Final = ("pipeline", "vlm", "MinerU-HTML")
LONGEST_KEY: Final = 300
_YES_NO: Final = ("is_ocr", "enable_formula", "enable_table")
_TEXTS: Final = {"language": 20, "page_ranges": 200}
_HEAD: Final = 1024
_DATA_ID: Final = re.compile(r"[A-Za-z0-9._-]{0,120}")


def require_mode() -> str:
    """Return how PDFs are read: `v4` or `local`. Raises MINERU_DISABLED."""
    mode: str = settings.CONFIG.mineru.mode
    if mode == "off":
        raise OpenInternError("MINERU_DISABLED", "Reading PDFs this way is turned off")
    return mode


def options_from(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a PDF is to be read, defaults filled in. Raises VALIDATION_ERROR."""
    model = told.get("model_version") or settings.CONFIG.mineru.default_model_version
    if model not in MODELS:
        raise Invalid("model_version", f"Must be one of {', '.join(MODELS)}")
    options: dict[str, Any] = {"model_version": model, "is_ocr": False, "enable_formula": True, "enable_table": True}
    for name in _YES_NO:
        if (value := told.get(name)) is not None:
            options[name] = _truth(name, value)
    for name, most in _TEXTS.items():
        if value := told.get(name):
            if not isinstance(value, str) or len(value) > most or not value.isprintable():
                raise Invalid(name, f"Must be a text of at most {most} characters")
            options[name] = value
    return options


@transaction.atomic
def accept_batch(scope: Scope, files: Sequence[tuple[str, IO[bytes], int]], told: Mapping[str, Any]) -> PdfJob:
    """Take PDFs (name, content, size); they are read in the background. In a project they are the project's.

    Raises MINERU_DISABLED, MINERU_INPUT_REQUIRED, VALIDATION_ERROR, MINERU_FILE_PATH_INVALID (no PDF), TOO_LARGE.
    """
    mode, options = require_mode(), options_from(told)
    if not files:
        raise OpenInternError("MINERU_INPUT_REQUIRED", "Send at least one PDF, as `files`")
    if len(files) > MOST_FILES:
        raise Invalid("files", f"At most {MOST_FILES} files at once")
    _require_room(sum(size for _, _, size in files), count=len(files))
    for name, content, size in files:  # all of them before any is kept
        _check(content, name=_name(name), size=size)
    job = _job(scope, mode=mode, options=options)
    with _nothing_left() as kept:
        for index, (name, content, size) in enumerate(files):
            kept.append(_keep(job, content, name=name, size=size, index=index))
    audit.record_for(scope, "pdf.create", object_id=job.pk, files=len(files))
    ring()
    return job


@transaction.atomic
def accept_url(scope: Scope, url: str, *, told: Mapping[str, Any], **about: Any) -> PdfFile:
    """Have a PDF of the web read. Raises MINERU_DISABLED, MINERU_FILE_URL_INVALID, VALIDATION_ERROR, TOO_LARGE."""
    mode, options = require_mode(), options_from(told)
    try:
        check_url(url)
    except Unreachable as error:
        raise OpenInternError("MINERU_FILE_URL_INVALID", str(error)) from error
    _require_room(0, count=1)
    data_id = _data_id(told)
    key = about.pop("source_key", "") or f"mineru:{data_id or _short(sha256(url.encode()).hexdigest())}"
    file = PdfFile(
        job=_job(scope, mode=mode, options=options),
        file_index=0,
        filename=_name(unquote(urlsplit(url).path)) or "document.pdf",
        url=url,
        data_id=data_id or f"url_{_short(sha256(url.encode()).hexdigest())}",
        source_key=_key(key),
        **about,
    )
    file.save(force_insert=True)
    audit.record_for(scope, "pdf.create", object_id=file.job_id, url=url[:200])
    ring()
    return file


@transaction.atomic
def accept_content(
    scope: Scope, content: IO[bytes], *, name: str, size: int, told: Mapping[str, Any], **about: Any
) -> PdfFile:
    """Have one PDF read that is at hand. Raises as `accept_batch` does."""
    mode, options = require_mode(), options_from(told)
    _require_room(size, count=1)
    _check(content, name=_name(name), size=size)
    job = _job(scope, mode=mode, options=options)
    with _nothing_left() as kept:
        kept.append(file := _keep(job, content, name=name, size=size, index=0, data_id=_data_id(told), **about))
    audit.record_for(scope, "pdf.create", object_id=job.pk, files=1)
    ring()
    return file


def find(scope: Scope, job_id: str) -> PdfJob:
    """Return a job in sight, or raise NOT_FOUND."""
    everything: Any = PdfJob.objects
    job: PdfJob | None = everything.for_scope(scope).select_related("user", "project").filter(pk=job_id).first()
    if job is None:
        raise NotFound("Job")
    return job


def latest(scope: Scope, *, limit: int = 20) -> list[PdfJob]:
    """Return the jobs in sight with their files, the newest first."""
    everything: Any = PdfJob.objects
    rows = everything.for_scope(scope).select_related("user", "project").prefetch_related("files")
    return list(rows.order_by("-created_at", "-pk")[:limit])


def _job(scope: Scope, *, mode: str, options: dict[str, Any]) -> PdfJob:
    job = PdfJob(user=scope.user, project=scope.project, mode=mode, options=options)
    job.save(force_insert=True)
    return job


def _check(content: IO[bytes], *, name: str, size: int) -> None:
    content.seek(0)
    if not name.lower().endswith(".pdf") or b"%PDF-" not in content.read(_HEAD):
        raise OpenInternError("MINERU_FILE_PATH_INVALID", f"{name or 'It'} is not a PDF")
    if size > MOST_BYTES:
        raise OpenInternError("TOO_LARGE", f"A PDF may have at most {MOST_BYTES // 1024 // 1024} MiB")


@contextmanager
def _nothing_left() -> Iterator[list[PdfFile]]:
    """Where not all can be kept, keep none of their bytes: the rows go with the transaction."""
    kept: list[PdfFile] = []
    try:
        yield kept
    except BaseException:
        for file in kept:
            kept_files.path_of(FILES, file.pk).unlink(missing_ok=True)
        raise


def _keep(job: PdfJob, content: IO[bytes], *, name: str, size: int, index: int, **about: Any) -> PdfFile:
    """Keep a PDF's bytes until they are read. Its content makes its key: the same file is the same source."""
    tidy = _name(name)
    digest = sha256()
    content.seek(0)
    for piece in _pieces(content):
        digest.update(piece)
    named, digits = about.pop("data_id", ""), _short(digest.hexdigest())
    data_id = named or f"local_{digits}"
    key = about.pop("source_key", "") or f"mineru:{named or digits}"
    file = PdfFile(job=job, file_index=index, filename=tidy, size=size, data_id=data_id, source_key=_key(key), **about)
    file.save(force_insert=True)
    content.seek(0)
    kept_files.write_pieces(FILES, file.pk, _pieces(content))
    return file


def _require_room(size: int, *, count: int) -> None:
    kept_files.hold_quota(FILES)
    waiting = PdfFile.objects.filter(status__in=PdfFile.UNFINISHED)
    used: int = waiting.aggregate(bytes=Sum("size", default=0))["bytes"]
    if waiting.count() + count > QUOTA_FILES or used + size > QUOTA_BYTES:
        raise OpenInternError("TOO_LARGE", "Too much is waiting to be read; send it later")


def _pieces(content: IO[bytes]) -> Iterable[bytes]:
    while piece := content.read(1024 * 1024):
        yield piece


def _name(name: str) -> str:
    return seen(name.replace("\\", "/").rpartition("/")[2])[-300:]


def _key(key: str) -> str:
    if not is_storable(key) or not key.isprintable() or not 0 < len(key) <= LONGEST_KEY:
        raise Invalid("source_key", f"Must be 1 to {LONGEST_KEY} printable characters")
    return key


def _data_id(told: Mapping[str, Any]) -> str:
    """What the caller calls the document, if they do."""
    named = told.get("data_id") or ""
    if not isinstance(named, str) or not _DATA_ID.fullmatch(named):
        raise Invalid("data_id", "Must be letters, digits, '.', '_' and '-', 120 at most")
    return named


def _short(digest: str) -> str:
    return digest[:24]


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "1"}:
        return True
    if str(value).lower() in {"false", "0"}:
        return False
    raise Invalid(name, "Must be true or false")
