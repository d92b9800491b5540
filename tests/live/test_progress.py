"""How far a batch of PDFs is, over a real connection."""

from __future__ import annotations

from datetime import timedelta

import httpx
from django.utils import timezone

from connectors.models import PdfFile, PdfJob
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast


def test_a_batch_is_followed_live_until_it_is_done(api: httpx.Client, committed: Cast) -> None:
    with org_scope(committed.alice.org):
        job = PdfJob.objects.create(user=committed.alice.user, mode="v4")
        # far ahead, so that no reader takes it
        files = [
            PdfFile.objects.create(
                job=job,
                file_index=index,
                filename=f"{index}.pdf",
                source_key="k",
                available_at=timezone.now() + timedelta(days=1),
            )
            for index in range(2)
        ]

    heard: list[str] = []
    with api.stream("GET", f"/api/mineru/ingest-batch/{job.pk}/progress") as answer:
        for line in answer.iter_lines():
            heard.append(line)
            if len([each for each in heard if each.startswith("data:")]) == 2:
                with org_scope(committed.alice.org):
                    PdfFile.objects.filter(pk__in=[file.pk for file in files]).update(
                        status="failed", error_code="MINERU_FAILED", ended_at=timezone.now()
                    )

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in heard if line.startswith("event:")] == [
        *["event: progress"] * 4,
        "event: done",
    ]
    with org_scope(committed.alice.org):
        job.delete()
