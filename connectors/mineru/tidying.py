"""What became of PDFs long ago goes; what they say stays in memory. Called once a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from connectors.models import PdfFile, PdfJob
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each

KEPT: Final = timedelta(days=30)


def forget_all() -> None:
    """Remove old jobs in every organisation; one that can't be tidied doesn't keep the others from it."""
    in_each(Organization.objects.filter(is_active=True), lambda _: forget(at=timezone.now()), doing="tidying PDF jobs")


def forget(*, at: datetime) -> int:
    """Remove jobs of more than 30 days ago of which nothing is under way; return how many."""
    under_way = PdfFile.objects.filter(Q(status__in=PdfFile.UNFINISHED) | Q(is_told=False), job=OuterRef("pk"))
    old = PdfJob.objects.filter(~Exists(under_way), created_at__lt=at - KEPT)
    return old.delete()[1].get("connectors.PdfJob", 0)
