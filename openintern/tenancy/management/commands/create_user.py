from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.errors import OpenInternError
from openintern.tenancy.people import create_person, find_organization
from openintern.tenancy.roles import Role


class Command(BaseCommand):
    help = "Make a person, or take an existing one, and let them into an organisation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--password", help="generated and printed once if it isn't given")

    def handle(self, *args: Any, name: str, org: str, role: str, password: str | None, **options: Any) -> None:
        try:
            user, generated = create_person(name, org=find_organization(org), role=Role(role), password=password)
        except OpenInternError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{user.username} is {role} of {org}")
        if generated:
            self.stdout.write(f"Password (shown once): {generated}")
