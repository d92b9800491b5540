"""How commands about runs follow one, and how events look at a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.core.management.base import CommandError
from psycopg import sql
from rich.console import Console
from rich.text import Text

from openintern.database import own_connection_parameters
from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope, org_scope
from openintern.text import shorten
from runs import export, log
from runs.events import TERMINAL, EventType
from runs.lifecycle import find_run
from runs.models import Run

_LOOK_SECONDS = 2.0


def follow(scope: Scope, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield a run's events from its first to its last, live: those to come as they come."""
    with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
        own.execute(sql.SQL("LISTEN {}").format(sql.Identifier(log.CHANNEL)))
        after = 0
        while True:
            with org_scope(scope.org):
                run, events = export.events_of(scope, run_id, limit=500, after=after)
            for event in events:
                after = event["seq"]
                yield event
                if event["type"] in TERMINAL:
                    return
            if run.is_final and not events:
                return
            _wait_for(own, f"{scope.org.schema_name}:{run_id}")


def _wait_for(own: psycopg.Connection[Any], payload: str) -> None:
    """Return when the run has news, or after a while in any case: a notification may be lost."""
    deadline = time.monotonic() + _LOOK_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if any(note.payload == payload for note in own.notifies(timeout=left, stop_after=1)):
            return


def run_in_sight(scope: Scope, run_id: str) -> Run:
    """Return a run, or end the command with the words that the API has for one that isn't there."""
    try:
        with org_scope(scope.org):
            return find_run(scope, run_id)
    except OpenInternError as error:
        raise CommandError(f"{error.message}: {run_id}") from error


class Screen:
    """Events for people: one line each, coloured at a terminal, plain where the output is piped."""

    _STYLES = {
        "run": "bold cyan",
        "step": "dim",
        "llm": "magenta",
        "tool": "yellow",
        "user": "green",
        "member": "bold blue",
        "message": "blue",
    }

    def __init__(self, out: Any) -> None:
        self._console = Console(file=out, highlight=False, soft_wrap=True)

    def show(self, event: dict[str, Any]) -> None:
        """Print one event."""
        style = (
            "bold red" if event["type"] == EventType.RUN_FAILED else self._STYLES.get(event["type"].split(".")[0], "")
        )
        self._console.print(Text.assemble((f"{event['seq']:>4} {event['type']:<21}", style), _gist(event)))

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self._console.print(text, markup=False)


def _gist(event: dict[str, Any]) -> str:  # noqa: PLR0911  a table, a line for each type
    """Return what matters of an event, in a line; the final answer whole."""
    payload = event["payload"]
    match event["type"]:
        case EventType.RUN_STARTED:
            return " " + shorten(" ".join(payload["input"].split()), 100)
        case EventType.LLM_CALLED:
            cost = f", ${payload['cost']}" if payload["cost"] not in (None, "0") else ""
            asked = ", ".join(call["name"] for call in payload.get("toolCalls", []))
            return f" {payload['model']}: {payload['totalTokens']} tokens, {payload['duration_ms']} ms{cost}" + (
                f" → {asked}" if asked else ""
            )
        case EventType.TOOL_CALLED | EventType.TOOL_BLOCKED:
            return f" {payload['toolName']} {shorten(str(payload['args']), 100)}"
        case EventType.TOOL_RESULT:
            came = payload["error"]["message"] if payload["isError"] else str(payload["result"])
            return f" {payload['toolName']} {'failed: ' if payload['isError'] else ''}{shorten(' '.join(came.split()), 100)}"
        case kind if kind.startswith(("member.", "message.")):
            return _said_in_team(event)
        case EventType.RUN_COMPLETED:
            return f" after {payload['duration_ms']} ms\n\n{payload['output']}\n"
        case EventType.RUN_FAILED:
            return f" {payload['error']['code']}: {payload['error']['message']}"
        case EventType.STEP_COMPLETED:
            return f" {payload['resultType']}, {payload['duration_ms']} ms"
        case EventType.STEP_RETRIED:
            return f" {payload['reason']}, again in {payload['delayMs']} ms"
    return " " + shorten(", ".join(f"{name}={value}" for name, value in payload.items()), 100) if payload else ""


def _said_in_team(event: dict[str, Any]) -> str:
    """Whose turn it is, or what a member says to the others."""
    payload = event["payload"]
    match event["type"]:
        case EventType.MEMBER_STARTED:
            told = f", round {payload['round']}: {payload['task']}"
        case EventType.MEMBER_FAILED:
            told = f"{' (tries again)' if payload['willRetry'] else ''}: {payload['code']}: {payload['message']}"
        case EventType.MESSAGE_TASK:
            told = f" to {payload['toRole']}: {payload['text']}"
        case _:
            told = f": {payload.get('output') or payload.get('decision') or payload.get('text', '')}"
    return f" {payload['role']}{shorten(' '.join(told.split()), 100)}"
