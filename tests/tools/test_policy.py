"""Who decides whether a tool may be called, and that it is known afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from runs.tools import policy, registry
from runs.tools.policy import Call, Decision, Rule, Verdict, decide, offered_tools
from runs.tools.registry import Tool, ToolContext, build, register, tools


def made(name: str, *, risk: str) -> Tool:
    def function(context: ToolContext) -> dict[str, Any]:
        """Do something."""
        return {}

    function.__name__ = name
    return build(function, risk=risk)


@pytest.mark.parametrize(
    ("risk", "verdict", "rule"),
    [("low", "allow", "default.allow"), ("medium", "allow", "default.allow"), ("high", "ask", "risk.high")],
)
def test_the_risk_of_a_tool_decides(risk: str, verdict: str, rule: str) -> None:
    decision = decide(tool=made("act", risk=risk))

    assert (decision.verdict, decision.rule) == (verdict, rule)
    assert "act" in decision.reason


def test_a_tool_that_may_not_be_called_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register(made("careful", risk="low"))
    register(made("dangerous", risk="high"))
    register(made("forbidden", risk="low"))
    deny = Rule(
        name="test.deny", applies=lambda call: call.tool.name == "forbidden", verdict=Verdict.DENY, reason="{tool}"
    )
    monkeypatch.setattr(policy, "RULES", (deny, *policy.RULES))

    offered = [tool.name for tool in offered_tools()]

    assert {"careful", "dangerous"} <= set(offered)
    assert "forbidden" in tools()
    assert "forbidden" not in offered


def test_the_first_rule_that_applies_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that come later in the project's life stand before the one about risk."""

    def named_act(call: Call) -> bool:
        return call.tool.name == "act"

    deny = Rule(name="role.deny", applies=named_act, verdict=Verdict.DENY, reason="{tool} is denied")
    allow = Rule(name="role.allow", applies=named_act, verdict=Verdict.ALLOW, reason="{tool} is allowed")
    rest = policy.RULES

    monkeypatch.setattr(policy, "RULES", (deny, allow, *rest))
    assert decide(tool=made("act", risk="low")) == Decision(Verdict.DENY, "role.deny", "act is denied")

    monkeypatch.setattr(policy, "RULES", (allow, deny, *rest))
    assert decide(tool=made("act", risk="high")) == Decision(Verdict.ALLOW, "role.allow", "act is allowed")
    assert decide(tool=made("other", risk="high")).rule == "risk.high"


def test_every_rule_has_a_name_of_its_own_and_the_last_applies_to_everything() -> None:
    names = [rule.name for rule in policy.RULES]

    assert len(set(names)) == len(names)
    assert policy.RULES[-1].applies(Call(tool=made("anything", risk="high")))
