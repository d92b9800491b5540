"""What a run does from its acceptance to its end, event by event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings

from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.engine import transactions
from runs.llm import scripted
from runs.llm.types import Answer, Request, Usage
from runs.models import Checkpoint, Effect, Event, LiveText, Run
from runs.tools import policy
from runs.tools.policy import Rule, Verdict
from runs.tools.registry import ToolContext, ToolError
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import Hand, eventually, status_of, ticket_of

Start = Callable[..., Run]
Work = Callable[[], int]
AddTool = Callable[..., Any]

ONE_TOOL_STEP = [
    "run.started", "step.started", "llm.called", "tool.batch.started", "tool.called", "tool.result", "tool.batch.completed",
    "step.completed", "step.started", "llm.called", "step.completed", "run.completed",
]  # fmt: skip


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def of_type(events: list[Event], name: str) -> list[dict[str, Any]]:
    return [event.payload for event in events if event.type == name]


def calls(*names: str, **arguments: Any) -> dict[str, Any]:
    return {
        "tool_calls": [
            {"name": name, "arguments": arguments, "id": f"c{place}_{name}"} for place, name in enumerate(names)
        ]
    }


def effects_of(person: Person, run: Run) -> dict[str, str]:
    with org_scope(person.org):
        return dict(Effect.objects.filter(run=run).order_by("pk").values_list("tool_call_id", "status"))


def checkpoints_of(person: Person, run: Run) -> list[tuple[int, int]]:
    with org_scope(person.org):
        return list(Checkpoint.objects.filter(run=run).order_by("step").values_list("step", "seq"))


def limited(**agent: Any) -> Any:
    """The configuration with other limits."""
    return replace(settings.CONFIG, agent=replace(settings.CONFIG.agent, **agent))


def look(context: ToolContext) -> dict[str, Any]:
    """Look around."""
    return {"seen": "a tree"}


def test_a_run_without_tools_is_five_events_and_one_checkpoint(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice, "do it")

    assert work() == 1

    events = events_of(alice, run)
    assert types(events) == ["run.started", "step.started", "llm.called", "step.completed", "run.completed"]
    assert of_type(events, "step.completed")[0]["resultType"] == "final_answer"
    assert checkpoints_of(alice, run) == [(1, 4)]
    ended = reload(alice, run)
    assert (ended.status, ended.output, ended.attempt) == ("completed", "I have completed the task.", 1)
    assert (ended.prompt_tokens, ended.completion_tokens) == (50, 20)
    assert ticket_of(run) is None


def test_a_step_with_a_tool_is_followed_by_the_answer(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look"), {"text": "A tree."}])

    work()

    events = events_of(alice, run)
    assert types(events) == ONE_TOOL_STEP
    assert [done["resultType"] for done in of_type(events, "step.completed")] == ["tool_call", "final_answer"]
    assert of_type(events, "tool.result")[0]["result"] == {"seen": "a tree"}
    assert (
        of_type(events, "tool.called")[0]["tool_call_id"]
        == of_type(events, "tool.result")[0]["tool_call_id"]
        == "c0_look"
    )
    assert [step for step, _ in checkpoints_of(alice, run)] == [1, 2]
    assert effects_of(alice, run) == {"c0_look": "done"}


def test_a_checkpoint_stands_for_each_completed_step(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look"), calls("look"), {"text": "Done."}])

    work()

    completed = [(event.step, event.seq) for event in events_of(alice, run) if event.type == "step.completed"]
    assert checkpoints_of(alice, run) == completed


def test_every_event_has_the_public_envelope(alice: Person, start_run: Start, work: Work, add_tool: AddTool) -> None:
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look"), {"text": "Done."}], session_key="s_envelope", agent_id="scout")

    work()

    ended = reload(alice, run)
    envelopes = [event.envelope(ended) for event in events_of(alice, run)]
    assert [one["seq"] for one in envelopes] == list(range(1, len(envelopes) + 1))
    assert {one["agent_id"] for one in envelopes} == {"scout"}
    assert {one["session_key"] for one in envelopes} == {"s_envelope"}
    assert {one["parent_span_id"] for one in envelopes} == {ended.root_span_id}
    spans = {one["span_id"] for one in envelopes}
    assert len(spans) == len(envelopes)
    assert ended.root_span_id not in spans
    assert [one["step_id"] for one in envelopes] == ["step_0000"] + ["step_0001"] * 7 + ["step_0002"] * 4


def test_zero_steps_allowed_fails_and_does_not_hang(alice: Person, start_run: Start, work: Work, settings: Any) -> None:
    settings.CONFIG = limited(max_steps=0)
    run = start_run(alice)

    work()

    events = events_of(alice, run)
    assert types(events) == ["run.started", "run.failed"]
    assert events[-1].payload["error"] == {"code": "MAX_STEPS_REACHED", "message": "Max steps (0) reached"}
    assert status_of(alice, run) == "failed"


def test_a_model_that_never_stops_calling_tools_is_stopped(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool, settings: Any
) -> None:
    add_tool(look, recovery="pure")
    settings.CONFIG = limited(max_steps=1)
    run = start_run(alice, steps=[calls("look")] * 3)

    work()

    events = events_of(alice, run)
    assert events[-1].payload["error"]["message"] == "Max steps (1) reached"
    assert "run.completed" not in types(events)
    assert types(events).count("step.started") == 1


def test_a_model_that_fails_ends_the_run_with_its_message(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice, steps=[{"error": "LLM_BAD_REQUEST", "message": "No such deployment."}])

    work()

    events = events_of(alice, run)
    assert types(events) == ["run.started", "step.started", "run.failed"]
    assert events[-1].payload["error"] == {"code": "LLM_BAD_REQUEST", "message": "No such deployment."}
    assert reload(alice, run).error == {"code": "LLM_BAD_REQUEST", "message": "No such deployment."}
    assert checkpoints_of(alice, run) == []


def test_a_retry_is_an_event_and_the_step_stays_the_same(alice: Person, start_run: Start, work: Work) -> None:
    scripted.play("fails-once", {"error": "LLM_RATE_LIMITED", "retryable": True, "retry_after": 0}, {"text": "Now."})
    run = start_run(alice, llm_config={"provider": "scripted", "model": "fails-once"})

    work()

    events = events_of(alice, run)
    assert types(events) == [
        "run.started",
        "step.started",
        "step.retried",
        "llm.called",
        "step.completed",
        "run.completed",
    ]
    assert of_type(events, "step.retried")[0]["reason"] == "LLM_RATE_LIMITED"


def test_a_provider_without_a_key_fails_at_once(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = start_run(alice, llm_config={"provider": "openai", "model": "gpt-5"})

    work()

    failed = events_of(alice, run)[-1]
    assert (failed.type, failed.payload["error"]["code"]) == ("run.failed", "LLM_NOT_CONFIGURED")
    assert status_of(alice, run) == "failed"


def test_calls_that_can_not_run_are_answered_to_the_model(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erase(context: ToolContext, path: str) -> dict[str, Any]:
        """Erase a disk."""
        raise AssertionError("policy should have refused")

    def measure(context: ToolContext, depth: int) -> dict[str, Any]:
        """Measure something."""
        raise AssertionError("its arguments are wrong")

    add_tool(look, recovery="pure")
    add_tool(erase)
    refuse = Rule(
        name="test.deny", applies=lambda call: call.tool.name == "erase", verdict=Verdict.DENY, reason="no {tool}"
    )
    monkeypatch.setattr(policy, "RULES", (refuse, *policy.RULES))
    add_tool(measure)
    asked = {
        "tool_calls": [
            {"name": "no_such_tool", "id": "a"},
            {"name": "measure", "id": "b", "arguments": '{"depth": '},
            {"name": "measure", "id": "c", "arguments": {"depth": "deep"}},
            {"name": "erase", "id": "d", "arguments": {"path": "/"}},
            {"name": "look", "id": "e"},
        ]
    }
    heard = listen(monkeypatch)
    run = start_run(alice, steps=[asked, {"text": "I see."}])

    work()

    events = events_of(alice, run)
    codes = {result["tool_call_id"]: result.get("error", {}).get("code") for result in of_type(events, "tool.result")}
    assert codes == {
        "a": "TOOL_NOT_FOUND",
        "b": "INVALID_ARGUMENTS",
        "c": "INVALID_ARGUMENTS",
        "d": "BLOCKED",
        "e": None,
    }
    assert [one["tool_call_id"] for one in of_type(events, "tool.blocked")] == ["d"]
    assert [one["tool_call_id"] for one in of_type(events, "tool.called")] == ["a", "b", "c", "e"]
    assert of_type(events, "tool.batch.completed")[0]["failure_count"] == 4
    assert effects_of(alice, run) == {"e": "done"}
    replies = [message["content"] for message in heard[1].messages if message["role"] == "tool"]
    assert [reply.split(":")[0] for reply in replies] == ["Error"] * 4 + ['{"seen"']
    assert status_of(alice, run) == "completed"


def listen(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Hear what the scripted model is asked."""
    heard: list[Request] = []
    original = scripted.ScriptedModel.stream

    def stream(self: scripted.ScriptedModel, request: Request) -> Any:
        heard.append(request)
        return original(self, request)

    monkeypatch.setattr(scripted.ScriptedModel, "stream", stream)
    return heard


def test_safe_calls_run_side_by_side_then_the_others_one_by_one(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    together = threading.Barrier(2, timeout=5)
    order: list[str] = []

    def meet(context: ToolContext, name: str) -> dict[str, Any]:
        """Wait for the other one."""
        together.wait()
        return {"name": name}

    def change(context: ToolContext, name: str) -> dict[str, Any]:
        """Change something."""
        order.append(name)
        return {"name": name}

    add_tool(meet, recovery="pure")
    add_tool(change, mutating=True, recovery="keyed")
    named = [("change", "first"), ("meet", "left"), ("change", "second"), ("meet", "right")]
    asked = {"tool_calls": [{"name": tool, "id": name, "arguments": {"name": name}} for tool, name in named]}
    run = start_run(alice, steps=[asked, {"text": "Done."}])

    work()

    events = events_of(alice, run)
    assert order == ["first", "second"]
    assert [result["result"]["name"] for result in of_type(events, "tool.result")] == [
        "first",
        "left",
        "second",
        "right",
    ]
    assert of_type(events, "tool.batch.started")[0]["strategy"] == "parallel"
    assert status_of(alice, run) == "completed"


def test_more_safe_calls_than_run_at_once_are_all_carried_out(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls(*["look"] * 16), {"text": "Done."}])

    work()

    assert of_type(events_of(alice, run), "tool.batch.completed")[0]["success_count"] == 16


def test_a_tool_that_fails_or_breaks_does_not_end_the_run(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    def refuse(context: ToolContext) -> dict[str, Any]:
        """Refuse."""
        raise ToolError("Not on a Sunday")

    def break_down(context: ToolContext) -> dict[str, Any]:
        """Break."""
        raise ZeroDivisionError("a secret detail")

    add_tool(refuse, recovery="pure")
    add_tool(break_down, recovery="pure")
    run = start_run(alice, steps=[calls("refuse", "break_down"), {"text": "Oh."}])

    work()

    messages = [result["error"]["message"] for result in of_type(events_of(alice, run), "tool.result")]
    assert messages == ["Not on a Sunday", "break_down failed with an internal error"]
    assert status_of(alice, run) == "completed"


def test_a_safe_tool_that_takes_too_long_is_given_up(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    def dawdle(context: ToolContext) -> dict[str, Any]:
        """Take long."""
        context.stop.wait(5)
        return {}

    add_tool(dawdle, recovery="pure", timeout=0.3)
    run = start_run(alice, steps=[calls("dawdle"), {"text": "Never mind."}])

    work()

    assert of_type(events_of(alice, run), "tool.result")[0]["error"]["code"] == "TOOL_TIMEOUT"
    assert status_of(alice, run) == "completed"


def test_an_unsure_tool_that_takes_too_long_is_put_to_a_person(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    def dawdle(context: ToolContext) -> dict[str, Any]:
        """Take long."""
        context.stop.wait(5)
        return {}

    def order(context: ToolContext) -> dict[str, Any]:
        """Order something."""
        return {"ordered": 1}

    add_tool(dawdle, recovery="unsure", timeout=0.3)
    add_tool(order, recovery="unsure")
    run = start_run(alice, steps=[calls("dawdle", "order"), {"text": "Never mind."}])

    work()

    events = events_of(alice, run)
    assert (events[-1].type, events[-1].payload["reason"]) == ("run.waiting", "effect_in_doubt")
    assert effects_of(alice, run) == {"c0_dawdle": "in_doubt", "c1_order": "done"}
    assert [result["tool_call_id"] for result in of_type(events, "tool.result")] == ["c1_order"]
    ticket = ticket_of(run)
    assert ticket is not None
    assert ticket.available_at is None
    assert status_of(alice, run) == "waiting"


def test_what_a_model_says_is_stored_whatever_it_holds(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Babbler:
        def stream(self, request: Request) -> Any:
            yield "nul \x00 half \ud800"
            usage = Usage(1, 1, cost=Decimal(0))
            yield Answer("nul \x00 half \ud800", (), usage, model="babbler", finish_reason="stop")

    monkeypatch.setattr("runs.llm.ask.resolve", lambda spec: Babbler())
    run = start_run(alice)

    work()

    assert reload(alice, run).output == "nul \ufffd half \ufffd"
    assert events_of(alice, run)[-1].payload["output"] == "nul \ufffd half \ufffd"


def test_live_text_is_gone_when_the_run_has_ended(alice: Person, start_run: Start, hire: Callable[[], Hand]) -> None:
    run = start_run(alice, steps=[{"text": "half an answer", "hold": "live"}])
    hand = hire()
    scripted.wait_held("live")
    with org_scope(alice.org):
        eventually(LiveText.objects.filter(run=run).exclude(text="").exists)

        lifecycle.cancel_run(alice.scope, run.pk, at=run.created_at)
        hand.join()

        assert not LiveText.objects.filter(run=run).exists()


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_tokens_per_run": 100}, "TOKEN_LIMIT_REACHED"),
        ({"max_cost_per_run": Decimal("0.5")}, "COST_LIMIT_REACHED"),
    ],
)
def test_a_run_that_has_used_up_its_share_is_refused_more(
    alice: Person,
    start_run: Start,
    work: Work,
    add_tool: AddTool,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    limit: Any,
    code: str,
) -> None:
    settings.CONFIG = limited(**limit)
    original = scripted.Performance._answer

    def dear(self: scripted.Performance) -> Answer:
        answer = original(self)
        return replace(answer, usage=replace(answer.usage, cost=Decimal("0.30")))

    monkeypatch.setattr(scripted.Performance, "_answer", dear)
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look")] * 5)

    work()

    events = events_of(alice, run)
    assert events[-1].payload["error"]["code"] == code
    assert types(events).count("llm.called") == 2


def test_a_run_whose_person_has_left_does_not_start(alice: Person, bob: Person, start_run: Start, work: Work) -> None:
    run = start_run(bob)
    bob.user.is_active = False
    bob.user.save(update_fields=["is_active"])
    try:
        work()
    finally:
        bob.user.is_active = True
        bob.user.save(update_fields=["is_active"])

    assert events_of(bob, run)[-1].payload["error"]["code"] == "FORBIDDEN"


def test_a_bug_ends_its_run_and_not_the_worker(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fine = start_run(alice, session_key="s_bug"), start_run(alice, session_key="s_fine")
    original = transactions.finish

    def finish(work: Any, answer: Any) -> Any:
        if work.run.pk == broken.pk:
            raise ZeroDivisionError("a secret detail")
        return original(work, answer)

    monkeypatch.setattr(transactions, "finish", finish)

    assert work() == 2

    assert events_of(alice, broken)[-1].payload["error"] == {
        "code": "INTERNAL_ERROR",
        "message": "The run failed with an internal error",
    }
    assert status_of(alice, fine) == "completed"


def test_what_is_said_while_a_tool_works_reaches_the_next_step(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen_in(context: ToolContext) -> dict[str, Any]:
        """Meanwhile somebody speaks."""
        lifecycle.inject_message(alice.scope, context.run_id, message="Hurry!")
        return {}

    add_tool(listen_in, recovery="pure")
    heard = listen(monkeypatch)
    run = start_run(alice, "a task", steps=[calls("listen_in"), {"text": "Yes."}])

    work()

    assert [message["role"] for message in heard[1].messages] == ["system", "user", "assistant", "tool", "user"]
    assert heard[1].messages[-1]["content"] == "Hurry!"
    assert status_of(alice, run) == "completed"


def test_what_is_said_during_the_final_answer_is_answered_too(
    alice: Person, start_run: Start, hire: Callable[[], Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(monkeypatch)
    run = start_run(alice, "a task", steps=[{"text": "Four.", "hold": "final"}, {"text": "Five."}])
    hand = hire()
    scripted.wait_held("final")
    with org_scope(alice.org):
        lifecycle.inject_message(alice.scope, run.pk, message="And plus one?")

    scripted.release("final")
    hand.join()

    events = events_of(alice, run)
    assert [done["resultType"] for done in of_type(events, "step.completed")] == ["continue", "final_answer"]
    said = [(message["role"], message["content"]) for message in heard[1].messages[1:]]
    assert said == [("user", "a task"), ("assistant", "Four."), ("user", "And plus one?")]
    assert reload(alice, run).output == "Five."


@pytest.mark.parametrize("limit", [{"max_steps": 1}, {"max_tokens": 5}], ids=["steps", "tokens"])
def test_a_final_answer_stands_although_somebody_spoke_when_nothing_more_is_allowed(
    alice: Person, start_run: Start, hire: Callable[[], Hand], limit: dict[str, int]
) -> None:
    run = start_run(alice, "a task", steps=[{"text": "Four.", "hold": "last"}])
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(config=run.config | limit)
    hand = hire()
    scripted.wait_held("last")
    with org_scope(alice.org):
        lifecycle.inject_message(alice.scope, run.pk, message="And plus one?")

    scripted.release("last")
    hand.join()

    ended = reload(alice, run)
    assert (ended.status, ended.output) == ("completed", "Four.")
    [warning] = of_type(events_of(alice, run), "run.warning")
    assert warning["code"] == "MESSAGE_UNANSWERED"


def test_a_run_remembers_what_its_session_completed_and_nothing_else(
    alice: Person, bob: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(monkeypatch)
    start_run(alice, "one", steps=[{"text": "First."}], session_key="s_memory")
    start_run(alice, "two", steps=[{"error": "LLM_BAD_REQUEST"}], session_key="s_memory")
    start_run(alice, "elsewhere", steps=[{"text": "No."}], session_key="s_other")
    start_run(bob, "bob's", steps=[{"text": "No."}], session_key="s_memory")
    work()

    start_run(alice, "three", steps=[{"text": "never asked"}, {"text": "Third."}], session_key="s_memory")
    start_run(alice, "four", steps=[{"text": "never asked"}], session_key="s_memory")
    work()

    said = next(request.messages for request in heard if request.messages[-1]["content"] == "three")
    assert [message["content"] for message in said[1:]] == ["one", "First.", "three"]
