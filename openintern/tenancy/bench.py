"""`manage.py bench tenants`: what a deploy costs with 200 organisations, and what each of them notices of the others."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from openintern.bench import Figure, Options, suite
from openintern.bench.gauges import percentile
from openintern.bench.web import web
from openintern.ids import random_text
from openintern.startup import parts
from openintern.tenancy import keys, people, schemas
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import Scope, public_scope

ORGANISATIONS = 200
REQUESTS = 600
PAGE = "/api/runs"
_LATER = "bench_later_migrations"

_COLUMN = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [({app!r}, {after!r})]
    operations = [migrations.AddField({model!r}, {column!r}, models.IntegerField(null=True))]
"""


@suite("tenants")
def measure(options: Options) -> Iterator[Figure]:
    """Yield what a deploy takes, and what a request takes alone and among many."""
    number = 10 if options.quick else ORGANISATIONS
    first = _create(1, options.scope)  # as empty as the others will be
    [alone] = _keys(options.scope, first.made)
    quiet = _requests([alone], count=REQUESTS)
    organisations = _create(number - 2, options.scope)
    yield Figure(name="an organisation with its schema", value=organisations.seconds * 1000, unit="ms", note="median")
    texts = [alone, *_keys(options.scope, organisations.made)]
    among = _requests(texts, count=REQUESTS)
    quiet += _requests([alone], count=REQUESTS)
    yield Figure(
        name=f"request p99 in an organisation among {number}", value=percentile(among, 99) * 1000, unit="ms",
        floor=percentile(quiet, 99) * 1000, floor_name="ms: only one is asked for", bar=1.5, aim=1.2,
        note=f"GET {PAGE}, each request in another organisation",
    )  # fmt: skip
    yield from _deploys(number)


class Created:
    """Organisations, and the seconds that each took."""

    def __init__(self, made: list[Organization], seconds: float) -> None:
        self.made = made
        self.seconds = seconds


def _create(count: int, scope: Scope) -> Created:
    made, taken = [], []
    with public_scope():
        for _ in range(count):
            began = time.perf_counter()
            org = people.create_organization(f"bench-{random_text(8).lower()}")
            taken.append(time.perf_counter() - began)
            people.add_member(scope.user, org=org, role=scope.role)
            made.append(org)
    return Created(made, percentile(taken, 50))


def _keys(scope: Scope, organisations: Sequence[Organization]) -> list[str]:
    with public_scope():
        return [keys.create_api_key(org=org, user=scope.user)[1] for org in organisations]


def _requests(texts: Sequence[str], *, count: int) -> list[float]:
    """Ask a new web process with one key after another; return the seconds of each but those that warm it up."""
    taken = []
    with web() as (port, _):
        line = HTTPConnection("127.0.0.1", port)
        for number in range(count + len(texts)):
            began = time.perf_counter()
            line.request("GET", PAGE, headers={"Authorization": f"Bearer {texts[number % len(texts)]}"})
            answer = line.getresponse()
            answer.read()
            taken.append(time.perf_counter() - began)
            if answer.status != 200:
                raise AssertionError(f"{PAGE} answered {answer.status}")
        line.close()
    return taken[len(texts) + 20 :]


def _deploys(number: int) -> Iterator[Figure]:
    began = time.perf_counter()
    subprocess.run(parts.command_line("migrate_schemas", "--verbosity", "0"), check=True)
    yield Figure(
        name=f"a deploy to {number} organisations, nothing to migrate", value=time.perf_counter() - began, unit="s",
        bar=3, aim=3, note="the whole command",
    )  # fmt: skip
    with _one_more_column():
        behind = len(schemas.behind())
        began = time.perf_counter()
        call_command("migrate_schemas", verbosity=0)
        taken = time.perf_counter() - began
        left = len(schemas.behind())
    yield Figure(
        name=f"a deploy to {number} organisations, one column more", value=taken, unit="s", bar=60,
        note=f"{behind} were behind",
    )  # fmt: skip
    yield Figure(name="organisations left behind by it", value=left, unit="", bar=0, aim=0, enforced=True)
    connections.close_all()


@contextmanager
def _one_more_column() -> Iterator[None]:
    """Let the newest application of the organisations have a migration more, in this process, for the block."""
    app = settings.TENANT_APPS[-1]
    config = next(config for config in apps.get_app_configs() if config.name == app)
    module, _ = MigrationLoader.migrations_module(config.label)
    migrations = importlib.import_module(module or "").__path__[0]
    [(_, after)] = MigrationLoader(None).graph.leaf_nodes(config.label)
    model = next(iter(config.get_models())).__name__
    with tempfile.TemporaryDirectory() as place:
        package = Path(place) / _LATER
        package.mkdir()
        (package / "__init__.py").write_text(f"__path__.append({migrations!r})\n", encoding="utf-8")
        text = _COLUMN.format(app=config.label, after=after, model=model, column="bench_column")
        (package / "bench_column.py").write_text(text, encoding="utf-8")
        before = settings.MIGRATION_MODULES
        sys.path.append(place)
        settings.MIGRATION_MODULES = {**before, config.label: _LATER}
        schemas.fingerprint.cache_clear()
        try:
            yield
        finally:
            settings.MIGRATION_MODULES = before
            sys.path.remove(place)
            schemas.fingerprint.cache_clear()
