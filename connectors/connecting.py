"""What people do with connectors: add, change, remove, have them synced. Page, API, admin and command call the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from connectors.feishu import config
from connectors.models import Connector, Source, SyncJob
from connectors.models.connector import FEISHU, LONGEST_NAME
from connectors.syncing import asked, removing
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.outgoing import Unreachable, check_url, judged
from openintern.secret_store import Secret
from openintern.tenancy import audit
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from openintern.text import is_storable

MOST_CONNECTORS: Final = 50
LONGEST_SECRET: Final = 500
FIELDS: Final = (
    "name", "status", "config", "base_url", "app_id", "app_secret", "encrypt_key", "verification_token",
)  # fmt: skip


def connectors(scope: Scope) -> QuerySet[Connector]:
    """Return the connectors in sight, newest first."""
    everything: Any = Connector.objects
    rows: QuerySet[Connector] = everything.for_scope(scope)
    return rows.select_related("project", "created_by").order_by("-created_at", "-pk")


def connectors_with_news(scope: Scope) -> QuerySet[Connector]:
    """Return the connectors in sight, each with its `newest` sync, if there was one."""
    newest = SyncJob.objects.order_by("connector_id", "-created_at", "-pk").distinct("connector_id")
    return connectors(scope).prefetch_related(Prefetch("jobs", queryset=newest, to_attr="newest"))


def find(scope: Scope, connector_id: str) -> Connector:
    """Return a connector in sight, or raise NOT_FOUND."""
    connector = connectors(scope).filter(pk=connector_id).first()
    if connector is None:
        raise NotFound("Connector")
    return connector


def jobs(scope: Scope, connector_id: str) -> QuerySet[SyncJob]:
    """Return a connector's syncs, newest first."""
    return SyncJob.objects.filter(connector=find(scope, connector_id)).order_by("-created_at", "-pk")


def require_project(scope: Scope) -> Project:
    """Return the project in scope. Raises VALIDATION_ERROR: what a connector brings is a project's."""
    if scope.project is None:
        raise Invalid("project_id", "Say which project: what a connector brings is shared by one")
    return scope.project


@transaction.atomic
def add(scope: Scope, told: Mapping[str, Any]) -> Connector:
    """Add a connector to the project in scope. Nothing is asked of anybody yet. Raises VALIDATION_ERROR, TOO_LARGE."""
    project = require_project(scope)
    if Connector.objects.count() >= MOST_CONNECTORS:
        raise OpenInternError("TOO_LARGE", f"An organisation has at most {MOST_CONNECTORS} connectors")
    given = _checked({"config": {}, "name": "", **told})
    connector = Connector(project=project, created_by=scope.user, **given)
    connector.save(force_insert=True)
    audit.record_for(scope, "connector.create", object_id=connector.pk, name=connector.name)
    return find(scope, connector.pk)


@transaction.atomic
def change(scope: Scope, connector_id: str, told: Mapping[str, Any]) -> Connector:
    """Change what is told of a connector. `config` takes the place of the whole of it.

    A secret goes with the address that it was given for: at another one it has to be given anew.
    """
    connector = Connector.objects.select_for_update().get(pk=find(scope, connector_id).pk)
    given = _checked(told)
    if given.get("base_url", connector.base_url) != connector.base_url and connector.app_secret:
        given.setdefault("app_secret", Secret())
    if {"base_url", "app_id"} & given.keys():
        given["bot_open_id"] = ""
    if config.shape(given.get("config", connector.config)) != config.shape(connector.config):
        Source.objects.filter(connector=connector).update(read_marker="", revision="")
    Connector.objects.filter(pk=connector.pk).update(**given, updated_at=timezone.now())
    audit.record_for(scope, "connector.change", object_id=connector.pk, fields=sorted(told))
    return find(scope, connector_id)


@transaction.atomic
def remove(scope: Scope, connector_id: str) -> None:
    """Remove a connector with all that it has brought; for 30 days memories can be brought back by hand."""
    connector = Connector.objects.select_for_update().get(pk=find(scope, connector_id).pk)
    removing.forget_all(connector, at=timezone.now())
    connector.delete()
    audit.record_for(scope, "connector.delete", object_id=connector_id)


def sync(scope: Scope, connector_id: str) -> SyncJob:
    """Ask for a sync; the one under way is returned instead of a second. Raises FEISHU_SYNC_DISABLED."""
    job = asked.ask(find(scope, connector_id), trigger=SyncJob.Trigger.MANUAL, by=scope.user)
    audit.record_for(scope, "connector.sync", object_id=connector_id, job=job.pk)
    return job


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns for what was told. Raises VALIDATION_ERROR, also for what isn't a field."""
    for name in told:
        if name not in FIELDS:
            raise Invalid(name[:60], "Unknown field")
    return {name: _CHECKS[name](name, value) for name, value in told.items()}


def _text(name: str, value: Any, *, most: int = LONGEST_NAME) -> str:
    if not isinstance(value, str) or not is_storable(value) or len(value) > most:
        raise Invalid(name, f"Must be a text of at most {most} characters")
    return value.strip()


def _name(name: str, value: Any) -> str:
    if not (text := _text(name, value)):
        raise Invalid(name, "Must not be empty")
    return text


def _status(name: str, value: Any) -> str:
    if value not in Connector.Status.values:
        raise Invalid(name, f"Must be one of {', '.join(Connector.Status.values)}")
    return str(value)


def _app_id(name: str, value: Any) -> str:
    text = _text(name, value, most=100)
    if not text.isascii() or not text.isprintable():
        raise Invalid(name, "Must be printable ASCII characters")
    return text


def _address(name: str, value: Any) -> str:
    """Judge an address when it is saved, also by what its name stands for now; it is judged again at each connection."""
    text = _text(name, value, most=300).rstrip("/")
    if text == FEISHU:  # as by default, also where no name can be looked up just now
        return text
    try:
        parts = urlsplit(check_url(text))
        judged(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    except Unreachable as error:
        raise Invalid(name, str(error)) from error
    if parts.path or parts.query or parts.fragment:
        raise Invalid(name, "Must be an address without a path, such as https://open.feishu.cn")
    return text


def _secret(name: str, value: Any) -> Secret:
    if not isinstance(value, str) or len(value) > LONGEST_SECRET or not value.isascii() or not value.isprintable():
        raise Invalid(name, f"Must be at most {LONGEST_SECRET} printable ASCII characters")
    return Secret.seal(value)


_CHECKS: Final = {
    "name": _name,
    "status": _status,
    "config": lambda _name, value: config.checked(value),
    "base_url": _address,
    "app_id": _app_id,
    "app_secret": _secret,
    "encrypt_key": _secret,
    "verification_token": _secret,
}
