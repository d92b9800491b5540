from __future__ import annotations

import asyncio
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.renewal import credential_by_key
from runs.mcp.serving.callers import AtTheTerminal, Caller, KeyHolder

KEY_VARIABLE = "OPENINTERN_API_KEY"


class Command(BaseCommand):
    requires_system_checks = []  # they load every page and its libraries
    help = (
        "Serve memories, runs and boards to an MCP client on standard input and output: in the name of the API key in "
        f"{KEY_VARIABLE}, else of --user."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_scope_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        caller = _caller(options)
        from runs.mcp.serving.server import serve_stdio  # noqa: PLC0415  the SDK takes a second to import

        asyncio.run(serve_stdio(caller))


def _caller(options: dict[str, Any]) -> Caller:
    text = os.environ.get(KEY_VARIABLE, "")
    if not text:
        return AtTheTerminal(scope_from(options))
    try:
        return KeyHolder(credential_by_key(text, at=timezone.now()))
    except OpenInternError as error:
        raise CommandError(f"{KEY_VARIABLE}: {error.message}") from error
