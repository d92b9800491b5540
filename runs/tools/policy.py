"""Whether an agent may call a tool: an ordered list of rules, of which the first that applies decides.

The order is the policy. Rules about delegation, roles and skills belong before the one about risk,
and they may only look at the `Call`. Whoever asks gets the name of the rule that decided, to store it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runs.tools.registry import Tool, tools


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is judged: which tool is to be called. Rules read nothing else."""

    tool: Tool


@dataclass(frozen=True)
class Decision:
    """What the policy says of a call, and by which rule; `reason` is fit for the model and for people."""

    allowed: bool
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the policy. In `reason`, `{tool}` stands for the tool's name."""

    name: str
    applies: Callable[[Call], bool]
    allows: bool
    reason: str

    def decision(self, call: Call) -> Decision:
        """Return what this rule makes of a call that it applies to."""
        return Decision(self.allows, self.name, self.reason.format(tool=call.tool.name))


#: The last rule always applies.
RULES: Final = (
    Rule(
        name="risk.high",
        applies=lambda call: call.tool.risk == "high",
        allows=False,
        reason="{tool} is a high-risk tool, and nobody can be asked to approve it yet",
    ),
    Rule(name="default.allow", applies=lambda call: True, allows=True, reason="nothing forbids {tool}"),
)


def decide(*, tool: Tool) -> Decision:
    """Return what the first rule that applies says of calling `tool`."""
    call = Call(tool=tool)
    return next(rule.decision(call) for rule in RULES if rule.applies(call))


def offered_tools() -> list[Tool]:
    """Return the tools a run is told about: those it may call."""
    return [tool for tool in tools().values() if decide(tool=tool).allowed]
