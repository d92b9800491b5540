from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope, org_scope
from teams.blueprints import document
from teams.blueprints.document import Blueprint
from teams.blueprints.exporting import export
from teams.blueprints.importing import install
from teams.blueprints.planning import CHOICES, plan
from teams.blueprints.templates import template, templates


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "Roles and groups as one document: export, import; list the teams that are shipped, install one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["export", "import", "templates", "install"])
        parser.add_argument(
            "which", nargs="*", help="ids to export; a file to import (- for standard input); a template"
        )
        parser.add_argument("-f", "--format", choices=["yaml", "json"], default="yaml", help="of an export")
        parser.add_argument("--existing", choices=CHOICES, default="skip", help="what becomes of names that are taken")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        add_scope_arguments(parser)

    def handle(self, *args: Any, action: str, which: list[str], **options: Any) -> None:
        if action == "templates":
            self._list()
            return
        scope = scope_from(options)
        if action != "export" and len(which) != 1:
            raise CommandError("Which? One file, or one of the names that `teams templates` lists.")
        with org_scope(scope.org):
            try:
                match action:
                    case "export":
                        chosen = {"role_ids": which, "group_ids": which} if which else {}
                        self.stdout.write(document.written(export(scope, **chosen), options["format"]), ending="")
                    case "import":
                        self._install(scope, document.read(_text(which[0])), options)
                    case _:
                        self._install(scope, template(which[0]), options)
            except OpenInternError as error:
                field = (error.details or {}).get("field")
                raise CommandError(f"{field}: {error.message}" if field else error.message) from error

    def _list(self) -> None:
        for name, one in templates().items():
            self.stdout.write(f"{name}  {one.title}  {one.description}")

    def _install(self, scope: Scope, blueprint: Blueprint, options: dict[str, Any]) -> None:
        if not allows(scope.role, "group", "create"):
            raise OpenInternError("FORBIDDEN", "Only an admin of the organisation may do that")
        do = plan if options["dry_run"] else install
        for step in do(scope, blueprint, existing=options["existing"]):
            changed = f" ({', '.join(step.fields)})" if step.fields else ""
            note = f"  {step.note}" if step.note else ""
            self.stdout.write(f"{step.action}  {step.kind}  {step.becomes}{changed}  {step.object_id}{note}")
        if options["dry_run"]:
            self.stdout.write("Nothing was done.")


def _text(which: str) -> str:
    """What a file says, not more of it than a document may have."""
    try:
        if which == "-":
            return sys.stdin.read(document.MOST_CHARACTERS + 1)
        with Path(which).open(encoding="utf-8") as opened:
            return opened.read(document.MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{which}: can't be read as a text ({error})") from error
