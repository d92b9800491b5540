"""Whether an agent may call a tool: an ordered list of rules, of which the first that applies decides.

The order is the policy. Rules about delegation, roles and skills belong before the one about risk,
and they may only look at the `Call`. Whoever asks gets the name of the rule that decided, to store it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runs.tools.registry import Tool, tools


class Verdict(StrEnum):
    """What the policy says of a call: it runs, a person is asked first, or it doesn't run."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is judged: which tool is to be called. Rules read nothing else."""

    tool: Tool


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


#: The last rule always applies.
RULES: Final = (
    Rule(
        name="risk.high",
        applies=lambda call: call.tool.risk == "high",
        verdict=Verdict.ASK,
        reason="{tool} is a high-risk tool: a person has to approve the call",
    ),
    Rule(name="default.allow", applies=lambda call: True, verdict=Verdict.ALLOW, reason="nothing forbids {tool}"),
)

#: Which policy this is: what was approved under one is asked again under another.
VERSION: Final = hashlib.sha256("".join(f"{rule.name}={rule.verdict};" for rule in RULES).encode()).hexdigest()[:16]


def decide(*, tool: Tool) -> Decision:
    """Return what the first rule that applies says of calling `tool`."""
    call = Call(tool=tool)
    return next(rule.decision(call) for rule in RULES if rule.applies(call))


def offered_tools() -> list[Tool]:
    """Return the tools a run is told about: those it may call, be it after asking."""
    return [tool for tool in tools().values() if decide(tool=tool).verdict is not Verdict.DENY]
