from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.errors import OpenInternError
from openintern.tenancy.people import create_organization


class Command(BaseCommand):
    help = "Make an organisation with its schema."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="its public name (org_id)")
        parser.add_argument("--name", default="", help="its name for people")

    def handle(self, *args: Any, slug: str, name: str, **options: Any) -> None:
        try:
            org = create_organization(slug, name=name)
        except OpenInternError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Organisation {org.slug} is ready")
