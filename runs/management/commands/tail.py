from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from openintern.tenancy.arguments import add_scope_arguments, scope_from
from runs.management.commands._asking import Screen, follow, run_in_sight


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Print a run's events from its first on, live until it ends."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run_id")
        parser.add_argument("-f", "--format", choices=["pretty", "json"], default="pretty")
        add_scope_arguments(parser)

    def handle(self, *args: Any, run_id: str, **options: Any) -> None:
        scope = scope_from(options)
        run_in_sight(scope, run_id)
        screen = Screen(self.stdout)
        for event in follow(scope, run_id):
            if options["format"] == "json":
                self.stdout.write(json.dumps(event, ensure_ascii=False))
            else:
                screen.show(event)
