"""The process that answers messages, syncs connectors and has PDFs read: one a machine is enough, more share the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from connectors.bot import talking as messages
from connectors.bot.cards import keeping as cards
from connectors.mineru import working as pdfs
from connectors.syncing import working as syncs
from connectors.syncing.asked import SYNC
from openintern.listening import IsStopping, Listener, Work
from openintern.tenancy.models import Organization

#: What waits, and what a crash left behind, is taken up when its time has come and somebody looks.
LOOK_SECONDS = 3.0
_PARTS = (cards, messages, syncs, pdfs)  # a question that has a card isn't told in words, too


class Command(BaseCommand):
    help = "Bring in what connectors are to bring, as syncs are asked for. `up` runs it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="work off what waits now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(f"{_work_off(_organizations_with_work())} pieces of work done")
            return
        Listener(Work(SYNC, find=_organizations_with_work, do=_work_off, look_seconds=LOOK_SECONDS)).work()


def _organizations_with_work() -> list[Organization]:
    return list({org.pk: org for part in _PARTS for org in part.organizations_with_work()}.values())


def _work_off(orgs: Sequence[Organization], is_stopping: IsStopping = lambda: False) -> int:
    """Work until nothing waits, in turns: of each organisation and part a piece. Return how many pieces that were.

    Who has work is asked anew each round: a sync of thousands of documents keeps nobody waiting for longer than a slice.
    """
    done, waiting = 0, list(orgs)
    while waiting and not is_stopping():
        pieces = sum(part.work_round(waiting, is_stopping) for part in _PARTS)
        done += pieces
        waiting = _organizations_with_work() if pieces else []
    return done
