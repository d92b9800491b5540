"""The first phase: go through the lists, page by page. Each page is one transaction, and where to go on is in it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from connectors.feishu import listing
from connectors.feishu.answers import Denied, Refusal
from connectors.feishu.asking import Asker
from connectors.feishu.listing import Deeper, Found, Page
from connectors.models import Listing, Source, SyncJob
from connectors.syncing.leases import Hold

#: Sources of a connector, lists of a sync, pages of a list.
MOST_SOURCES: Final = 20_000
MOST_LISTINGS: Final = 20_000
MOST_PAGES: Final = 1_000
_ROOTS: Final = {
    "file_tokens": Listing.Kind.FILE,
    "wiki_node_tokens": Listing.Kind.NODE,
    "wiki_space_ids": Listing.Kind.SPACE,
    "folder_tokens": Listing.Kind.FOLDER,
    "bitable_app_tokens": Listing.Kind.BITABLE,
}
#: After any other problem a list may hold more than was seen: nothing is taken for gone then.
COMPLETE: Final = ("", "GONE", "FORBIDDEN")


@transaction.atomic
def begin(hold: Hold) -> None:
    """Write down what the connector names. May be repeated."""
    hold.lock()
    config = hold.connector.config
    _go_deeper(hold.job, [Deeper(kind, token) for name, kind in _ROOTS.items() for token in config.get(name, [])])


def discover(hold: Hold, asker: Asker) -> bool:
    """Go through one page of one list; return whether there was one. Raises Busy, Denied, Lost."""
    current = Listing.objects.filter(job=hold.job, is_done=False).order_by("pk").first()
    if current is None:
        return False
    try:
        page = listing.page_of(asker, current)
        _take(hold, current, page)
    except Refusal as refusal:
        _leave(hold, current, problem=refusal.problem)
    return True


@transaction.atomic
def _take(hold: Hold, current: Listing, page: Page) -> None:
    hold.lock()
    following = _following(current, page.next_token)
    _see(hold.job, page.found)
    _go_deeper(hold.job, page.deeper)
    Listing.objects.filter(pk=current.pk).update(**following)
    seen = Source.objects.filter(connector=hold.connector, seen_in=hold.job).count()
    if seen > MOST_SOURCES or Listing.objects.filter(job=hold.job).count() > MOST_LISTINGS:
        raise Denied("TOO_MANY_SOURCES", f"A connector brings at most {MOST_SOURCES:,} sources; name less in it")
    odd = page.odd + (1 if following.get("problem") else 0)
    hold.get_on(discovered=seen, failed=F("failed") + odd)


@transaction.atomic
def _leave(hold: Hold, current: Listing, *, problem: str) -> None:
    """Go on without a list that can't be had. What was in it is gone with it, unless more of it may be there."""
    hold.lock()
    Listing.objects.filter(pk=current.pk).update(is_done=True, problem=problem)
    hold.get_on(failed=F("failed") + 1)


def _following(current: Listing, token: str) -> dict[str, Any]:
    """Where the list goes on; nowhere where it has been there already, or never ends."""
    if not token:
        return {"is_done": True}
    mark = sha256(token.encode("utf-8", "replace")).hexdigest()[:12]
    if mark in current.seen_tokens:
        return {"is_done": True, "problem": "PAGES_REPEAT"}
    if len(current.seen_tokens) >= MOST_PAGES:
        return {"is_done": True, "problem": "TOO_MANY_PAGES"}
    return {"page_token": token, "seen_tokens": [*current.seen_tokens, mark]}


def _see(job: SyncJob, found: list[Found]) -> None:
    """Note that these are there, and as what."""
    rows = {
        each.key: Source(
            connector=job.connector,
            key=each.key,
            kind=each.kind,
            token=each.token,
            table=each.table,
            title=each.title,
            url=each.url,
            marker=each.marker,
            seen_in=job,
        )
        for each in found
    }
    Source.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["connector", "key"],
        update_fields=["title", "url", "marker", "seen_in"],
    )


def _go_deeper(job: SyncJob, deeper: list[Deeper]) -> None:
    """Have these lists gone through, too: those that weren't yet. So what leads in a circle is gone through once."""
    Listing.objects.bulk_create(
        [
            Listing(
                job=job, kind=each.kind, token=each.token, space=each.space, title=each.title[:300], url=each.url[:500]
            )
            for each in deeper
        ],
        ignore_conflicts=True,
    )
