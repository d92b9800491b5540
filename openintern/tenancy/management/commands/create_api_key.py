from datetime import datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from openintern.errors import OpenInternError
from openintern.tenancy.keys import create_api_key
from openintern.tenancy.people import find_member, find_organization
from openintern.tenancy.policy import KEY_SCOPES


class Command(BaseCommand):
    help = "Make an API key and print it on standard output, once. Scopes: " + "; ".join(
        f"{k}: {v}" for k, v in KEY_SCOPES.items()
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", required=True, metavar="SLUG")
        parser.add_argument("--user", required=True, metavar="NAME")
        parser.add_argument("--scopes", default="read,write", help="comma-separated (default: read,write)")
        parser.add_argument("--expires", type=_moment, help="a date or a time, ISO 8601")
        parser.add_argument("--name", default="", help="what it is for")

    def handle(
        self, *args: Any, org: str, user: str, scopes: str, expires: datetime | None, name: str, **options: Any
    ) -> None:
        try:
            organization = find_organization(org)
            member = find_member(organization, user)
            chosen = [scope.strip() for scope in scopes.split(",") if scope.strip()]
            _, text = create_api_key(org=organization, user=member.user, scopes=chosen, name=name, expires_at=expires)
        except OpenInternError as error:
            raise CommandError(error.message) from error
        self.stdout.write(text)


def _moment(text: str) -> datetime:
    moment = parse_datetime(text) if len(text) > 10 else None
    if moment is None and (day := parse_date(text)):
        moment = datetime.combine(day, time.min)
    if moment is None:
        raise ValueError(f"not a date or time: {text}")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
