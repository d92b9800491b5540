"""Whether an agent may call a tool: an ordered list of rules, of which the first that applies decides.

The order is the policy, and rules look at nothing but the `Call`: the tool, the mandate that the run was given when it
began, and whether text from outside has come into its context. Whoever asks gets the name of the rule, to store it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from runs.tools.registry import Risk, Seat, Tool, tools

#: They read the catalogue of skills and nothing else, so no list can take them away.
CATALOGUE: Final = frozenset({"skills_list", "skills_get", "skill_load"})

_SEATS: Final[Mapping[Seat, tuple[Seat, ...]]] = {"": ("",), "member": ("", "member"), "lead": ("", "member", "lead")}


class Verdict(StrEnum):
    """What the policy says of a call: it runs, a person is asked first, or it doesn't run."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Which tools somebody lets pass, and which not. An empty `allowed` lets all pass.

    An entry is a tool's name or its beginning (`memory_*`), or a skill, which stands for its tools (`skill:<id>`).
    """

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mandate:
    """What a run may do, and by whose word; pinned when it begins.

    `skills` names the tools of each skill of the organisation, `granted` the skills that its role has, and `risks` the
    tools that the organisation rates otherwise than they rate themselves.
    """

    delegated: Lists = field(default_factory=Lists)
    role: Lists = field(default_factory=Lists)
    skills: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    granted: tuple[str, ...] = ()
    risks: Mapping[str, Risk] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Mandate:
        """Return the mandate that a run's configuration holds; for one from before there were any, an empty one."""
        told = config.get("mandate") or {}
        return cls(
            delegated=_lists(told.get("delegated")),
            role=_lists(told.get("role")),
            skills={skill: tuple(names) for skill, names in told.get("skills", {}).items()},
            granted=tuple(told.get("granted", ())),
            risks=told.get("risks", {}),
        )

    def pinned(self) -> dict[str, Any]:
        """Return it as JSON."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return told

    def risk_of(self, tool: Tool) -> Risk:
        """Return how risky the organisation takes a tool for."""
        return self.risks.get(tool.name, tool.risk)

    def lists(self, entries: Iterable[str], tool: Tool) -> bool:
        """Whether one of `entries` names the tool or a skill that holds it."""
        return any(_names(entry, tool.name) or self._has_in_skill(entry, tool) for entry in entries)

    def grants(self, tool: Tool) -> bool:
        """Whether a skill of the role brings the tool."""
        return any(tool.name in self.skills.get(skill, ()) for skill in self.granted)

    def _has_in_skill(self, entry: str, tool: Tool) -> bool:
        wanted = entry.removeprefix("skill:")
        return any(tool.name in names for skill, names in self.skills.items() if _names(wanted, skill))


def _lists(told: Mapping[str, Any] | None) -> Lists:
    told = told or {}
    return Lists(allowed=tuple(told.get("allowed", ())), denied=tuple(told.get("denied", ())))


def _names(entry: str, name: str) -> bool:
    return name.startswith(entry[:-1]) if entry.endswith("*") else name == entry


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is judged: which tool is to be called, under which mandate, after what. Rules read nothing else."""

    tool: Tool
    mandate: Mandate = field(default_factory=Mandate)
    is_tainted: bool = False  # text from outside is in the run's context

    @property
    def risk(self) -> Risk:
        return self.mandate.risk_of(self.tool)

    @property
    def is_talk(self) -> bool:
        """Whether it is what a member of a team says to the others: no list has to name that; one may still deny it."""
        return bool(self.tool.seat)

    @property
    def is_left_out_by_role(self) -> bool:
        """Whether the role lists what it may use, and neither that list nor one of its skills has the tool."""
        allowed = self.mandate.role.allowed
        return bool(allowed) and not (
            self.is_talk or self.mandate.lists(allowed, self.tool) or self.mandate.grants(self.tool)
        )


@dataclass(frozen=True)
class Decision:
    """What the policy says of a call, and by which rule; `reason` is fit for the model and for people."""

    verdict: Verdict
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the policy. In `reason`, `{tool}` stands for the tool's name."""

    name: str
    applies: Callable[[Call], bool]
    verdict: Verdict
    reason: str

    def decision(self, call: Call) -> Decision:
        """Return what this rule makes of a call that it applies to."""
        return Decision(self.verdict, self.name, self.reason.format(tool=call.tool.name))


#: The last rule always applies. Those that ask stand before those that let pass: no list and no skill spares a person
#: the question about a risky call, or about one that text from outside may have talked the model into.
RULES: Final = (
    Rule(
        name="catalogue.allow",
        applies=lambda call: call.tool.name in CATALOGUE,
        verdict=Verdict.ALLOW,
        reason="{tool} only reads what the agent is told anyway",
    ),
    Rule(
        name="delegated.deny",
        applies=lambda call: call.mandate.lists(call.mandate.delegated.denied, call.tool),
        verdict=Verdict.DENY,
        reason="{tool} is explicitly denied to delegated work",
    ),
    Rule(
        name="delegated.allow",
        applies=lambda call: (
            bool(call.mandate.delegated.allowed)
            and not call.is_talk
            and not call.mandate.lists(call.mandate.delegated.allowed, call.tool)
        ),
        verdict=Verdict.DENY,
        reason="{tool} is not among the tools that were delegated",
    ),
    Rule(
        name="role.deny",
        applies=lambda call: call.mandate.lists(call.mandate.role.denied, call.tool),
        verdict=Verdict.DENY,
        reason="{tool} is explicitly denied to this role",
    ),
    Rule(
        name="role.allow",
        applies=lambda call: call.is_left_out_by_role,
        verdict=Verdict.DENY,
        reason="{tool} is not among the tools of this role",
    ),
    Rule(
        name="taint.sends",
        applies=lambda call: call.is_tainted and call.tool.hazard == "sends",
        verdict=Verdict.ASK,
        reason="{tool} sends something out, and this run has read text from outside: a person has to approve the call",
    ),
    Rule(
        name="taint.deletes",
        applies=lambda call: call.is_tainted and call.tool.hazard == "deletes",
        verdict=Verdict.ASK,
        reason="{tool} deletes something, and this run has read text from outside: a person has to approve the call",
    ),
    Rule(
        name="risk.high",
        applies=lambda call: call.risk == "high",
        verdict=Verdict.ASK,
        reason="{tool} is a high-risk tool: a person has to approve the call",
    ),
    Rule(
        name="role.allowed",
        applies=lambda call: call.mandate.lists(call.mandate.role.allowed, call.tool),
        verdict=Verdict.ALLOW,
        reason="{tool} is among the tools of this role",
    ),
    Rule(
        name="skill.grant",
        applies=lambda call: call.mandate.grants(call.tool),
        verdict=Verdict.ALLOW,
        reason="{tool} comes with a skill of this role",
    ),
    Rule(name="default.allow", applies=lambda call: True, verdict=Verdict.ALLOW, reason="nothing forbids {tool}"),
)

#: Which rules these are: what was approved under some is asked again under others.
VERSION: Final = hashlib.sha256("".join(f"{rule.name}={rule.verdict};" for rule in RULES).encode()).hexdigest()[:16]


def version(mandate: Mandate) -> str:
    """Return what names the policy of a run: the rules, and all that they read of its mandate."""
    told = json.dumps(mandate.pinned(), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{VERSION}\n{told}".encode()).hexdigest()[:16]


def decide(*, tool: Tool, mandate: Mandate | None = None, is_tainted: bool = False) -> Decision:
    """Return what the first rule that applies says of calling `tool`."""
    call = Call(tool=tool, mandate=mandate or Mandate(), is_tainted=is_tainted)
    return next(rule.decision(call) for rule in RULES if rule.applies(call))


def offered_tools(mandate: Mandate | None = None, *, seat: Seat = "") -> list[Tool]:
    """Return the tools a run is told about: those it may call, be it after asking.

    `seat` is the place that the agent has in a team: what members say to each other is for members, the last word for
    the lead.
    """
    return [
        tool
        for tool in tools().values()
        if not tool.blocked
        and tool.seat in _SEATS[seat]
        and decide(tool=tool, mandate=mandate).verdict is not Verdict.DENY
    ]
