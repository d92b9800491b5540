"""What a foreign program can do here: each door is a typed function, declared with the right that it takes.

The functions are the ones that the API and the pages call; so are the refusals.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from django.utils import timezone
from pydantic import BaseModel, Field, ValidationError

from memory import keeping, search
from memory.models import Memory, Tier
from openintern.errors import Invalid
from openintern.tenancy.scope import Scope, org_scope
from runs import export, lifecycle
from runs.events import TERMINAL, EventType
from runs.models import DEFAULT_SESSION_KEY, Run
from runs.tools import results
from runs.tools.arguments import arguments_model, complaint, describe, unacceptable

RESULT_BYTES: Final = 60_000
_EVENT_BYTES: Final = 4_000
_LOOK_SECONDS: Final = 0.5
_LONGEST_WAIT: Final = 30

RunId = Annotated[str, "The id of a run, run_…", Field(max_length=40)]
TierName = Literal["core", "episodic", "archival"]


@dataclass(frozen=True)
class Door:
    """A function that foreign programs may call, and the right that it takes."""

    name: str
    description: str
    function: Callable[..., dict[str, Any]]
    arguments: type[BaseModel]
    resource: str
    action: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return describe(self.arguments)

    @property
    def may_wait(self) -> bool:
        """Whether a call may take long because nothing happens."""
        return self.name == "run_follow"

    @property
    def changes_nothing(self) -> bool:
        return self.action == "read"

    def enter(self, scope: Scope, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Check the arguments, and return the result as bounded JSON. Raises OpenInternError."""
        if problem := unacceptable(dict(arguments)):
            raise Invalid("arguments", problem)
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise Invalid("arguments", complaint(error)) from error
        given = {name: getattr(checked, name) for name in self.arguments.model_fields}
        return results.bounded(self.function(scope, **given), limit=RESULT_BYTES)


DOORS: Final[dict[str, Door]] = {}


def door(resource: str, action: str) -> Callable[[Callable[..., dict[str, Any]]], Callable[..., dict[str, Any]]]:
    """Open the decorated function to foreign programs. Its first argument is the caller's scope."""

    def open_(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        name = function.__name__
        description = inspect.getdoc(function) or ""
        DOORS[name] = Door(name, description, function, arguments_model(function), resource, action)
        return function

    return open_


@door("memory", "read")
def memory_search(
    scope: Scope,
    query: Annotated[str, "What to look for, in words", Field(min_length=1, max_length=2000)],
    limit: Annotated[int, "How many memories at most", Field(ge=1, le=50)] = 10,
    tiers: Annotated[list[TierName], "Only these tiers; none means all", Field(max_length=3)] = [],  # noqa: B006  pydantic copies it
) -> dict[str, Any]:
    """Search what is remembered, by words and by meaning, in any language: one's own memories and one's project's."""
    with org_scope(scope.org):
        found = search.search(scope, query, limit=limit, tiers=tiers or Tier.values)
        hits = [
            {
                "id": str(hit.id),
                "tier": hit.tier,
                "score": round(hit.score, 3),
                "text": hit.telling,
                "metadata": hit.metadata,
                "document": hit.document,
                "run_id": hit.run_id,
                "created_at": hit.created_at.isoformat(),
            }
            for hit in found.hits
        ]
    return {"results": hits, "count": len(hits)}


@door("memory", "read")
def memory_get(scope: Scope, id: Annotated[str, "The id of a memory", Field(max_length=40)]) -> dict[str, Any]:
    """Return a memory whole."""
    with org_scope(scope.org):
        return {"memory": _memory(search.find_memory(scope, id))}


@door("memory", "create")
def memory_write(
    scope: Scope,
    text: Annotated[str, "What to remember, in whole sentences", Field(min_length=1, max_length=20_000)],
    tier: Annotated[TierName, "core: what always matters; episodic: what happened; archival: reference"] = "core",
    metadata: Annotated[dict[str, Any], "Anything to keep with it"] = {},  # noqa: B006  pydantic copies it
    importance: Annotated[float, "From 0 to 1", Field(ge=0, le=1)] = 0.5,
    shared: Annotated[bool, "For everybody in the project in scope"] = False,
) -> dict[str, Any]:
    """Remember something. What says the same already is returned as it is."""
    with org_scope(scope.org):
        owner = "project" if shared else "user"
        kept = keeping.keep(scope, text=text, tier=tier, owner=owner, metadata=metadata, importance=importance)
        return {"memory": _memory(kept)}


@door("run", "create")
def run_start(
    scope: Scope,
    input: Annotated[str, "The task", Field(min_length=1, max_length=100_000)],
    session_key: Annotated[str, "s_…: runs of one session are serial and remember each other"] = DEFAULT_SESSION_KEY,
    agent_id: Annotated[
        str, "Which agent: main, a role's id, or group:<id> for a team", Field(max_length=100)
    ] = "main",
    idempotency_key: Annotated[str, "The same key starts one run", Field(max_length=255)] = "",
) -> dict[str, Any]:
    """Give a task to an agent. It is recorded when this answers; follow it with run_follow."""
    with org_scope(scope.org):
        run = lifecycle.create_run(
            scope,
            text=input,
            session_key=session_key,
            agent_id=agent_id,
            idempotency_key=idempotency_key or None,
            at=timezone.now(),
        )
        return _run(run)


@door("run", "read")
def run_get(scope: Scope, run_id: RunId) -> dict[str, Any]:
    """Return how a run stands: its status, and its answer or error once it has ended."""
    with org_scope(scope.org):
        return _run(lifecycle.find_run(scope, run_id))


@door("run", "read")
def run_list(scope: Scope, limit: Annotated[int, "How many at most", Field(ge=1, le=50)] = 10) -> dict[str, Any]:
    """List the latest runs in sight, newest first."""
    with org_scope(scope.org):
        runs = Run.objects.for_scope(scope).select_related("session").order_by("-created_at", "-pk")[:limit]
        return {"runs": [{**_run(run), "output": None} for run in runs]}


@door("run", "read")
def run_follow(
    scope: Scope,
    run_id: RunId,
    after: Annotated[int, "Only events whose seq is greater", Field(ge=0)] = 0,
    wait_seconds: Annotated[int, "How long to wait for news", Field(ge=0, le=_LONGEST_WAIT)] = 20,
) -> dict[str, Any]:
    """Return a run's events after a place in its log, waiting for them if there are none yet.

    Call again with `after` set to the last seq given, until `is_over`. A run whose status is `waiting` waits for a person.
    """
    ends_at = time.monotonic() + wait_seconds
    while True:
        with org_scope(scope.org):
            run, events = export.events_of(scope, run_id, limit=100, after=after)
            told = _run(run)
        is_quiet = run.is_final or run.status == Run.Status.WAITING
        if events or is_quiet or time.monotonic() >= ends_at:
            break
        time.sleep(_LOOK_SECONDS)
    given = _fitting(events)
    is_over = bool(given and given[-1]["type"] in TERMINAL) or (run.is_final and not events)
    return {**told, "events": given, "last_seq": given[-1]["seq"] if given else after, "is_over": is_over}


@door("run", "cancel")
def run_cancel(scope: Scope, run_id: RunId) -> dict[str, Any]:
    """End a run now."""
    with org_scope(scope.org):
        return _run(lifecycle.cancel_run(scope, run_id, at=timezone.now()))


def _fitting(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the first events as one answer holds; the others come with the next call."""
    room = RESULT_BYTES - 6_000
    given: list[dict[str, Any]] = []
    for event in events:
        shown = results.bounded(event, limit=_EVENT_BYTES if event["type"] != EventType.RUN_COMPLETED else 20_000)
        room -= results.json_size(shown)
        if room < 0 and given:
            break
        given.append(shown)
    return given


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.pk,
        "session_key": run.session.key,
        "status": str(run.status),
        "input": run.input[:500],
        "output": run.output,
        "error": run.error,
        "created_at": run.created_at.isoformat(),
    }


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "id": str(memory.pk),
        "tier": memory.tier,
        "text": memory.text,
        "metadata": memory.metadata,
        "importance": memory.importance,
        "owner": memory.owner.kind,
        "created_at": memory.created_at.isoformat(),
    }
