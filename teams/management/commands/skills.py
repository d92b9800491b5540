from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.scope import Scope, org_scope
from openintern.text import shorten
from teams import package, skills
from teams.rest.skills import SkillRow


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = "List skills; import them from a folder or a zip; put them in force, or out of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=["list", "import", "enable", "disable"], default="list")
        parser.add_argument("which", nargs="*", help="a folder or a zip with a SKILL.md; or ids")
        parser.add_argument("-f", "--format", choices=["table", "json"], default="table")
        add_scope_arguments(parser)

    def handle(self, *args: Any, action: str, which: list[str], **options: Any) -> None:
        scope = scope_from(options)
        if action != "list" and not which:
            raise CommandError("Which? `skills list` names those that there are.")
        with org_scope(scope.org):
            try:
                match action:
                    case "list":
                        self._list(as_json=options["format"] == "json")
                    case "import":
                        self._import(scope, which)
                    case _:
                        self._enable(scope, which, is_enabled=action == "enable")
            except OpenInternError as error:
                raise CommandError(error.message) from error

    def _list(self, *, as_json: bool) -> None:
        rows = skills.all_skills()
        if as_json:
            self.stdout.write(json.dumps({"skills": SkillRow(rows, many=True).data}, default=str))
            return
        for skill in rows:
            said = skill.current
            state = "in force" if skill.enabled else "not in force"
            about = shorten(said.description, 60) if said else ""
            self.stdout.write(f"{skill.pk}  {skill.name}  {state}  {skill.health_status}  {about}")
        if not rows:
            self.stdout.write("There are no skills.")

    def _import(self, scope: Scope, which: list[str]) -> None:
        for one in which:
            path = Path(one)
            if not path.exists():
                raise CommandError(f"{path}: no such file or folder")
            found = package.from_folder(path) if path.is_dir() else package.from_zip(_bytes(path))
            kept = skills.keep_imported(scope, found.name, found.content)
            self.stdout.write(f"{kept.pk}  {kept.name}  imported; `skills enable {kept.pk}` puts it in force")

    def _enable(self, scope: Scope, which: list[str], *, is_enabled: bool) -> None:
        for skill_id in which:
            skill = skills.change(scope, skill_id, is_enabled=is_enabled)
            self.stdout.write(f"{skill.pk}  {skill.name}  {'in force' if skill.enabled else 'not in force'}")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(package.MOST_ZIP_BYTES + 1)
