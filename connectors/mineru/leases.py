"""Whose a PDF is: a claim is a lease, and what its holder writes is written while the file is theirs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from django.db import connection
from django.db.models.functions import Now

from connectors.models import PdfFile
from connectors.progress import PDFS, tell

LEASE: Final = timedelta(seconds=60)
_RENEW_SECONDS: Final = 10.0


class Lost(Exception):
    """The file is somebody else's by now."""


def claim(file_id: str = "") -> PdfFile | None:
    """Take the file that is due longest, or the one named; None if there is none to be had."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE.total_seconds(), file_id])
        row = cursor.fetchone()
    return PdfFile.objects.select_related("job__user", "job__project").get(pk=row[0]) if row else None


def get_on(file: PdfFile, **changes: Any) -> None:
    """Write down how far it is, and let go of it. Raises Lost."""
    if not mine(file).update(**{"failures": 0, "tries": 0, **changes}):
        raise Lost
    tell(PDFS)


def mine(file: PdfFile) -> Any:
    """The row, as long as it is what was claimed."""
    return PdfFile.objects.filter(pk=file.pk, attempt=file.attempt, status__in=PdfFile.UNFINISHED)


class Keeper:
    """Renews the lease now and then, while something long is under way. Raises Lost."""

    def __init__(self, file: PdfFile) -> None:
        self._file = file
        self._again_at = time.monotonic() + _RENEW_SECONDS

    def __call__(self) -> None:
        if time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + _RENEW_SECONDS
        if not mine(self._file).update(available_at=Now() + LEASE):
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
