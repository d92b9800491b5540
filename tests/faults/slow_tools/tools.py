"""One tool for each recovery class, and one that takes its worker down."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

from django.dispatch import receiver
from django_q.signals import post_execute_in_worker

from runs.tools.registry import ToolContext, tool


def _strike(context: ToolContext, name: str) -> dict[str, Any]:
    """Have the effect outside; the answer may be held there."""
    body = {"name": name, "key": context.idempotency_key, "run": context.run_id, "call": context.tool_call_id}
    return _ask("effect", body)


def _ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{os.environ['EFFECTS_URL']}/{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _struck(context: ToolContext, name: str) -> dict[str, Any] | None:
    return _ask("find", {"key": context.idempotency_key}) or None


@tool(risk="low", taints=False, recovery="pure", timeout=120)
def strike_pure(context: ToolContext, name: str) -> dict[str, Any]:
    """Look at something outside."""
    return _strike(context, name)


@tool(risk="low", taints=False, recovery="keyed", timeout=120, mutating=True)
def strike_keyed(context: ToolContext, name: str) -> dict[str, Any]:
    """Change something outside that knows keys."""
    return _strike(context, name)


@tool(risk="low", taints=False, recovery="checkable", timeout=120, mutating=True, check=_struck)
def strike_checkable(context: ToolContext, name: str) -> dict[str, Any]:
    """Change something outside that can be looked at."""
    return _strike(context, name)


@tool(risk="low", taints=False, recovery="unsure", timeout=120, mutating=True)
def strike_unsure(context: ToolContext, name: str) -> dict[str, Any]:
    """Change something outside, and never know."""
    return _strike(context, name)


@tool(risk="low", taints=False, recovery="pure", timeout=120)
def take_down(context: ToolContext) -> dict[str, Any]:
    """End the worker that runs this."""
    os.abort()


@receiver(post_execute_in_worker)
def _die_at_result(**_signal: Any) -> None:
    """End the worker that has done its task and hands in the result, once, where a test has laid the trap."""
    trap = os.environ.get("DIE_AT_RESULT")
    if trap and Path(trap).exists():
        Path(trap).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
