"""Check the installation and say what to do."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern import health
from openintern.health import Check, Finding


class Command(BaseCommand):
    help = "Check what matters, one line each, with what to do; exit with 1 when something is broken."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fix", action="store_true", help="repair what can be repaired without losing anything")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, fix: bool, json: bool, **options: Any) -> None:
        results = health.examine()
        if fix:
            results.update(_repair(results))
        broken = [name for name, (_, finding) in results.items() if not finding.ok]
        if json:
            self.stdout.write(_as_json(results))
        else:
            for name, (_, finding) in results.items():
                self._show(name, finding)
        if broken:
            raise CommandError(f"{len(broken)} of {len(results)} checks failed: {', '.join(broken)}")

    def _show(self, name: str, finding: Finding) -> None:
        verdict = self.style.SUCCESS("ok    ") if finding.ok else self.style.ERROR("BROKEN")
        self.stdout.write(f"{verdict}  {name:<15} {finding.summary}")
        if finding.remedy and not finding.ok:
            self.stdout.write(f"        {'':<15} -> {finding.remedy}")


def _repair(results: dict[str, tuple[Check, Finding]]) -> dict[str, tuple[Check, Finding]]:
    """Repair what is broken and has a way to be repaired; return what those checks find now."""
    broken = [check for check, finding in results.values() if not finding.ok and check.fix is not None]
    for check in broken:
        health.repair(check)
    return health.examine(broken)


def _as_json(results: dict[str, tuple[Check, Finding]]) -> str:
    checks = [
        {"name": name, "ok": finding.ok, "summary": finding.summary, "remedy": "" if finding.ok else finding.remedy}
        for name, (_, finding) in results.items()
    ]
    return json.dumps({"ok": all(check["ok"] for check in checks), "checks": checks}, ensure_ascii=False)
