"""The second phase: read what changed, a source at a time. What didn't isn't even asked for, where its list tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from connectors.feishu import reading
from connectors.feishu.answers import Forbidden, Gone, Refusal
from connectors.feishu.asking import Asker
from connectors.feishu.config import CHUNKING
from connectors.feishu.reading import Said
from connectors.models import Connector, Source, SyncJob
from connectors.syncing import removing
from connectors.syncing.leases import Hold
from memory.chunking import Sizes
from memory.documents.ingesting import Source as Origin
from memory.documents.ingesting import ingest
from memory.documents.parts import Unreadable
from memory.owners import Owner
from openintern.errors import OpenInternError

logger = structlog.get_logger(__name__)

#: How often a source is begun before it is left until it changes: one that takes its reader down is no reason to stop.
MOST_TRIES: Final = 3
#: A change within the second in which it is read shows in no list: younger ones are asked about once more.
SETTLED_AFTER: Final = timedelta(minutes=2)
#: Problems that the same content would have again.
_LASTING: Final = frozenset({"TOO_LARGE", "SECRETS", "NO_ROOM", "GIVEN_UP"})
_COUNTERS: Final = {Source.Kind.DOCX: "docx_docs", Source.Kind.SHEET: "sheets", Source.Kind.BITABLE: "bitable_tables"}
_IMPORTANCE: Final = {Source.Kind.DOCX: 0.9, Source.Kind.SHEET: 0.85, Source.Kind.BITABLE: 0.85}


@transaction.atomic
def pass_over_unchanged(hold: Hold) -> None:
    """Settle at once what its list shows as it was when it was read. May be repeated."""
    hold.lock()
    unchanged = _waiting(hold.job).exclude(marker="").filter(read_marker=F("marker"))
    passed = unchanged.update(settled_in=hold.job)
    hold.get_on(skipped=F("skipped") + passed, phase=SyncJob.Phase.READING)


def fetch(hold: Hold, asker: Asker) -> bool:
    """Read one source; return whether there was one. Raises Busy, Denied, Lost."""
    source = _waiting(hold.job).order_by("pk").first()
    if source is None:
        return False
    if _has_read_enough(hold):
        _postpone(hold)
        return False
    Source.objects.filter(pk=source.pk).update(tries=F("tries") + 1)
    if source.tries >= MOST_TRIES:
        _fail(hold, source, problem="GIVEN_UP")
        return True
    try:
        said = reading.read(asker, source, hold.connector.config)
    except (Gone, Forbidden) as refusal:
        _lose(hold, source, problem=refusal.problem)
    except Refusal as refusal:
        _fail(hold, source, problem=refusal.problem)
    else:
        _settle(hold, source, said)
    return True


def _settle(hold: Hold, source: Source, said: Said | None) -> None:
    """Keep what was read, in place of what was read before."""
    if said is None:
        _pass_over(hold, source)
        return
    try:
        _remember(hold, source, said)
    except Unreadable:
        _fail(hold, source, problem="SECRETS")
    except OpenInternError as refusal:
        logger.warning("a source can't be remembered: %s", refusal.message, source=source.key)
        _fail(hold, source, problem="NO_ROOM" if refusal.code == "TOO_LARGE" else refusal.code)


@transaction.atomic
def _remember(hold: Hold, source: Source, said: Said) -> None:
    """Remember a source, and that it is dealt with: one transaction, so it is there once and no more."""
    hold.lock()
    memory = None
    if any(part.text.strip() for part in said.parts if part.kind != "heading"):
        memory = ingest(
            owner=Owner.of_project(hold.connector.project),
            parts=said.parts,
            source=_origin(hold.connector, source, said),
            sizes=_sizes(hold.connector),
        )
    else:
        removing.forget_memory(source, at=timezone.now())
    passages = memory.passages.count() if memory else 0
    _update(
        hold,
        source,
        memory=memory,
        passages=passages,
        title=said.title or source.title,
        revision=said.revision,
        read_marker=_read_marker(hold, source),
        read_at=Now(),
        problem="",
        tries=0,
    )
    kind = _COUNTERS[Source.Kind(source.kind)]
    hold.get_on(processed=F("processed") + 1, chunk_count=F("chunk_count") + passages, **{kind: F(kind) + 1})


@transaction.atomic
def _pass_over(hold: Hold, source: Source) -> None:
    hold.lock()
    _update(hold, source, read_marker=_read_marker(hold, source), problem="", tries=0)
    hold.get_on(skipped=F("skipped") + 1)


@transaction.atomic
def _fail(hold: Hold, source: Source, *, problem: str) -> None:
    """Leave a source as it is remembered, and go on. What would fail again is left until it changes."""
    hold.lock()
    lasting = {"read_marker": source.marker, "tries": 0} if problem in _LASTING else {"tries": 0}
    _update(hold, source, problem=problem[:40], **lasting)
    hold.get_on(failed=F("failed") + 1)


@transaction.atomic
def _lose(hold: Hold, source: Source, *, problem: str) -> None:
    """Forget what came of a source that is gone, or not for us any more."""
    hold.lock()
    removing.forget_memory(source, at=timezone.now())
    _update(hold, source, memory=None, passages=0, revision="", read_marker="", problem=problem, tries=0)
    hold.get_on(removed=F("removed") + (1 if source.memory_id else 0), failed=F("failed") + 1)


@transaction.atomic
def _postpone(hold: Hold) -> None:
    """Leave the rest to the next sync."""
    hold.lock()
    left = _waiting(hold.job).update(settled_in=hold.job)
    hold.get_on(skipped=F("skipped") + left, postponed=F("postponed") + left)


def _has_read_enough(hold: Hold) -> bool:
    read = SyncJob.objects.values_list("processed", flat=True).get(pk=hold.job.pk)
    return read >= int(hold.connector.config["max_docs_per_sync"])


def _update(hold: Hold, source: Source, **changes: Any) -> None:
    Source.objects.filter(pk=source.pk).update(settled_in=hold.job, **changes)


def _waiting(job: SyncJob) -> QuerySet[Source]:
    return Source.objects.filter(connector=job.connector_id, seen_in=job).exclude(settled_in=job)


def _origin(connector: Connector, source: Source, said: Said) -> Origin:
    known = {
        "title": said.title,
        "url": source.url,
        "connector_id": connector.pk,
        "token": source.token,
        "table_id": source.table,
        "revision": said.revision,
        "cut": "/".join(str(connector.config["chunking"][name]) for name in CHUNKING),  # cut otherwise is another text
        **said.about,
    }
    return Origin(
        key=source.key,
        name=said.title or source.key,
        type=f"feishu_{source.kind}",
        metadata={name: value for name, value in known.items() if value},
        author=connector.created_by,
        importance=_IMPORTANCE[Source.Kind(source.kind)],
    )


def _sizes(connector: Connector) -> Sizes:
    """How a connector wants texts cut. Its numbers are of characters, whatever their names say."""
    told = connector.config["chunking"]
    return Sizes(told["target_tokens"], told["max_tokens"], told["min_tokens"], of=len)


def _read_marker(hold: Hold, source: Source) -> str:
    """What a list has to show for the source to be passed over: nothing where it may change unseen, by a remark, or
    within the same second."""
    if source.kind == Source.Kind.DOCX and hold.connector.config["include_comments"]:
        return ""
    if not source.marker.startswith("t:"):
        return source.marker
    changed_at = datetime.fromtimestamp(int(source.marker[2:]), tz=UTC)
    return source.marker if changed_at < timezone.now() - SETTLED_AFTER else ""
