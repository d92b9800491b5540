"""The process that makes vectors: one a machine is enough, more share the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from memory.embedding.filling import fill_all, organizations_with_work
from memory.index import EMBED
from openintern.listening import IsStopping, Listener, Work
from openintern.tenancy.models import Organization


class Command(BaseCommand):
    help = "Make the vectors of new memories, as they come. `up` runs it; on other machines it may run as well."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="make what is missing now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            made = fill_all(organizations_with_work())
            self.stdout.write(f"{made} vectors made")
            return
        Listener(Work(EMBED, find=organizations_with_work, do=_fill)).work()


def _fill(orgs: Sequence[Organization], is_stopping: IsStopping) -> int:
    return fill_all(orgs, is_stopping=is_stopping)
