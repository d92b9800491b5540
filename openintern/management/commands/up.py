"""Start everything with one command, and keep it running.

This command runs before Django is set up (see `openintern.__main__`): the settings need the address of
the database, and the database is the first thing it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from openintern import configuration, instance
from openintern.configuration import Configuration
from openintern.postgres import PostgresError, running_url
from openintern.startup import announcement, parts
from openintern.startup.entrance import Entrance
from openintern.startup.readiness import NotReady, reachable_host, require_free, wait_until_ready
from openintern.supervision import GivenUp, Supervisor, end, stopped_by_signals

WELCOME_FILE = Path(parts.__file__).with_name("welcome.md")
WELCOME_TASK = "Summarise welcome.md"
WELCOME_WITHIN = 90.0  # seconds; a model that doesn't answer mustn't keep anybody from signing in


class Command(BaseCommand):
    help = "Start the database (unless DATABASE_URL names one), the web server and the workers, until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--port", type=_between(1, 65535), help="port of the web server (PORT, 3000)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
        parser.add_argument("--data-dir", type=Path, help="what is kept between two starts (DATA_DIR, ./data)")
        parser.add_argument("--workers", type=_between(1, 1000), help="worker processes (OPENINTERN_WORKERS, 2)")
        parser.add_argument("--json", action="store_true", help="print one JSON line when ready, for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.configured:
            raise CommandError("`up` is a program of its own: start it as `openintern up` or `manage.py up`")
        self._as_json: bool = options["json"]
        try:
            _settle_environment(options)
            config = configuration.load()
            os.environ[configuration.TOLD] = "yes"
            with stopped_by_signals(), instance.hold(config.server.base_dir), Supervisor(tell=self._tell) as supervisor:
                self._start(supervisor, config, host=options["host"])
                supervisor.watch()
        except KeyboardInterrupt:
            self._tell("OpenIntern has stopped.")
        except (instance.InUse, PostgresError, GivenUp, NotReady) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(f"The database can't be used: {str(error).strip()}") from error
        except PermissionError as error:
            raise CommandError(
                f"{error.filename}: {error.strerror}. Start as its owner, or choose another --data-dir."
            ) from error

    def _start(self, supervisor: Supervisor, config: Configuration, *, host: str) -> None:
        port, base_dir = config.server.port, config.server.base_dir
        require_free(host, port)
        os.environ["DATABASE_URL"] = config.server.database_url or self._start_database(supervisor, base_dir)
        django.setup()
        entrance = self._prepare_tables(base_dir)
        supervisor.begin(parts.web(host=host, port=port))
        supervisor.begin(parts.workers())
        supervisor.begin(parts.embedder())
        supervisor.begin(parts.reader())
        supervisor.begin(parts.courier())
        supervisor.begin(parts.connector())
        wait_until_ready(host, port, known_as=_own_name(config), meanwhile=supervisor.tend)
        if self._as_json:
            self._answer_script(entrance, url=_url(host, port))
        else:
            self._greet(supervisor, entrance, config, url=_url(host, port))

    def _start_database(self, supervisor: Supervisor, base_dir: Path) -> str:
        supervisor.begin(parts.database(base_dir))
        url = running_url(base_dir)
        if url is None:
            raise PostgresError("PostgreSQL ended right after its start")
        self._tell("The database is running.")
        return url

    def _prepare_tables(self, base_dir: Path) -> Entrance:
        """Bring every schema up to date and make what a first start needs."""
        from openintern.startup.first_steps import ensure_entrance  # noqa: PLC0415  its models need Django set up

        call_command("migrate_schemas", verbosity=0)
        entrance = ensure_entrance(base_dir)
        connections.close_all()  # we look after processes from now on
        self._tell("The tables are up to date.")
        return entrance

    def _answer_script(self, entrance: Entrance, *, url: str) -> None:
        self.stdout.write(announcement.for_scripts(entrance, url=url, database_url=os.environ["DATABASE_URL"]))
        self.stdout.flush()

    def _greet(self, supervisor: Supervisor, entrance: Entrance, config: Configuration, *, url: str) -> None:
        announcement.speak_the_terminals_language()
        self.stdout.write(announcement.banner(entrance, config, url=url))
        if entrance.is_first_start:
            self._welcome(supervisor, org=entrance.org, user=entrance.user)
        self._tell(f"{url} (Ctrl-C stops everything)")

    def _welcome(self, supervisor: Supervisor, *, org: str, user: str) -> None:
        """Show the system at work: a first run through the real queue, its events as they come."""
        self._tell("A first task, through the queue, as any other:\n")
        _carry_out(supervisor, "workspace", str(WELCOME_FILE), "--org", org, shown=False)
        _carry_out(supervisor, "run", WELCOME_TASK, "--stream", "--org", org, "--user", user, shown=True)

    def _tell(self, text: str) -> None:
        """Say how far we are; in `--json` stdout is for the one line."""
        out = self.stderr if self._as_json else self.stdout
        out.write(text, style_func=str)
        out.flush()


def _between(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers. What the command line says wrongly is refused, not replaced by a default."""

    def whole_number(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    return whole_number


def _settle_environment(options: dict[str, Any]) -> None:
    """Put the command line above the environment, for ourselves and for every process we start."""
    given = {"PORT": options["port"], "DATA_DIR": options["data_dir"], "OPENINTERN_WORKERS": options["workers"]}
    for variable, value in given.items():
        if value is not None:
            os.environ[variable] = str(value)
    # children may be started elsewhere: what is relative for us must mean the same for them
    if os.environ.get("DATA_DIR"):
        os.environ["DATA_DIR"] = str(Path(os.environ["DATA_DIR"]).expanduser().absolute())


def _own_name(config: Configuration) -> str:
    """Return a name under which our own web server answers us."""
    name = config.server.allowed_hosts[0] if config.server.allowed_hosts else "localhost"
    return "localhost" if name == "*" else name.lstrip(".")


def _url(host: str, port: int) -> str:
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _carry_out(supervisor: Supervisor, *arguments: str, shown: bool) -> None:
    """Run one of our commands, looking after the services meanwhile; its failure is its own to tell."""
    process = parts.start(parts.command_line(*arguments), stdout=None if shown else subprocess.DEVNULL)
    deadline = time.monotonic() + WELCOME_WITHIN
    try:
        while process.poll() is None and time.monotonic() < deadline:
            supervisor.tend()
            time.sleep(0.1)
    finally:
        end(process, within=2)
    sys.stdout.flush()
