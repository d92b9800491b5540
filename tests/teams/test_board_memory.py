"""What a team's run leaves on its board, what members are reminded of, and what they never see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from memory import search
from memory.forgetting import forget
from memory.models import Memory, Trust
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs.engine import transactions
from runs.models import Run
from runs.queue import tickets
from teams import groups
from teams.models import BoardEntry, Group
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import crash_in, hire
from tests.teams.rosters import make_team, of_type, start_team

__all__ = ["crash_in", "hire"]

Work = Callable[[], int]
DECIDED: dict[str, Any] = {
    "scout": [
        {"tool_calls": [{"name": "post_evidence", "arguments": {"text": "Granite cracks in frost"}}]},
        {"text": "Looked."},
    ],
    "chief": [
        {"tool_calls": [{"name": "decide", "arguments": {"decision": "Use basalt", "next_actions": ["Order basalt"]}}]},
        {"text": "Basalt it is."},
    ],
}
SPOKEN: dict[str, Any] = {"scout": [{"text": "Looked."}], "chief": [{"text": "Use basalt."}]}


@pytest.fixture(autouse=True)
def nothing_else_remembered(alice: Person) -> None:
    """What other tests have left to Alice is out of the way."""
    with org_scope(alice.org):
        forget(list(Memory.objects.filter(shelf__user=alice.user, forgotten_at=None)), at=timezone.now())


@pytest.fixture(autouse=True)
def reminding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are reminded of what may help."""
    memory = replace(settings.CONFIG.memory, recalled=6)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, memory=memory))


def calling(name: str, **arguments: Any) -> list[dict[str, Any]]:
    return [{"tool_calls": [{"name": name, "arguments": arguments}]}, {"text": "Done."}]


def entries_of(person: Person, group: Group) -> list[BoardEntry]:
    with org_scope(person.org):
        return list(BoardEntry.objects.filter(group=group).order_by("kind"))


def memories_of(person: Person, **owner: Any) -> list[Memory]:
    with org_scope(person.org):
        everything: Any = Memory.objects
        return list(everything.of(Owner(**owner)).current().select_related("shelf").order_by("created_at"))


def results(person: Person, run: Run, tool: str) -> list[dict[str, Any]]:
    told = of_type(events_of(person, run), "tool.result")
    return [event.payload for event in told if event.payload["toolName"] == tool]


def test_what_a_team_decides_stands_on_its_board_with_where_it_comes_from(alice: Person, work: Work) -> None:
    group = make_team(alice, lead="chief", scripts=DECIDED)
    run = start_team(alice, group)

    work()

    decision, evidence, todo = entries_of(alice, group)
    assert (decision.text, evidence.text, todo.text) == ("Use basalt", "Granite cracks in frost", "Order basalt")
    events = events_of(alice, run)
    [decided] = of_type(events, "message.decision")
    [shown] = of_type(events, "message.evidence")
    assert (decision.event_seq, evidence.event_seq, todo.event_seq) == (decided.seq, shown.seq, decided.seq)
    assert reload(alice, run).output == "Basalt it is."
    kept = {memory.source_key: (memory.run_id, memory.event_seq) for memory in memories_of(alice, board=group.pk)}
    assert kept == {f"entry:{one.pk}": (run.pk, one.event_seq) for one in (decision, evidence, todo)}


def test_a_decision_that_the_lead_only_says_is_put_down_once(alice: Person, work: Work) -> None:
    group = make_team(alice, lead="chief", scripts=SPOKEN)
    run = start_team(alice, group)

    work()

    [decision] = entries_of(alice, group)
    [event] = of_type(events_of(alice, run), "message.decision")
    assert (decision.kind, decision.text, decision.event_seq) == ("decision", "Use basalt.", event.seq)
    assert decision.role_name.startswith("chief")
    [memory] = memories_of(alice, board=group.pk)
    assert (memory.run_id, memory.event_seq) == (run.pk, event.seq)


@pytest.mark.parametrize("scripts", [DECIDED, SPOKEN], ids=["by a tool", "in words"])
@pytest.mark.parametrize(
    ("where", "name", "after"),
    [
        (transactions, "finish_step", False),
        (transactions, "finish", False),
        (transactions.endings, "keep_what_stays", True),
        (tickets, "close", True),
        (transactions, "finish", True),
    ],
)
def test_a_crash_anywhere_leaves_one_decision_and_one_memory_of_it(
    alice: Person, work: Work, crash_in: Callable[..., None], scripts: Any, where: Any, name: str, after: bool
) -> None:  # fmt: skip
    group = make_team(alice, lead="chief", scripts=scripts)
    run = start_team(alice, group)
    if name == "finish_step" and scripts is SPOKEN:
        pytest.skip("no member calls a tool")

    crash_in(where, name, after=after)
    work()

    assert reload(alice, run).status == "completed"
    assert [one.kind for one in entries_of(alice, group)].count("decision") == 1
    assert sum("Decision" in memory.text for memory in memories_of(alice, board=group.pk)) == 1
    assert len(of_type(events_of(alice, run), "message.decision")) == 1


def test_a_member_that_was_taken_over_decides_nothing(alice: Person, work: Work) -> None:
    scripts = {"scout": calling("decide", decision="Burn it all"), "chief": [{"text": "Use basalt."}]}
    group = make_team(alice, lead="chief", scripts=scripts)
    run = start_team(alice, group)

    work()

    assert results(alice, run, "decide")[0]["error"]["code"] == "BLOCKED"
    assert [one.text for one in entries_of(alice, group)] == ["Use basalt."]


def test_members_are_reminded_of_their_board_and_of_no_other(alice: Person, work: Work) -> None:
    word = f"quartz{random_text(6)}".lower()
    mine, other = (make_team(alice, lead="chief", scripts=SPOKEN) for _ in range(2))
    with org_scope(alice.org):
        for group, text in ((mine, "ours"), (other, "theirs")):
            remember(owner=Owner(board=group.pk), tier="core", text=f"{word} is {text}", origin=Origin())
        remember(owner=Owner.of_user(alice.user), tier="core", text=f"{word} is my own", origin=Origin())
    run = start_team(alice, mine, f"What is {word}?")

    work()

    told = of_type(events_of(alice, run), "memory.recalled")
    assert {hit["text"] for event in told for hit in event.payload["hits"] if word in hit["text"]} == {
        f"{word} is ours"
    }


def test_what_a_member_keeps_for_itself_is_its_roles_alone(alice: Person, bob: Person, work: Work) -> None:
    word = f"feldspar{random_text(6)}".lower()
    note = calling("memory_write", type="episodic", text=f"{word} is soft")
    look = calling("memory_search", query=word)
    group = make_team(alice, lead="chief", scripts={"scout": note, "critic": look, "chief": [{"text": "ok"}]})
    run = start_team(alice, group)

    work()

    scout = run.config["team"]["members"][0]["agent_id"]
    [memory] = memories_of(alice, agent=scout)
    assert memory.text == f"{word} is soft"
    found = results(alice, run, "memory_search")[0]["result"]["results"]
    assert not [hit for hit in found if word in hit["text"]]
    for person in (alice, bob):
        with org_scope(person.org):
            assert not [hit for hit in search.search(person.scope, word).hits if word in hit.text]
    with org_scope(alice.org):
        assert search.search_as_member(alice.scope, word, board=group.pk, agent=scout).hits


def test_a_member_searches_its_board_and_neither_the_person_nor_another_board(alice: Person, work: Work) -> None:
    word = f"mica{random_text(6)}".lower()
    other = make_team(alice, scripts={"scout": calling("post_evidence", text=f"{word} of another board")})
    start_team(alice, other)
    work()
    with org_scope(alice.org):
        remember(owner=Owner.of_user(alice.user), tier="episodic", text=f"{word} of mine", origin=Origin())
    post, look = calling("post_evidence", text=f"{word} of ours"), calling("memory_search", query=word)
    group = make_team(alice, lead="chief", scripts={"scout": post, "critic": look, "chief": [{"text": "ok"}]})
    run = start_team(alice, group)

    work()

    found = results(alice, run, "memory_search")[0]["result"]["results"]
    assert [hit["text"] for hit in found if word in hit["text"]] == [f"Evidence: {word} of ours"]


def test_no_agent_forgets_what_stands_on_the_board(alice: Person, work: Work) -> None:
    group = make_team(alice, scripts={"scout": calling("post_evidence", text="Granite cracks")})
    start_team(alice, group)
    work()
    [memory] = memories_of(alice, board=group.pk)
    forget = {"tool_calls": [{"name": "memory_forget", "arguments": {"id": str(memory.pk)}}]}
    run = start_again(alice, group, [forget, {"text": "ok"}])

    work()

    assert "stands on the team's board" in results(alice, run, "memory_forget")[0]["error"]["message"]
    assert len(memories_of(alice, board=group.pk)) == 1


def start_again(person: Person, group: Group, steps: list[dict[str, Any]]) -> Run:
    """Let the group's only member play another script."""
    with org_scope(person.org):
        role = group.members.get().role
        role.model = f"scripted/{json.dumps(steps)}"
        role.save(update_fields=["model"])
    return start_team(person, group)


def test_what_was_read_from_outside_comes_back_as_from_outside(alice: Person, work: Work) -> None:
    group = make_team(alice, lead="chief", scripts=SPOKEN)
    run = start_team(alice, group)
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(taint={"source": "tool", "about": "fetch"})

    work()

    [memory] = memories_of(alice, board=group.pk)
    assert memory.trust == Trust.OUTSIDE


def test_a_removed_group_takes_its_board_and_its_memories_along(alice: Person, work: Work) -> None:
    group = make_team(alice, lead="chief", scripts=DECIDED)
    start_team(alice, group)
    work()

    with org_scope(alice.org):
        groups.delete(alice.scope, group.pk)

    assert memories_of(alice, board=group.pk) == []
    assert entries_of(alice, Group(pk=group.pk)) == []
