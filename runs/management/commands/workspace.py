from collections import Counter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from openintern.errors import OpenInternError
from openintern.tenancy.bootstrap import FIRST_ORGANIZATION
from openintern.tenancy.models import Project
from openintern.tenancy.people import find_organization
from runs.tools.importing import Skipped, copy_in
from runs.tools.workspace import Workspace, open_workspace

SHOWN = 20


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Show the files that agents work on, or copy files and folders in for them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files and folders to copy in")
        parser.add_argument("--org", default=FIRST_ORGANIZATION, metavar="SLUG")
        parser.add_argument(
            "--project", metavar="SLUG", help="a project's own workspace; without it, what belongs to no project"
        )

    def handle(self, *args: Any, paths: list[Path], org: str, project: str | None, **options: Any) -> None:
        with _open(org, project) as workspace:
            if paths:
                self.copy(workspace, paths)
            self.show(workspace)

    def copy(self, workspace: Workspace, paths: list[Path]) -> None:
        """Copy, and say what was left out."""
        config = settings.CONFIG
        try:
            copied = copy_in(workspace, paths, except_in=[config.server.base_dir, config.agent.work_dir])
        except FileNotFoundError as error:
            raise CommandError(f"No such file or folder: {error.filename}") from error
        self.stdout.write(f"Copied {copied.files:,} files ({filesizeformat(copied.bytes)})")
        self.tell_skipped(copied.skipped)

    def tell_skipped(self, skipped: list[Skipped]) -> None:
        """List what was left out; where that is much, the beginning of it and how much for which reason."""
        for path, reason in skipped[:SHOWN]:
            self.stdout.write(f"  skipped {path}: {reason}")
        rest = Counter(reason for _, reason in skipped[SHOWN:])
        for reason, count in rest.most_common(5):
            self.stdout.write(f"  skipped {count:,} more: {reason}")

    def show(self, workspace: Workspace) -> None:
        """Print where the workspace is, what it holds, and what is at its top."""
        usage = workspace.usage()
        self.stdout.write(f"{workspace.path.resolve()}: {usage.files:,} files, {filesizeformat(usage.bytes)}")
        for entry in workspace.entries()[:SHOWN]:
            self.stdout.write(
                f"  {entry.name}/" if entry.type == "directory" else f"  {entry.name}  {filesizeformat(entry.size)}"
            )


def _open(org_slug: str, project_slug: str | None) -> Workspace:
    try:
        org = find_organization(org_slug)
    except OpenInternError as error:
        raise CommandError(f"There is no organisation '{org_slug}'") from error
    if project_slug and not Project.objects.filter(organization=org, slug=project_slug).exists():
        raise CommandError(f"{org_slug} has no project '{project_slug}'")
    return open_workspace(org_slug=org.slug, project_slug=project_slug)
