"""Files that people send: kept under names of our own, within bounds, found again by whom they belong to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Sum

from openintern import data_directory
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from runs.files.types import plain_name, type_of
from runs.models import Upload

MAX_BYTES: Final = 8 * 1024 * 1024

#: What an organisation may keep.
QUOTA_BYTES: Final = 1024 * 1024 * 1024
QUOTA_FILES: Final = 10_000


@transaction.atomic
def keep(scope: Scope, *, name: str, content: bytes, declared_type: str = "") -> Upload:
    """Keep a file in somebody's name. The bytes are on disk before the row commits.

    Raises VALIDATION_ERROR for an empty file, TOO_LARGE for one over MAX_BYTES or over the organisation's quota.
    """
    if not content:
        raise Invalid("file", "Must not be empty")
    if len(content) > MAX_BYTES:
        raise too_large()
    _require_room(len(content))
    name = plain_name(name)
    upload = Upload.objects.create(
        user=scope.user,
        original_name=name,
        mime_type=type_of(content, name=name, declared=declared_type),
        size=len(content),
    )
    audit.record_for(scope, "upload.create", object_id=upload.pk)
    _write(upload, content)
    return upload


def find(scope: Scope, upload_id: str) -> Upload:
    """Return an upload that may be opened, or raise NOT_FOUND for one that isn't there or is somebody else's."""
    upload = Upload.objects.for_scope(scope).filter(pk=upload_id).first()
    if upload is None:
        raise NotFound("Upload")
    return upload


@transaction.atomic
def remove(scope: Scope, upload_id: str) -> None:
    """Remove an upload; runs that it was given to hear from then on that it is gone."""
    upload = find(scope, upload_id)
    path = _path(upload.pk)
    upload.delete()
    audit.record_for(scope, "upload.delete", object_id=upload_id)
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def read(upload_id: str) -> bytes:
    """Return the bytes of an upload of the organisation in scope. Raises NOT_FOUND where they are gone."""
    try:
        return _path(upload_id).read_bytes()
    except FileNotFoundError as error:
        raise NotFound("Upload") from error


def too_large() -> OpenInternError:
    """Return the refusal of a file over the limit."""
    return OpenInternError("TOO_LARGE", f"A file may have at most {MAX_BYTES // 1024 // 1024} MiB")


def _require_room(size: int) -> None:
    """Hold the organisation's quota until the transaction ends: uploads that come together are counted together."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"{connection.schema_name}:uploads"],  # type: ignore[attr-defined]
        )
    kept = Upload.objects.aggregate(files=Count("pk"), bytes=Sum("size", default=0))
    if kept["files"] >= QUOTA_FILES or kept["bytes"] + size > QUOTA_BYTES:
        raise OpenInternError("TOO_LARGE", "The organisation's space for uploads is used up; remove some")


def _write(upload: Upload, content: bytes) -> None:
    """Write the file whole. Where the row doesn't commit after all, it is nobody's: no id leads to it."""
    path = _path(upload.pk)
    data_directory.ensure(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _path(upload_id: str) -> Path:
    """Return where the bytes are. Both names are ours: the schema's, and an id that was found in the table."""
    return settings.CONFIG.server.base_dir / "uploads" / str(connection.schema_name) / upload_id  # type: ignore[attr-defined]
