"""The help of the command line, and a reader who has seen enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands

from openintern.command_line import AUDIENCES, OURS, CommandLine


def test_the_help_says_what_each_command_of_ours_does() -> None:
    told = CommandLine(["openintern", "help"]).main_help_text()

    ours = {name for name, app in get_commands().items() if str(app).split(".")[0] in OURS}
    lines = {line.split()[0]: line for line in told.splitlines() if line.startswith("  ") and line[2] != " "}
    assert lines.keys() == ours
    assert all(len(line.split()) > 3 for line in lines.values())
    assert "dumpdata" in told, "what came along is named too"


def test_every_command_that_the_help_puts_first_is_there() -> None:
    assert {name for names in AUDIENCES.values() for name in names} <= get_commands().keys()


def test_who_reads_only_the_beginning_gets_no_traceback() -> None:
    command = [sys.executable, "manage.py", "diffsettings", "--all"]
    reading, writing = os.pipe()
    os.close(reading)  # nobody reads: the first write meets a broken pipe

    with os.fdopen(writing, "w") as nowhere:
        ended = subprocess.run(
            command, check=False, cwd=settings.BASE_DIR, stdout=nowhere, stderr=subprocess.PIPE, text=True, timeout=60
        )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_without_a_database_a_command_says_what_to_do(tmp_path: Path) -> None:
    environ = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": "", "PGHOST": str(tmp_path)}
    for command in (["run", "hi"], ["migrate_schemas"]):
        ended = subprocess.run(
            [sys.executable, "manage.py", *command],
            check=False,
            cwd=settings.BASE_DIR,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert ended.returncode == 1
        assert ended.stdout == ""
        assert "`up` isn't running" in ended.stderr
        assert "Start everything with" in ended.stderr
        assert "Traceback" not in ended.stderr
