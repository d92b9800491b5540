"""Sending what is in the outboxes: claim a webhook, send it what is due, settle. Any number of couriers may do this.

The webhook's row is the lease: whoever moves its `available_at` ahead serves it alone. Several are served at once, each by
a thread that knows no database; a slow receiver holds up nobody but itself. A courier that is killed has its lease run out,
and what it had not settled is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.secret_store import Unreadable
from openintern.tenancy import audit
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import organizations_where
from openintern.tenancy.scope import org_scope
from runs.models import Delivery, Webhook
from runs.outbox import letters as writing
from runs.outbox.letters import Letter, Outcome
from runs.outbox.webhooks import put_to_rest

logger = structlog.get_logger(__name__)

#: How many webhooks are served at once, and how many messages one gets in one go.
AT_ONCE: Final = 8
IN_ONE_GO: Final = 20
LEASE_SECONDS: Final = 90
#: After so long without a success a webhook is used no more.
GIVEN_UP_AFTER: Final = timedelta(days=3)
State = Delivery.State


@dataclass(frozen=True)
class Visit:
    """What one webhook is sent in one go."""

    org: Organization
    webhook_id: str
    url: str
    keys: list[str]
    letters: list[Letter]


def deliver_all(orgs: Sequence[Organization], *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Send until nothing is due; return how many messages were delivered. Organisations take turns, a webhook each."""
    delivered, waiting = 0, list(orgs)
    under_way: dict[Future[list[Outcome]], Visit] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="courier") as threads:
        while not is_stopping() and (waiting or under_way):
            waiting = _set_out(waiting, under_way, threads)
            finished, _ = wait(under_way, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                visit = under_way.pop(future)
                delivered += _settle(visit, future.result())
                if visit.org not in waiting:
                    waiting.append(visit.org)
        for future, visit in under_way.items():
            delivered += _settle(visit, future.result())
    return delivered


def organizations_with_work() -> list[Organization]:
    """Return the organisations with something to send."""
    return organizations_where(
        table="runs_delivery", condition="state = 'queued' AND available_at <= clock_timestamp()", values={}
    )


def _set_out(
    waiting: list[Organization], under_way: dict[Future[list[Outcome]], Visit], threads: ThreadPoolExecutor
) -> list[Organization]:
    """Start visits while there is room; return the organisations that may have more."""
    while waiting and len(under_way) < AT_ONCE:
        org = waiting.pop(0)
        visit = _claim(org)
        if visit is not None:
            under_way[threads.submit(writing.send, visit.url, visit.letters, keys=visit.keys)] = visit
            waiting.append(org)
    return waiting


def _claim(org: Organization) -> Visit | None:
    """Take one webhook of an organisation to be served; None if nothing is due there."""
    try:
        with org_scope(org), transaction.atomic():
            return _taken(org)
    except OpenInternError as error:  # it is being upgraded; the next look finds it again
        logger.warning("webhooks have to wait: %s", error.message, org=org.slug)
    except Exception:  # the outermost edge: one organisation's trouble is not the others'
        logger.exception("webhooks can't be served", org=org.slug)
    return None


def _taken(org: Organization) -> Visit | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE_SECONDS])
        row = cursor.fetchone()
    if row is None:
        return None
    hook = Webhook.objects.get(pk=row[0])
    due = Delivery.objects.filter(webhook=hook, state=State.QUEUED, available_at__lte=Now()).order_by("pk")
    written = writing.letters(org.slug, list(due[:IN_ONE_GO]))
    gone = [pk for pk, letter in written.items() if letter is None]
    Delivery.objects.filter(pk__in=gone, state=State.QUEUED).update(
        state=State.DEAD, settled_at=Now(), error="Its run is gone"
    )
    try:
        keys = hook.secrets(at=timezone.now())
    except Unreadable as error:
        logger.error("a webhook's secret can't be read: %s", error, webhook=hook.pk)
        return None
    return Visit(org, hook.pk, hook.url, keys, [letter for letter in written.values() if letter])


def _settle(visit: Visit, outcomes: list[Outcome]) -> int:
    """Write down what came of a visit; return how many messages were delivered."""
    with org_scope(visit.org), transaction.atomic():
        hook = Webhook.objects.select_for_update().filter(pk=visit.webhook_id).first()
        if hook is None:  # removed meanwhile, and its deliveries with it
            return 0
        for outcome in outcomes:
            _note(outcome)
        _judge(hook, outcomes, org=visit.org, at=timezone.now())
    return sum(outcome.is_delivered for outcome in outcomes)


def _note(outcome: Outcome) -> None:
    """Settle one delivery, or say when it is tried again. One that somebody settled meanwhile stays as it is."""
    rows = Delivery.objects.filter(pk=outcome.delivery_id, state=State.QUEUED).select_for_update()
    delivery = rows.first()
    if delivery is None:
        return
    delivery.attempts += 1
    delivery.status, delivery.error = outcome.status, outcome.error
    pause = None if outcome.is_delivered else writing.pause_after(delivery.attempts)
    if pause is None:
        delivery.state = State.DONE if outcome.is_delivered else State.DEAD
        delivery.settled_at = timezone.now()
    else:
        delivery.available_at = timezone.now() + timedelta(seconds=pause)
    delivery.save(update_fields=["attempts", "status", "error", "state", "settled_at", "available_at"])


def _judge(hook: Webhook, outcomes: list[Outcome], *, org: Organization, at: datetime) -> None:
    """Let go of a webhook: at once where it is well, after a pause where it is down, for good after days."""
    pause = 0.0
    if any(outcome.is_delivered for outcome in outcomes):
        hook.failures, hook.failing_since = 0, None
    if outcomes and not outcomes[-1].is_delivered:
        hook.failing_since = hook.failing_since or at
    if outcomes and outcomes[-1].is_down:
        hook.failures += 1
        pause = writing.pause_of_webhook(hook.failures)
    hook.served_at, hook.available_at = at, at + timedelta(seconds=pause)
    hook.save(update_fields=["failures", "failing_since", "served_at", "available_at"])
    is_gone = any(outcome.is_gone for outcome in outcomes)
    if is_gone or (hook.failing_since is not None and hook.failing_since < at - GIVEN_UP_AFTER):
        why = Webhook.Rest.GONE if is_gone else Webhook.Rest.FAILING
        put_to_rest(hook, why)
        audit.record("webhook.rest", org=org, via="courier", object_id=hook.pk, details={"reason": why.value})


_CLAIM = """
    UPDATE runs_webhook SET available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT id FROM runs_webhook hook
        WHERE rests = '' AND available_at <= clock_timestamp() AND EXISTS (
            SELECT FROM runs_delivery
            WHERE webhook_id = hook.id AND state = 'queued' AND available_at <= clock_timestamp())
        ORDER BY served_at NULLS FIRST, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""
