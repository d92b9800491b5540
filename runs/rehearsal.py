"""Holding the calls of the last days against a policy that isn't in force: what would have gone another way?

Replayed are the calls as they were asked for, each with what its run had heard by then. What the models would have done
after another answer, nobody knows; that isn't played on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, get_args

from openintern.errors import Invalid, OpenInternError
from runs.briefs import brief_of
from runs.engine.plan import BLOCKED_TOOL, NOT_OFFERED
from runs.events import EventType
from runs.models import Event, Run
from runs.tools.policy import RULES, Mandate, Verdict, decide
from runs.tools.registry import Risk, tools

MOST_RUNS: Final = 5_000
MOST_CALLS: Final = 50_000
MOST_DAYS: Final = 90
_VERDICTS: Final = {rule.name: rule.verdict for rule in RULES} | {
    NOT_OFFERED: Verdict.DENY,
    BLOCKED_TOOL: Verdict.DENY,
}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would be otherwise: the lists of one role (None leaves them), and how risky tools are taken for, for all."""

    role_id: str = ""
    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] | None = None
    risks: Mapping[str, Risk] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, risk in self.risks.items():
            if risk not in get_args(Risk):
                raise Invalid("risks", f"{name}: must be one of {', '.join(get_args(Risk))}")

    def made_to(self, mandate: Mandate, *, role_id: str) -> Mandate:
        """Return `mandate`, of a run with that role, as it would be."""
        mandate = replace(mandate, risks={**mandate.risks, **self.risks})
        if not self.role_id or role_id != self.role_id:
            return mandate
        lists = mandate.role
        if self.allowed is not None:
            lists = replace(lists, allowed=self.allowed)
        if self.denied is not None:
            lists = replace(lists, denied=self.denied)
        return replace(mandate, role=lists)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One call that would have gone another way."""

    run_id: str
    seq: int
    at: datetime
    role: str
    tool: str
    before: Verdict
    rule_before: str
    after: Verdict
    rule: str


@dataclass
class Rehearsal:
    """What was replayed, and what differs, newest first. `is_cut`: there were more calls than are replayed at once."""

    calls: int = 0
    differences: list[Difference] = field(default_factory=list)
    is_cut: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many calls changed from what to what, as "allow → ask"."""
        return dict(Counter(f"{one.before} → {one.after}" for one in self.differences))


def rehearse(change: Change, *, since: datetime) -> Rehearsal:
    """Replay the calls of the runs that began after `since` under the policy as it is now, with `change` made to it.

    Runs whose role is gone are replayed under what they were given.
    """
    runs = dict(_runs(since))
    rehearsal = Rehearsal(is_cut=len(runs) > MOST_RUNS)
    mandates: dict[tuple[str, str], Mandate] = {}
    for event in _calls(list(runs)[:MOST_RUNS]):
        if rehearsal.calls == MOST_CALLS:
            rehearsal.is_cut = True
            break
        rehearsal.calls += 1
        key = (event["run_id"], event["agent_id"])
        given = runs[event["run_id"]]
        caller = given.get(event["agent_id"]) or given[""]
        mandate = mandates.get(key) or change.made_to(_mandate_of(caller), role_id=caller.role_id)
        mandates[key] = mandate
        if found := _compare(event, caller, mandate):
            rehearsal.differences.append(found)
    return rehearsal


@dataclass(frozen=True)
class _Caller:
    """What an agent was given: its role, and what it might do."""

    role_id: str
    role_name: str
    mandate: Mandate

    @classmethod
    def of(cls, role: Mapping[str, Any] | None, mandate: Any) -> _Caller:
        role = role or {}
        return cls(role.get("id", ""), role.get("name", ""), Mandate.of({"mandate": mandate}))


def _runs(since: datetime) -> Iterator[tuple[str, dict[str, _Caller]]]:
    """Each run with what its agents were given: "" is whoever isn't a member of a team."""
    newest = Run.objects.filter(created_at__gte=since).order_by("-created_at", "-pk")
    rows = newest.values_list("pk", "config__role", "config__mandate", "config__team__members")[: MOST_RUNS + 1]
    for run_id, role, mandate, members in rows.iterator(chunk_size=200):
        of_members = {one["agent_id"]: one["config"] for one in members or ()}
        callers = {agent: _Caller.of(config.get("role"), config.get("mandate")) for agent, config in of_members.items()}
        yield run_id, {"": _Caller.of(role, mandate), **callers}


def _calls(run_ids: list[str]) -> Iterator[Mapping[str, Any]]:
    """The calls that the policy has judged; refusals of what was no call at all have no rule."""
    judged = Event.objects.filter(
        run__in=run_ids, type__in=(EventType.TOOL_CALLED, EventType.TOOL_BLOCKED), payload__has_key="rule"
    )
    fields = ("run_id", "agent_id", "seq", "at", "payload__toolName", "payload__rule", "payload__tainted")
    yield from judged.order_by("-pk").values(*fields).iterator(chunk_size=2_000)


def _mandate_of(caller: _Caller) -> Mandate:
    try:
        return replace(brief_of(caller.role_id).mandate, delegated=caller.mandate.delegated)
    except OpenInternError:
        return caller.mandate


def _compare(event: Mapping[str, Any], caller: _Caller, mandate: Mandate) -> Difference | None:
    tool = tools().get(event["payload__toolName"])
    if tool is None or tool.blocked:
        return None
    rule = event["payload__rule"]
    before = _VERDICTS.get(rule, Verdict.ASK if rule.startswith("approval.") else Verdict.ALLOW)
    now = decide(tool=tool, mandate=mandate, is_tainted=bool(event["payload__tainted"]))
    if now.verdict is before:
        return None
    return Difference(
        run_id=event["run_id"],
        seq=event["seq"],
        at=event["at"],
        role=caller.role_name,
        tool=tool.name,
        before=before,
        rule_before=rule,
        after=now.verdict,
        rule=now.rule,
    )
