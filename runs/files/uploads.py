"""Files that people send: kept under names of our own, within bounds, found again by whom they belong to."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import Count, Sum

from openintern import kept_files
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.filenames import plain_name
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from runs.files.types import type_of
from runs.models import Upload

MAX_BYTES: Final = 8 * 1024 * 1024

_KIND: Final = "uploads"

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
    kept_files.write(_KIND, upload.pk, content)
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
    upload.delete()
    audit.record_for(scope, "upload.delete", object_id=upload_id)
    kept_files.remove_on_commit(_KIND, upload_id)


def read(upload_id: str) -> bytes:
    """Return the bytes of an upload of the organisation in scope. Raises NOT_FOUND where they are gone."""
    try:
        return kept_files.read(_KIND, upload_id)
    except FileNotFoundError as error:
        raise NotFound("Upload") from error


def too_large() -> OpenInternError:
    """Return the refusal of a file over the limit."""
    return OpenInternError("TOO_LARGE", f"A file may have at most {MAX_BYTES // 1024 // 1024} MiB")


def _require_room(size: int) -> None:
    kept_files.hold_quota(_KIND)
    kept = Upload.objects.aggregate(files=Count("pk"), bytes=Sum("size", default=0))
    if kept["files"] >= QUOTA_FILES or kept["bytes"] + size > QUOTA_BYTES:
        raise OpenInternError("TOO_LARGE", "The organisation's space for uploads is used up; remove some")
