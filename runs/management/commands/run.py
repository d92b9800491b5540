from __future__ import annotations

import json
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.scope import Scope, org_scope
from runs import checks, lifecycle
from runs.briefs import role_named, team_named
from runs.management.commands._asking import Screen, follow
from runs.models import DEFAULT_SESSION_KEY, Run
from runs.queue import worker


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Give a task to an agent. Does the work itself when no worker is alive."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("text", help="the task")
        parser.add_argument("-s", "--session", default=DEFAULT_SESSION_KEY, help="the conversation it belongs to")
        shown = parser.add_mutually_exclusive_group()
        shown.add_argument("--stream", action="store_true", help="print the events as they come")
        shown.add_argument("-w", "--wait", action="store_true", help="wait for the answer and print it")
        workers = parser.add_mutually_exclusive_group()
        workers.add_argument("--team", default="", metavar="TEAM", help="who works on it: a group's id or name")
        workers.add_argument("--role", default="", metavar="ROLE", help="the part the agent plays: a role's id or name")
        parser.add_argument("--provider", default="")
        parser.add_argument("--model", default="", help="MODEL, or PROVIDER/MODEL")
        parser.add_argument("--json", action="store_true", help="print JSON lines instead of text")
        add_scope_arguments(parser)

    def handle(self, *args: Any, text: str, session: str, stream: bool, wait: bool, **options: Any) -> None:
        """Exit with 0 if the run was accepted and, where it was waited for, completed."""
        scope = scope_from(options)
        try:
            with org_scope(scope.org):
                run = lifecycle.create_run(
                    scope,
                    text=text,
                    session_key=_session_key(session),
                    role_id=role_named(options["role"]),
                    group_id=team_named(scope, options["team"]),
                    llm_config=_choice(options),
                    at=timezone.now(),
                )
        except OpenInternError as error:
            raise CommandError(error.message) from error
        alone = not checks.workers().ok
        if not options["json"]:
            self.stdout.write(f"Run ID: {run.pk}\nSession: {run.session.key}\nStatus: {run.status}")
        if alone:
            _work_beside(self)
        if stream or wait or alone:
            self._watch(scope, run, everything=stream, as_json=options["json"])
        elif options["json"]:
            self.stdout.write(json.dumps({"run_id": run.pk, "session_key": run.session.key, "status": run.status}))
        else:
            self.stdout.write(f"Watch it: openintern tail {run.pk}")

    def _watch(self, scope: Scope, run: Run, *, everything: bool, as_json: bool) -> None:
        screen, last = Screen(self.stdout), None
        for last in follow(scope, run.pk):
            if everything and as_json:
                self.stdout.write(json.dumps(last, ensure_ascii=False))
            elif everything:
                screen.show(last)
        if last is None:
            raise CommandError("The run has no events")
        self._report(last, as_json=as_json and not everything, with_output=not everything)

    def _report(self, last: dict[str, Any], *, as_json: bool, with_output: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(last, ensure_ascii=False))
        elif with_output and last["type"] == "run.completed":
            self.stdout.write(f"Run completed\n\n{last['payload']['output']}")
        if last["type"] == "run.failed":
            error = last["payload"]["error"]
            raise CommandError(f"Run failed: {error['code']}: {error['message']}")
        if last["type"] == "run.cancelled":
            raise CommandError("Run cancelled")


def _work_beside(command: BaseCommand) -> None:
    """Work off the queue in a thread of this process: the same worker code, without a cluster."""

    def work() -> None:
        try:
            worker.work_off()
        finally:
            connections.close_all()

    command.stderr.write("No worker is alive: this command does the work itself.")
    threading.Thread(target=work, name="worker", daemon=True).start()


def _session_key(session: str) -> str:
    return session if session.startswith("s_") else f"s_{session}"


def _choice(options: dict[str, Any]) -> dict[str, Any] | None:
    provider, model = options["provider"], options["model"]
    if not provider and "/" in model:
        provider, _, model = model.partition("/")
    chosen = {"provider": provider, "model": model}
    return {name: value for name, value in chosen.items() if value} or None
