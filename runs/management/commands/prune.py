from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.people import find_organization
from runs import retention


class Command(BaseCommand):
    help = "Remove runs that ended longer ago than their organisation keeps them. Done daily by the workers, too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", default="", help="only this organisation")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--export", type=Path, metavar="DIR", help="first write each run to DIR/<organisation>/<run>.jsonl"
        )

    def handle(self, *args: Any, org: str, dry_run: bool, export: Path | None, **options: Any) -> None:
        at = timezone.now()
        try:
            for each in [find_organization(org)] if org else retention.with_retention():
                if each.retention_days is None:
                    self.stdout.write(f"{each.slug}: keeps its runs for ever")
                    continue
                gone = retention.outdated(each, at=at) if dry_run else retention.prune(each, at=at, export_to=export)
                verb = "would be removed" if dry_run else "removed"
                self.stdout.write(
                    f"{each.slug}: {gone.runs} runs with {gone.events} events {verb} (older than {each.retention_days} days)"
                )
        except OpenInternError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"Can't write {error.filename}: {error.strerror}") from error
