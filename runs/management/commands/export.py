from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.scope import org_scope
from runs.export import all_events, written
from runs.management.commands._asking import run_in_sight


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Write a run's events to a file or to standard output: the same ones that the API gives."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run_id")
        parser.add_argument("-f", "--format", choices=["jsonl", "json"], default="jsonl")
        parser.add_argument("-o", "--output", type=Path, help="a file; it is there whole or not at all")
        parser.add_argument("--type", "--filter", default="", help="only events of this type")
        add_scope_arguments(parser)

    def handle(self, *args: Any, run_id: str, **options: Any) -> None:
        scope = scope_from(options)
        run = run_in_sight(scope, run_id)
        try:
            with org_scope(scope.org), self._opened(options["output"]) as out:
                for piece in written(all_events(run, type=options["type"]), form=options["format"]):
                    out.write(piece)
        except OpenInternError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"Can't write {options['output']}: {error.strerror}") from error

    @contextmanager
    def _opened(self, path: Path | None) -> Iterator[TextIO | Any]:
        """A file that takes its name only when it is whole; standard output where none is named."""
        if path is None:
            self.stdout.ending = ""
            yield self.stdout
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                yield file
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
