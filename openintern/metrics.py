"""`/metrics` in Prometheus' text format, for the operator: numbers of the whole platform, no names.

What is true of the platform is read from the database when it is asked for, so that any web process gives the same
answer; only what is measured in a process (its memory, its streams) is that process's own. Collectors are registered with
`@collector`, by the `metrics.py` of any app.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Iterator

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import autodiscover_modules
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from openintern.live import client_count
from openintern.tenancy.access import platform
from openintern.tenancy.models import Organization
from openintern.tenancy.schemas import fingerprint
from openintern.tenancy.scope import public_scope

logger = structlog.get_logger(__name__)

#: The variable that holds the scraper's token. Without one only the platform's staff can look.
TOKEN = "OPENINTERN_METRICS_TOKEN"  # noqa: S105  a name
PATH = "/metrics"

Look = Callable[[], Iterable[Metric]]
_collectors: list[Look] = []


def collector(look: Look) -> Look:
    """Register a function that reads metrics from the database; it is called in `public`."""
    _collectors.append(look)
    return look


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """Return one number."""
    return GaugeMetricFamily(f"openintern_{name}", meaning, value=value)


def gauges(name: str, meaning: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    """Return one number for each value of a label."""
    family = GaugeMetricFamily(f"openintern_{name}", meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


class MetricsMiddleware:
    """Let a scraper in by its token, before anybody takes that for an API key; everybody else goes on to the page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_scraper = request.path == PATH and _has_token(request)
        return _answer(request) if is_scraper else self.get_response(request)


@platform
def page(request: HttpRequest) -> HttpResponse:
    """The metrics, for the platform's staff."""
    return _answer(request)


@never_cache
@require_safe
def _answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    expected = os.environ.get(TOKEN, "")
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return (
        bool(expected) and kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected.encode())
    )


def _registry() -> CollectorRegistry:
    autodiscover_modules("metrics")  # here, not at start: workers have no use for them
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Platform())
    return registry


class _Platform(Collector):
    """All registered numbers. Without a database there are the process's own, and `openintern_database_up` is 0."""

    def collect(self) -> Iterator[Metric]:
        yield gauge("sse_clients", "Streams that are open in this process", client_count())
        try:
            with public_scope():
                families = [family for look in _collectors for family in look()]
        except (DatabaseError, InterfaceError):
            logger.warning("metrics can't be read from the database", exc_info=True)
            yield gauge("database_up", "Whether the database answers", 0)
            return
        yield gauge("database_up", "Whether the database answers", 1)
        yield from families


@collector
def _organizations() -> Iterator[Metric]:
    behind = Organization.objects.exclude(migrated_to=fingerprint()).count()
    active = Organization.objects.filter(is_active=True).count()
    yield gauge("organizations_active", "Organisations whose people may sign in", active)
    yield gauge("organizations_suspended", "Organisations that are suspended", Organization.objects.count() - active)
    yield gauge("organizations_behind", "Organisations whose schema waits for a migration", behind)
