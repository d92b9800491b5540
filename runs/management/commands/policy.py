from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.scope import org_scope
from runs.briefs import brief_of, role_named
from runs.management.commands._asking import Screen
from runs.rehearsal import MOST_DAYS, Change, Rehearsal, rehearse
from runs.tools.policy import decide
from runs.tools.registry import tools

_SHOWN = 100


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Show what the policy says of each tool, or replay the calls of the last days under a changed one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["show", "rehearse"])
        parser.add_argument("--role", default="", help="a role's id or name; without: an agent without a role")
        parser.add_argument("--days", type=int, default=7, help=f"how far back, {MOST_DAYS} at most")
        parser.add_argument("--allow", nargs="*", metavar="TOOL", help="the role's list, in place of what it is")
        parser.add_argument("--deny", nargs="*", metavar="TOOL", help="the role's list, in place of what it is")
        parser.add_argument("--risk", action="append", default=[], metavar="TOOL=RISK", help="low, medium or high")
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")
        add_scope_arguments(parser)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        scope = scope_from(options)
        with org_scope(scope.org):
            try:
                role_id = role_named(options["role"])
                if action == "show":
                    self._show(role_id, as_json=options["json"])
                else:
                    self._rehearse(_change(role_id, options), days=options["days"], as_json=options["json"])
            except OpenInternError as error:
                raise CommandError(error.message) from error

    def _show(self, role_id: str, *, as_json: bool) -> None:
        mandate = brief_of(role_id).mandate
        judged = [(tool, decide(tool=tool, mandate=mandate)) for tool in tools().values()]
        if as_json:
            told = [{"tool": tool.name, "verdict": one.verdict, "rule": one.rule} for tool, one in judged]
            self.stdout.write(json.dumps(told))
            return
        for tool, one in judged:
            self.stdout.write(f"{one.verdict:<6}{tool.name:<24}{mandate.risk_of(tool):<8}{one.rule}")

    def _rehearse(self, change: Change, *, days: int, as_json: bool) -> None:
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days: 1 to {MOST_DAYS}")
        found = rehearse(change, since=timezone.now() - timedelta(days=days))
        if as_json:
            rows = [{**vars(one), "at": one.at.isoformat()} for one in found.differences]
            self.stdout.write(json.dumps({"calls": found.calls, "is_cut": found.is_cut, "differences": rows}))
            return
        _print(found, Screen(self.stdout))


def _print(found: Rehearsal, screen: Screen) -> None:
    for one in found.differences[:_SHOWN]:
        screen.say(
            f"{one.at:%Y-%m-%d %H:%M} {one.run_id}#{one.seq} {one.tool}: "
            f"{one.before} ({one.rule_before}) → {one.after} ({one.rule})"
        )
    if (more := len(found.differences) - _SHOWN) > 0:
        screen.say(f"… and {more} more")
    told = ", ".join(f"{number} {kind}" for kind, number in found.counts.items())
    cut = ", the newest of more" if found.is_cut else ""
    screen.say(f"{found.calls} calls replayed{cut}; {told or 'nothing would differ'}.")


def _change(role_id: str, options: dict[str, Any]) -> Change:
    lists = {"allowed": options["allow"], "denied": options["deny"]}
    if not role_id and any(entries is not None for entries in lists.values()):
        raise CommandError("--allow and --deny change a role's lists: name it with --role")
    risks = dict(one.split("=", 1) for one in options["risk"] if "=" in one)
    if len(risks) != len(options["risk"]):
        raise CommandError("--risk wants TOOL=RISK")
    given = {name: tuple(entries) for name, entries in lists.items() if entries is not None}
    return Change(role_id=role_id, risks=risks, **given)
