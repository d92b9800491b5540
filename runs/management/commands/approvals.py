from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.scope import Scope, org_scope
from openintern.text import shorten
from runs import approvals
from runs.approvals import Decision, Verdict
from runs.management.commands._asking import Screen
from runs.models import Approval


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "List the calls that wait for a person, and decide about them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=["list", "approve", "reject"], default="list")
        parser.add_argument("approval_id", nargs="*", help="which (see list)")
        parser.add_argument("--note", default="", help="why; the model reads it when a call is rejected")
        parser.add_argument(
            "--covers", choices=Approval.Covers.values, default="call", help="let later calls of the tool pass too"
        )
        parser.add_argument("--arguments", metavar="JSON", help="in place of the model's")
        add_scope_arguments(parser)

    def handle(self, *args: Any, action: str, approval_id: list[str], **options: Any) -> None:
        scope = scope_from(options)
        screen = Screen(self.stdout)
        with org_scope(scope.org):
            if action == "list":
                self._list(scope, screen)
                return
            if not approval_id:
                raise CommandError("Which? `approvals list` names those that wait.")
            decision = _decision(action, options)
            for one in approval_id:
                screen.say(f"{one} {_decide(scope, one, decision)}")

    def _list(self, scope: Scope, screen: Screen) -> None:
        waiting = list(approvals.questions(scope, status=Approval.Status.PENDING).order_by("created_at"))
        for one in waiting:
            arguments = shorten(json.dumps(one.arguments, ensure_ascii=False), 200)
            screen.say(f"{one.pk}  {one.tool} {arguments}  ({one.run_id}, {one.run.user.username}, {one.risk} risk)")
        if not waiting:
            screen.say("Nothing waits for a decision.")


def _decision(action: str, options: dict[str, Any]) -> Decision:
    arguments = None
    if options["arguments"]:
        try:
            arguments = json.loads(options["arguments"])
        except ValueError as error:
            raise CommandError(f"--arguments is not valid JSON: {error}") from error
        if not isinstance(arguments, dict):
            raise CommandError("--arguments has to be a JSON object")
    return Decision(verdict=Verdict(action), covers=options["covers"], arguments=arguments, note=options["note"])


def _decide(scope: Scope, approval_id: str, decision: Decision) -> str:
    try:
        asked = approvals.find(scope, approval_id)
        return approvals.decide(scope, asked.run_id, asked.tool_call_id, decision, at=timezone.now()).status
    except OpenInternError as error:
        raise CommandError(f"{approval_id}: {error.message}") from error
