"""The process that sends webhooks: one is enough, more share the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from openintern.listening import IsStopping, Listener, Work
from openintern.tenancy.models import Organization
from runs.outbox.courier import deliver_all, organizations_with_work
from runs.outbox.emitting import CHANNEL

#: What failed is due again without anybody ringing.
LOOK_SECONDS = 5.0


class Command(BaseCommand):
    help = "Send webhooks, as things happen. `up` runs it; on other machines it may run as well."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="send what is due now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(f"{deliver_all(organizations_with_work())} messages delivered")
            return
        Listener(Work(CHANNEL, find=organizations_with_work, do=_deliver, look_seconds=LOOK_SECONDS)).work()


def _deliver(orgs: Sequence[Organization], is_stopping: IsStopping) -> int:
    return deliver_all(orgs, is_stopping=is_stopping)
