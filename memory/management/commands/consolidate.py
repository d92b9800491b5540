"""A pass over what is remembered: what says the same, what is stale, what was superseded long ago."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from memory.consolidation import passes
from memory.models import ConsolidationPolicy, State
from memory.owners import Owner
from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization, Project, User
from openintern.tenancy.people import find_organization
from openintern.tenancy.scope import org_scope


class Command(BaseCommand):
    help = "Propose what could be merged or forgotten, as change sets that people review on /memory/changes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", default="", help="only this organisation")
        parser.add_argument("--dry-run", action="store_true", help="say what would be proposed, and change nothing")

    def handle(self, *args: Any, org: str, dry_run: bool, **options: Any) -> None:
        try:
            active = Organization.objects.filter(is_active=True).order_by("slug")
            for each in [find_organization(org)] if org else list(active):
                with org_scope(each):
                    self._look(each) if dry_run else self._propose(each)
        except OpenInternError as error:
            raise CommandError(error.message) from error

    def _look(self, org: Organization) -> None:
        policy, at = ConsolidationPolicy.current(), timezone.now()
        for owner in passes.owners():
            for proposal in passes.look(owner, policy, at=at):
                ids = ", ".join(str(member) for member in proposal.members)
                self.stdout.write(f"{org.slug} {_name(owner)}: {proposal.kind} {ids}")

    def _propose(self, org: Organization) -> None:
        for change_set in passes.propose_for_everybody(org, at=timezone.now()):
            done = "made by the policy" if change_set.state == State.ACCEPTED else "to be reviewed"
            number = change_set.changes.count()
            self.stdout.write(f"{org.slug} {_name(change_set.owner)}: {number} changes {done} ({change_set.pk})")


def _name(owner: Owner) -> str:
    """Whose it is, in a word; what a person remembers privately isn't shown, whoever runs the command."""
    if owner.project_id is not None:
        return f"project {Project.objects.get(pk=owner.project_id).slug}"
    return f"person {User.objects.get(pk=owner.user_id or 0).username}"
