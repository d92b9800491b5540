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
    from openintern.command_line import CommandLine, NoDatabase  # noqa: PLC0415

    try:
        CommandLine(sys.argv).execute()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except NoDatabase as error:
        sys.exit(f"CommandError: {error}")


if __name__ == "__main__":
    main()
