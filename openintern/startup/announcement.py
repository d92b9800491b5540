"""What `up` tells the person at the terminal, and the script that called it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from unicodedata import east_asian_width

from django.utils import translation
from django.utils.translation import gettext as _

from openintern.configuration import Configuration
from openintern.startup.entrance import API_KEY_FILE, Entrance


def speak_the_terminals_language() -> None:
    """Take Chinese where the terminal's locale is Chinese; else what the settings say."""
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    if locale.startswith("zh"):
        translation.activate("zh-hans")


def banner(entrance: Entrance, config: Configuration, *, url: str) -> str:
    """Return what to know after a start: where it is, who to sign in as, what to try."""
    base_dir, llm = config.server.base_dir, config.llm
    password = entrance.password or _("unchanged (forgotten? the command changepassword {user} sets another)").format(
        user=entrance.user
    )
    once = _("  <- shown this once") if entrance.is_first_start else ""
    answers = _("the demo model: quotes from files; set OPENAI_API_KEY or another key for a real one")
    rows = [
        (_("Open"), url),
        (_("User"), entrance.user),
        (_("Password"), password + once),
        (_("API key"), _("in {path}").format(path=base_dir / API_KEY_FILE)),
        (_("Files"), str(config.agent.work_dir / entrance.org / "shared")),
        (_("Model"), answers if llm.provider == "demo" else f"{llm.provider}/{llm.model}"),
    ]
    program = _program(base_dir)
    hints = [
        (f'{program} run "…" --stream', _("a task from the terminal")),
        (f"{program} workspace PATH", _("give the agent files to work on")),
        (f"{program} doctor", _("check that everything is well")),
    ]
    lines = ["", _("OpenIntern is running."), ""]
    lines += [f"  {_padded(name + ':', 10)} {value}" for name, value in rows]
    lines += ["", _("Try, in another terminal:")]
    width = max(len(command) for command, _what in hints)
    lines += [f"  {command:<{width}}  {what}" for command, what in hints]
    return "\n".join([*lines, "", ""])


def _padded(text: str, width: int) -> str:
    """Fill up to `width` columns; a Chinese character takes two."""
    return text + " " * (width - sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text))


def _program(base_dir: Path) -> str:
    """Return how to call us from here, so that the hints can be typed as they stand."""
    installed = Path(sys.executable).with_name("openintern")
    if shutil.which("openintern") == str(installed):
        program = "openintern"
    elif installed.exists():
        program = str(installed.relative_to(Path.cwd()) if installed.is_relative_to(Path.cwd()) else installed)
    else:
        program = "python manage.py"
    return program if base_dir == Path.cwd() / "data" else f"DATA_DIR={shlex.quote(str(base_dir))} {program}"


def for_scripts(entrance: Entrance, *, url: str, database_url: str) -> str:
    """Return the one line of `--json`. `password` is null on every start but the first."""
    return json.dumps(
        {
            "url": url,
            "user": entrance.user,
            "password": entrance.password,
            "api_key": entrance.api_key,
            "database_url": database_url,
        }
    )
