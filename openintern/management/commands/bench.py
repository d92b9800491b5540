from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.bench import ground, report
from openintern.bench.figures import Figure
from openintern.bench.suites import Options, Suite, suites


class Command(BaseCommand):
    requires_system_checks = []
    help = "Measure, each figure beside the floor of the same minute; exit with 1 when an enforced one is missed."

    def add_arguments(self, parser: CommandParser) -> None:
        known = suites()
        parser.add_argument("suite", nargs="*", help=f"which: {', '.join(known)} (all)")
        parser.add_argument(
            "--quick", action="store_true", help="few repetitions: for the counters, which need no more"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--markdown", action="store_true", help="print the tables of docs/benchmarks.md")
        for one in known.values():
            if one.add_arguments is not None:
                one.add_arguments(parser.add_argument_group(one.name))  # type: ignore[arg-type]

    def handle(self, *args: Any, suite: list[str], **options: Any) -> None:
        known = suites()
        if unknown := set(suite) - known.keys():
            raise CommandError(f"No such suite: {', '.join(sorted(unknown))}. There are {', '.join(known)}.")
        chosen = [known[name] for name in suite or known]
        if not ground.is_allowed():
            self._on_a_server_of_its_own(chosen)
            return
        results = _measure(chosen, quick=options["quick"], arguments=options)
        self._report(results, options)
        if missed := [figure.name for figures in results.values() for figure in figures if figure.fails]:
            raise CommandError(f"Missed: {'; '.join(missed)}")

    def _on_a_server_of_its_own(self, chosen: list[Suite]) -> None:
        """Measure in a child: the settings name the database, and a production database is never written to."""
        environ = {name: value for one in chosen for name, value in one.environ.items()}
        with ground.throw_away_server() as (url, place):
            code = ground.measure_elsewhere(sys.argv[1:], url=url, place=place, environ=environ)
        if code:
            sys.exit(code)

    def _report(self, results: dict[str, list[Figure]], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(report.as_json(results))
        elif options["markdown"]:
            self.stdout.write(report.as_markdown(results))
        else:
            report.show(results, self.stdout)


def _measure(chosen: list[Suite], *, quick: bool, arguments: dict[str, Any]) -> dict[str, list[Figure]]:
    scope = ground.prepare()
    told = Options(scope=scope, quick=quick, arguments=arguments)
    return {one.name: list(one.measure(told)) for one in chosen}
