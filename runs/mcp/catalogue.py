"""Programs that the operator lets organisations use as MCP servers. A tenant names one, and fills in its parameters."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import Final

from django.conf import settings

from openintern.configuration import Program
from openintern.errors import Invalid
from runs.tools.sandbox import walls

_LONGEST: Final = 200
#: All that a program inherits; the server's own environment holds its secrets.
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108  its own, inside


class NotConfined(Exception):
    """The program can't be confined on this machine; the message says what would help."""


def programs() -> Mapping[str, Program]:
    """Return the catalogue."""
    catalogue: Mapping[str, Program] = settings.CONFIG.mcp.catalogue
    return catalogue


def check(name: str, parameters: Mapping[str, object]) -> None:
    """Raise VALIDATION_ERROR for a program that isn't there, or parameters that aren't exactly those it takes."""
    program = programs().get(name)
    if program is None:
        raise Invalid("program", f"Must be one of the operator's catalogue: {', '.join(programs()) or 'it is empty'}")
    for given in parameters:
        if given not in program.parameters:
            raise Invalid(f"parameters.{given}", "The program takes no such parameter")
    for wanted, pattern in program.parameters.items():
        value = parameters.get(wanted, "")
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not _may_be(value, pattern):
            raise Invalid(f"parameters.{wanted}", "Not a value that the operator allows here")


def command(name: str, parameters: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return what is executed, no shell between, and its whole environment. Raises as `check`, and NotConfined."""
    check(name, parameters)
    program = programs()[name]
    words = [_filled_in(word, parameters) for word in program.command]
    environment = {**_ENVIRONMENT, **program.environment}
    if not program.confined:
        return [*_leash(), *words], environment
    if shutil.which("bwrap") is None:
        raise NotConfined(
            "bubblewrap is not installed (Debian: apt install bubblewrap), and the program is to be confined"
        )
    return [*_confined(program), "--", *words], environment


def _confined(program: Program) -> list[str]:
    built = walls(environment=program.environment, has_network=program.network)
    for path in program.readable:
        built += ["--ro-bind", path, path]
    for path in program.writable:
        built += ["--bind", path, path]
    return built


def _leash() -> list[str]:
    """It dies with whoever started it, and its own children with it where the kernel lets us have a pid namespace."""
    return ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--", *_own_pids()]


def _own_pids() -> list[str]:
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return ["unshare", *as_user, "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]


def _filled_in(word: str, parameters: Mapping[str, str]) -> str:
    name = word[1:-1] if word.startswith("{") and word.endswith("}") else ""
    return parameters.get(name, word)


def _may_be(value: str, pattern: str) -> bool:
    """A value that begins like an option, or holds what isn't printed, is none, whatever the pattern says."""
    return value.isprintable() and not value.startswith(("-", "@")) and re.fullmatch(pattern, value) is not None
