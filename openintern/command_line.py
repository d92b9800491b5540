"""What `openintern help` says: our own commands with what they do, then those that came along."""

from __future__ import annotations

import textwrap

from django.core.management import ManagementUtility, get_commands, load_command_class

OURS = ("openintern", "runs", "memory", "teams", "connectors")

#: Who wants which; what isn't named here stands with the operator's.
AUDIENCES = {
    "Begin": ("up", "init", "doctor"),
    "Work": ("run", "tail", "approvals", "export", "workspace", "ingest", "consolidate", "skills", "teams", "feishu", "mcp"),
    "Organisations and people": ("create_org", "create_user", "create_api_key", "policy"),
}  # fmt: skip
WIDTH = 100


class CommandLine(ManagementUtility):
    """Django's, with a help that a newcomer can read."""

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
