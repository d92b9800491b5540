"""The command line: a help that names our own commands first, and no traceback where the database is away."""

from __future__ import annotations

import textwrap

from django.core.management import ManagementUtility, get_commands, load_command_class
from django.db import OperationalError

OURS = ("openintern", "runs", "memory", "teams", "connectors")

#: Who wants which; what isn't named here stands with the operator's.
AUDIENCES = {
    "Begin": ("up", "init", "doctor"),
    "Work": ("run", "tail", "approvals", "export", "workspace", "ingest", "consolidate", "skills", "teams", "feishu", "mcp"),
    "Organisations and people": ("create_org", "create_user", "create_api_key", "policy"),
}  # fmt: skip
WIDTH = 100


#: How the driver begins to say that it reached no server, or none that let it in.
NOT_CONNECTED = ("connection failed", "connection is bad", "connection timeout")


class NoDatabase(Exception):
    """A command met no database; its message says what to do."""


class CommandLine(ManagementUtility):
    """Django's, with a help that a newcomer can read."""

    def execute(self) -> None:
        """Run the command. Raises NoDatabase where none answers."""
        try:
            super().execute()
        except OperationalError as error:
            if not str(error).startswith(NOT_CONNECTED):
                raise
            from openintern.checks import database  # noqa: PLC0415  it needs Django set up

            finding = database()
            raise NoDatabase(f"The database: {finding.summary}. {finding.remedy}") from error

    def main_help_text(self, commands_only: bool = False) -> str:
        if commands_only:
            return super().main_help_text(commands_only=True)
        apps = get_commands()
        ours = {name: app for name, app in apps.items() if str(app).split(".")[0] in OURS}
        named = {name for names in AUDIENCES.values() for name in names}
        groups = {**AUDIENCES, "Operate": tuple(sorted(ours.keys() - named))}
        parts = [f"Usage: {self.prog_name} COMMAND [OPTIONS]; `{self.prog_name} help COMMAND` says what it takes."]
        parts += [
            _section(title, {name: ours[name] for name in names if name in ours}) for title, names in groups.items()
        ]
        parts.append(_wrapped("Of Django and its libraries: " + ", ".join(sorted(apps.keys() - ours.keys())) + "."))
        return "\n\n".join(parts)


def _section(title: str, commands: dict[str, object]) -> str:
    return "\n".join([title, *(_line(name, app) for name, app in commands.items())])


def _line(name: str, app: object) -> str:
    command = load_command_class(app, name) if isinstance(app, str) else app
    told = str(getattr(command, "help", ""))
    return textwrap.fill(told, WIDTH, initial_indent=f"  {name:<18}", subsequent_indent=" " * 20)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
