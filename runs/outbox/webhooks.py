"""What admins do with webhooks: add, change, test, rotate, send again, remove. Page, API and admin call the same functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.outgoing import require_public
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs.models import Delivery, Webhook
from runs.outbox import emitting, signing

MOST: Final = 20
#: How long the secret before signs too after a rotation.
BOTH_SIGN: Final = timedelta(hours=24)
#: How many deliveries are sent again at once.
MOST_AGAIN: Final = 1000
FIELDS: Final[dict[str, Any]] = {"name": "", "url": "", "event_types": []}
State = Delivery.State


def webhooks(scope: Scope) -> list[Webhook]:
    """Return the organisation's webhooks by name, each with how many deliveries wait (`queued`) and were given up (`dead`)."""
    counts = {
        name: Count("deliveries", filter=Q(deliveries__state=name)) for name in (State.QUEUED.value, State.DEAD.value)
    }
    return list(Webhook.objects.annotate(**counts).order_by("name", "pk"))


def find(scope: Scope, webhook_id: str) -> Webhook:
    """Return a webhook, or raise NOT_FOUND."""
    hook = Webhook.objects.filter(pk=webhook_id).first()
    if hook is None:
        raise NotFound("Webhook")
    return hook


def deliveries(
    scope: Scope, webhook_id: str, *, state: str = "", before: int | None = None, limit: int = 50
) -> list[Delivery]:
    """Return a webhook's deliveries, the newest first. Raises NOT_FOUND, VALIDATION_ERROR for a state that isn't one."""
    rows = Delivery.objects.filter(webhook=find(scope, webhook_id))
    if state:
        if state not in State.values:
            raise Invalid("state", f"Must be one of {', '.join(State.values)}")
        rows = rows.filter(state=state)
    return list((rows.filter(pk__lt=before) if before else rows).order_by("-pk")[:limit])


@transaction.atomic
def add(scope: Scope, told: Mapping[str, Any]) -> tuple[Webhook, str]:
    """Add a webhook; return it with its secret, which is shown this once. Raises VALIDATION_ERROR, CONFLICT for too many."""
    if Webhook.objects.count() >= MOST:
        raise OpenInternError("CONFLICT", f"An organisation has at most {MOST} webhooks")
    secret = signing.new_secret()
    hook = Webhook(**{**FIELDS, **_checked(told)}, secret=secret)
    _check_whole(hook)
    hook.save(force_insert=True)
    audit.record_for(scope, "webhook.create", object_id=hook.pk, name=hook.name)
    return hook, secret


@transaction.atomic
def change(scope: Scope, webhook_id: str, told: Mapping[str, Any]) -> Webhook:
    """Change what is told of a webhook; what waits goes to its new address."""
    hook = _locked(scope, webhook_id)
    for name, value in _checked(told).items():
        setattr(hook, name, value)
    _check_whole(hook)
    hook.save(update_fields=list(FIELDS))
    audit.record_for(scope, "webhook.change", object_id=hook.pk, fields=sorted(told))
    return hook


@transaction.atomic
def rest(scope: Scope, webhook_id: str) -> Webhook:
    """Tell it nothing more until somebody wants it to; what waits is given up."""
    hook = _locked(scope, webhook_id)
    put_to_rest(hook, Webhook.Rest.BY_HAND)
    audit.record_for(scope, "webhook.rest", object_id=hook.pk)
    return hook


@transaction.atomic
def use(scope: Scope, webhook_id: str) -> Webhook:
    """Tell it what happens from now on."""
    hook = _locked(scope, webhook_id)
    hook.rests, hook.failures, hook.failing_since = Webhook.Rest.NO, 0, None
    hook.save(update_fields=["rests", "failures", "failing_since"])
    Webhook.objects.filter(pk=hook.pk).update(available_at=Now())
    audit.record_for(scope, "webhook.use", object_id=hook.pk)
    return hook


@transaction.atomic
def rotate(scope: Scope, webhook_id: str, *, at: datetime) -> str:
    """Give it a new secret, which is shown this once. For BOTH_SIGN the old one signs too."""
    hook = _locked(scope, webhook_id)
    secret = signing.new_secret()
    hook.old_secret, hook.old_secret_until, hook.secret = hook.secret, at + BOTH_SIGN, secret
    hook.save(update_fields=["secret", "old_secret", "old_secret_until"])
    audit.record_for(scope, "webhook.rotate", object_id=hook.pk)
    return secret


@transaction.atomic
def test(scope: Scope, webhook_id: str) -> Delivery:
    """Send it a message that says nothing, now."""
    hook = _locked(scope, webhook_id)
    if hook.rests:
        raise OpenInternError("CONFLICT", "It rests; have it used first")
    Webhook.objects.filter(pk=hook.pk).update(available_at=Now())
    audit.record_for(scope, "webhook.test", object_id=hook.pk)
    return emitting.enqueue(hook, emitting.TEST, {"webhook_id": hook.pk, "by": scope.user.username})


@transaction.atomic
def send_again(scope: Scope, webhook_id: str, *, delivery_id: int | None = None) -> int:
    """Queue one delivery again, or all that were given up (MOST_AGAIN at most); return how many. Raises NOT_FOUND, CONFLICT."""
    hook = _locked(scope, webhook_id)
    if hook.rests:
        raise OpenInternError("CONFLICT", "It rests; have it used first")
    rows = Delivery.objects.filter(webhook=hook)
    chosen = rows.filter(pk=delivery_id) if delivery_id is not None else rows.filter(state=State.DEAD).order_by("pk")
    ids = list(chosen.values_list("pk", flat=True)[:MOST_AGAIN])
    if delivery_id is not None and not ids:
        raise NotFound("Delivery")
    count = rows.filter(pk__in=ids, state__in=Delivery.TRANSITIONS[State.QUEUED]).update(
        state=State.QUEUED, attempts=0, available_at=Now(), error="", status=None, settled_at=None
    )
    Webhook.objects.filter(pk=hook.pk).update(available_at=Now())
    emitting.ring()
    audit.record_for(scope, "webhook.send_again", object_id=hook.pk, count=count)
    return count


@transaction.atomic
def remove(scope: Scope, webhook_id: str) -> None:
    """Remove a webhook with all that it was or would have been told."""
    hook = _locked(scope, webhook_id)
    audit.record_for(scope, "webhook.delete", object_id=hook.pk, name=hook.name)
    hook.delete()


def put_to_rest(hook: Webhook, why: Webhook.Rest) -> None:
    """Use it no more, and give up what waits, in the transaction that holds its row."""
    hook.rests = why
    hook.save(update_fields=["rests"])
    Delivery.objects.filter(webhook=hook, state=State.QUEUED).update(
        state=State.DEAD, settled_at=Now(), error="The webhook rests"
    )


def _locked(scope: Scope, webhook_id: str) -> Webhook:
    find(scope, webhook_id)
    return Webhook.objects.select_for_update().get(pk=webhook_id)


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were told. Raises VALIDATION_ERROR, also for what isn't a field."""
    for name, value in told.items():
        if name not in FIELDS:
            raise Invalid(name, "Unknown field")
        if type(value) is not type(FIELDS[name]):
            raise Invalid(name, f"Must be a {type(FIELDS[name]).__name__}")
        if isinstance(value, str) and (len(value) > 2000 or not value.isprintable() or not is_storable(value)):
            raise Invalid(name, "Too long, or not a text")
    return {name: value.strip() if isinstance(value, str) else value for name, value in told.items()}


def _check_whole(hook: Webhook) -> None:
    if not 1 <= len(hook.name) <= 100:
        raise Invalid("name", "Must be 1 to 100 characters")
    known = set(emitting.types())
    if not hook.event_types or not all(isinstance(type, str) and type in known for type in hook.event_types):
        raise Invalid("event_types", "Must be one or more of the types that there are")
    hook.event_types = sorted(set(hook.event_types))
    require_public("url", hook.url)
