"""The demo model plays each part of a team, so that the whole of it is seen without a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.tenancy.scope import org_scope
from runs.events import EventType
from runs.llm.demo.team.citations import Citation, all_citations, citations
from runs.llm.demo.team.seat import read_seat
from runs.models import Event, Run
from runs.tools.workspace import Workspace
from teams.blueprints.importing import install
from teams.blueprints.templates import template
from teams.models import Group
from teams.orchestrator import telling
from teams.orchestrator.state import Contribution, Request, Sitting, State
from teams.orchestrator.team import PinnedMember, Team
from tests.conftest import Person, events_of, reload
from tests.teams.rosters import make_team, start_team

DEMO: dict[str, Any] = {"provider": "demo", "model": "demo"}
HARBOUR = "# Harbour\n\nThe harbour master is Ines Okoro.\n\nThe crane lifts 40 tonnes.\n"


@pytest.fixture
def team(alice: Person) -> Group:
    """Three members on the demo model, and a file for them to work on."""
    with org_scope(alice.org), Workspace.for_scope(alice.scope) as workspace:
        workspace.write("harbour.md", HARBOUR.encode())
    return make_team(alice, lead="Editor", scripts={"Scout": [], "Critic": [], "Editor": []}, max_rounds=3)


def ask(person: Person, team: Group, text: str, work: Callable[[], int]) -> Run:
    run = start_team(person, team, text, llm_config=DEMO)
    work()
    return reload(person, run)


def said(person: Person, run: Run) -> list[tuple[str, str, dict[str, Any]]]:
    """What was said in the team: who, which kind, what."""
    names = {one["agent_id"]: one["name"].split()[0] for one in run.config["team"]["members"]}
    told = [event for event in events_of(person, run) if event.type.startswith("message.")]
    return [(names[event.agent_id], event.type.partition(".")[2], event.payload) for event in told]


def turns(person: Person, run: Run) -> list[tuple[str, int]]:
    begun = [event.payload for event in events_of(person, run) if event.type == EventType.MEMBER_STARTED]
    return [(one["role"].split()[0], one["round"]) for one in begun]


def test_the_team_finds_checks_and_decides_with_evidence(alice: Person, team: Group, work: Any) -> None:
    run = ask(alice, team, "Who is the harbour master?", work)

    assert run.status == "completed", run.error
    talk = said(alice, run)
    assert turns(alice, run) == [("Scout", 1), ("Critic", 1), ("Editor", 1)]
    assert [(who, kind) for who, kind, _ in talk if kind in {"evidence", "decision"}][::2][0] == ("Scout", "evidence")
    found = next(told for who, kind, told in talk if (who, kind) == ("Scout", "evidence"))
    assert (found["text"], found["source"]) == ("The harbour master is Ines Okoro.", "harbour.md:3")
    assert ("Critic", "evidence") in [(who, kind) for who, kind, _ in talk]
    decided = next(told for _, kind, told in talk if kind == "decision")
    assert "Ines Okoro" in decided["decision"]
    assert found["entryId"] in [one["entryId"] for one in decided["evidence"]]
    assert "harbour.md:3" in (run.output or "")


def test_the_lead_sends_back_once_where_nothing_supports_an_answer(alice: Person, team: Group, work: Any) -> None:
    run = ask(alice, team, "What is the velocity of an unladen swallow?", work)

    tasks = [told for who, kind, told in said(alice, run) if kind == "task"]
    assert run.status == "completed", run.error
    assert len(tasks) == 1
    assert turns(alice, run) == [("Scout", 1), ("Critic", 1), ("Editor", 1), ("Scout", 2), ("Editor", 2)]


def test_it_speaks_the_language_of_the_task(alice: Person, team: Group, work: Any) -> None:
    run = ask(alice, team, "harbour master 是谁？", work)

    decided = next(told for _, kind, told in said(alice, run) if kind == "decision")
    assert "依据" in decided["rationale"]
    assert "演示模型" in (run.output or "")


def test_what_changes_something_is_done_once(alice: Person, team: Group, work: Any) -> None:
    run = ask(alice, team, 'Write "buy rope" to errands.md', work)

    with org_scope(alice.org):
        calls = Event.objects.filter(run=run, type=EventType.TOOL_CALLED, payload__toolName="write_file")
        assert [call.agent_id for call in calls] == [run.config["team"]["members"][0]["agent_id"]]
    assert run.status == "completed", run.error
    assert "errands.md" in (run.output or "")


def test_the_same_task_goes_the_same_way(alice: Person, team: Group, work: Any) -> None:
    first, second = (ask(alice, team, "How much does the crane lift?", work) for _ in range(2))

    assert first.output == second.output
    assert turns(alice, first) == turns(alice, second)


def test_small_talk_needs_no_evidence(alice: Person, team: Group, work: Any) -> None:
    run = ask(alice, team, "Hello!", work)

    assert run.status == "completed", run.error
    assert [kind for _, kind, _ in said(alice, run)] == ["decision"]


@pytest.mark.parametrize("name", ["research", "review", "incident"])
def test_the_teams_that_are_shipped_can_be_seen_without_a_key(alice: Person, name: str, work: Any) -> None:
    with org_scope(alice.org), Workspace.for_scope(alice.scope) as workspace:
        workspace.write("harbour.md", HARBOUR.encode())
        steps = install(alice.scope, template(name), existing="copy")
        team = Group.objects.get(pk=next(step.object_id for step in steps if step.kind == "group"))

    run = ask(alice, team, "Who is the harbour master?", work)

    kinds = {kind for _, kind, _ in said(alice, run)}
    assert run.status == "completed", run.error
    assert {"evidence", "proposal", "decision"} <= kinds
    assert "Ines Okoro" in (run.output or "")


def test_a_brief_is_read_as_the_orchestrator_writes_it() -> None:
    seats = [
        PinnedMember(id=f"m{n}", agent_id=f"agent_{n}", name=name, is_lead=n == 1, config={"tools": ["ask_member"]})
        for n, name in enumerate(["Scout", "Editor"])
    ]
    team = Team(id="g", name="Desk", max_rounds=3, on_member_failure="continue", members=tuple(seats))
    state = State(
        now=Sitting(agent_id="agent_1", round=1, seq=9, step=3, at=None),  # type: ignore[arg-type]
        contributions=(Contribution(agent_id="agent_0", round=1, text="It is 8080 (`a.md:3`)\n\n---\n\n*demo*"),),
        begun={"agent_1": 9},
        requests=(Request(seq=5, by="agent_0", to="agent_1", text="Look at\nb.md"),),
    )
    prompt = telling.membership("Editor", team="Desk", others=[("Scout", False)], leads=True)
    messages = [
        {"role": "system", "content": f"Be brief.\n\n{prompt}\n\nMore."},
        {"role": "user", "content": "Which port?"},
        {"role": "user", "content": telling.brief(team, state, seats[1])},
    ]

    read = read_seat(messages)

    assert read is not None
    seat, turn = read
    assert (seat.name, seat.team, seat.leads, seat.colleagues) == ("Editor", "Desk", True, ("Scout",))
    assert [(one.name, one.text) for one in seat.contributions] == [("Scout", "It is 8080 (`a.md:3`)")]
    assert seat.asked == "Look at\nb.md"
    assert seat.may_send_back
    assert turn.question == "Which port?"


def test_an_agent_alone_has_no_seat() -> None:
    said = 'You are asked: You are Ann in the team "Desk".'

    assert (
        read_seat([{"role": "system", "content": "You are the assistant."}, {"role": "user", "content": said}]) is None
    )


@pytest.mark.parametrize(
    ("body", "cited"),
    [
        ("**8080** — The port is 8080. (`a b.md:3`)\n\nmore", [Citation("**8080** — The port is 8080.", "a b.md:3")]),
        ("One. (`a.md:1`) Two. (`memory mem_1`)", [Citation("One.", "a.md:1"), Citation("Two.", "memory mem_1")]),
        ("In `a.md:3-4` (Ports): the port", [Citation("(Ports): the port", "a.md:3-4")]),
        ("Nothing stands there.", []),
    ],
)
def test_sentences_are_taken_with_their_sources(body: str, cited: list[Citation]) -> None:
    assert citations(body) == cited


def test_what_most_found_comes_first() -> None:
    both = ["A (`a:1`) B (`b:1`)", "B (`b:1`)"]

    assert [one.text for one in all_citations(both)] == ["B", "A"]
