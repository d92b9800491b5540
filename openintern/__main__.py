"""The `openintern` command: the same program as `manage.py`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one command. `up` comes before Django: it brings the database that the settings name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openintern.settings")
    if sys.argv[1:2] == ["up"]:
        from openintern.management.commands.up import Command  # noqa: PLC0415

        Command().run_from_argv(sys.argv)
        return
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
