"""The process that syncs connectors: one a machine is enough, more share the work."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from connectors.syncing.asked import SYNC
from connectors.syncing.working import organizations_with_work, work_off
from memory.listening import Listener, Work

#: What waits, and what a crash left behind, is taken up when its time has come and somebody looks.
LOOK_SECONDS = 5.0


class Command(BaseCommand):
    help = "Bring in what connectors are to bring, as syncs are asked for. `up` runs it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="work off what waits now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(f"{work_off(organizations_with_work())} pieces of syncs worked off")
            return
        Listener(Work(SYNC, find=organizations_with_work, do=work_off, look_seconds=LOOK_SECONDS)).work()
