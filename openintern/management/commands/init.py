"""Write a configuration file to start from."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern import configuration


class Command(BaseCommand):
    help = "Write agent.config.json with the defaults, to be edited."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--force", action="store_true", help="replace a file that exists")

    def handle(self, *args: Any, force: bool, **options: Any) -> None:
        path = configuration.config_path()
        text = json.dumps(configuration.template(), indent=2) + "\n"
        try:
            with path.open("w" if force else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise CommandError(f"{path} exists already; --force replaces it") from None
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}") from error
        self.stdout.write(f"Wrote {path}")
