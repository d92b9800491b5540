"""The `openintern` command: the same program as `manage.py`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run one command; `up` first gets its database, which Django needs to be configured."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openintern.settings")
    if sys.argv[1:2] == ["up"]:
        from openintern.launch import launch

        raise SystemExit(launch(sys.argv))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
