"""Connectors from a terminal: list them, and have one synced while one looks on."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from connectors import connecting
from connectors.models import SyncJob
from connectors.syncing import working
from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope, org_scope

_PAUSE_SECONDS = 0.5


class Command(BaseCommand):
    help = "List an organisation's Feishu connectors; `--sync ID` syncs one and shows how far it is."

    def add_arguments(self, parser: CommandParser) -> None:
        add_scope_arguments(parser)
        parser.add_argument("--sync", metavar="ID", help="the connector to sync")

    def handle(self, *args: Any, sync: str | None, **options: Any) -> None:
        scope = scope_from(options)
        if sync and not allows(scope.role, "connector", "sync"):
            raise CommandError(f"{scope.user.username} may only look")
        try:
            with org_scope(scope.org):
                self._sync(scope, sync) if sync else self._list(scope)
        except OpenInternError as error:
            raise CommandError(error.message) from error

    def _list(self, scope: Scope) -> None:
        for each in connecting.connectors(scope):
            synced = each.last_success_at.isoformat(timespec="seconds") if each.last_success_at else "never"
            line = f"{each.pk}\t{each.project.slug}\t{each.status}\t{synced}\t{each.name}"
            self.stdout.write(f"{line}\t{each.last_error}" if each.last_error else line)

    def _sync(self, scope: Scope, connector_id: str) -> None:
        """Work on it here, unless a connector process is at it already."""
        job = connecting.sync(scope, connector_id)
        told = ""
        while not job.is_final:
            if working.work_next(job_id=job.pk) is None:
                time.sleep(_PAUSE_SECONDS)
            job = SyncJob.objects.get(pk=job.pk)
            line = f"{timezone.now():%H:%M:%S} {job.phase}: {job.settled} of {job.discovered} {job.note}".rstrip()
            if line[9:] != told:
                self.stdout.write(line)
                told = line[9:]
        if job.status == SyncJob.Status.FAILED:
            raise CommandError(f"{job.error_code}: {job.error_message}")
        self.stdout.write(", ".join(f"{name} {count}" for name, count in job.stats.items()))
