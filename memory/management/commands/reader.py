"""The process that reads documents: one a machine is enough, more share the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from memory.documents.accepting import READ
from memory.documents.working import organizations_with_work, read_all
from openintern.listening import IsStopping, Listener, Work
from openintern.tenancy.models import Organization

#: What a crash left behind is taken up when its lease is over and somebody looks.
LOOK_SECONDS = 10.0


class Command(BaseCommand):
    help = "Read documents that were sent into memory, as they come. `up` runs it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="read what waits now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(f"{read_all(organizations_with_work())} documents read")
            return
        Listener(Work(READ, find=organizations_with_work, do=_read, look_seconds=LOOK_SECONDS)).work()


def _read(orgs: Sequence[Organization], is_stopping: IsStopping) -> int:
    return read_all(orgs, is_stopping=is_stopping)
