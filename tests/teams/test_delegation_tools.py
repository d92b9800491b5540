"""What an agent finds of teams, what becomes of the work that it gives to one, and what pages show of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from openintern.ids import random_text
from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.models import Run
from runs.stop import Stop
from runs.tools.registry import ToolContext, ToolError, tools
from teams import groups, members
from teams.models import Group, Role
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_delivery import Workshop
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls, of_type, types
from tests.teams.test_delegating import children_of, plays, results_of

Start = Callable[..., Run]
Work = Callable[[], int]
MakeRole = Callable[..., Role]
MakeGroup = Callable[..., Group]


def staffed(person: Person, group: Group, *roles: Role) -> Group:
    with org_scope(person.org):
        for role in roles:
            members.add(person.scope, group.pk, role_id=role.pk)
        return groups.find(person.scope, group.pk)


@pytest.fixture
def library(alice: Person, make_group: MakeGroup, make_role: MakeRole) -> Group:
    """A group of a reader and a lead, each of whom answers once."""
    reader = make_role(alice, **plays({"text": "Page 7 says so."}))
    lead = make_role(alice, is_lead=True, **plays({"text": "It is so."}))
    group = make_group(alice, name=f"0 {random_text(8)}")  # among the first by name, whatever others have left
    return staffed(alice, group, reader, lead)


def give_to(*given: Group, **arguments: Any) -> dict[str, Any]:
    calls = [
        {"name": "delegate_to_group", "arguments": {"group_id": group.pk, "goal": "Is it so?", **arguments}, "id": f"c{n}"}
        for n, group in enumerate(given)
    ]  # fmt: skip
    return {"tool_calls": calls}


def listed_by(person: Person) -> list[str]:
    with org_scope(person.org):
        context = ToolContext(
            scope=person.scope, run_id="r", tool_call_id="c",
            idempotency_key="k", workspace=None, stop=Stop(),  # type: ignore[arg-type]
        )  # fmt: skip
        told = tools()["list_available_groups"].call(context, {})
    assert isinstance(told, dict)
    return [group["group_id"] for group in told["groups"]]


def test_a_team_answers_with_one_worker(alice: Person, start_run: Start, library: Group, work: Work) -> None:
    """Acceptance: delegation completes with one worker process and returns the child's output."""
    run = start_run(alice, steps=[give_to(library, context="We ask for a friend."), {"text": "Yes."}])

    assert work() == 3

    [child] = children_of(alice, run)
    assert (child.group_id, child.agent_id, child.output) == (library.pk, f"group:{library.pk}", "It is so.")
    assert child.input == "Is it so?\n\nWhat you should know for this:\nWe ask for a friend."
    assert types(events_of(alice, child)).count("member.completed") == 2
    assert results_of(alice, run)[0]["result"]["output"] == "It is so."
    assert reload(alice, run).output == "Yes."
    for one in (run, child):
        assert_whole(alice, one)


def test_a_member_of_a_team_gives_work_to_another_team(
    alice: Person, start_run: Start, library: Group, work: Work, make_role: MakeRole, make_group: MakeGroup
) -> None:
    """The turn waits, and goes on as the same turn; nobody works twice."""
    asking = make_role(alice, **plays(give_to(library), {"text": "The library says so."}))
    lead = make_role(alice, is_lead=True, **plays({"text": "Settled."}))
    office = staffed(alice, make_group(alice), asking, lead)
    run = start_run(alice, group_id=office.pk, llm_config=None)

    work()

    events = events_of(alice, run)
    assert reload(alice, run).output == "Settled."
    assert [told["role"] for told in of_type(events, "member.started")] == [asking.name, lead.name]
    asked = next(event for event in events if event.type == "member.started").payload["agentId"]
    assert next(event for event in events if event.type == "tool.result").agent_id == asked
    assert_whole(alice, run)


def test_a_team_does_not_give_work_to_itself(
    alice: Person, start_run: Start, work: Work, make_role: MakeRole, make_group: MakeGroup
) -> None:
    group = make_group(alice)
    asking = make_role(alice, **plays(give_to(group), {"text": "Well."}))
    staffed(alice, group, asking)
    run = start_run(alice, group_id=group.pk, llm_config=None)

    work()

    assert "in this team yourself" in results_of(alice, run)[0]["error"]["message"]
    assert status_of(alice, run) == "completed"


def test_groups_with_members_are_listed_and_no_others(
    alice: Person, charlie: Person, library: Group, make_group: MakeGroup
) -> None:
    empty = make_group(alice)

    listed = listed_by(alice)

    assert library.pk in listed
    assert empty.pk not in listed
    assert library.pk not in listed_by(charlie)


def test_a_group_of_another_project_is_not_there(
    alice: Person, bob: Person, start_run: Start, make_group: MakeGroup, work: Work,
    project_of: Callable[..., Project],
) -> None:  # fmt: skip
    """Alice sees every group, but what is asked without the project doesn't reach into it."""
    theirs = make_group(alice, size=1, project=project_of(alice, alice))
    run = start_run(alice, steps=[give_to(theirs), {"text": "Well."}])

    work()

    assert theirs.pk not in listed_by(alice)
    assert "no such team" in results_of(alice, run)[0]["error"]["message"]
    assert children_of(alice, run) == []


def test_a_group_of_another_organisation_is_not_there(
    alice: Person, charlie: Person, start_run: Start, library: Group, work: Work
) -> None:
    run = start_run(charlie, steps=[give_to(library), {"text": "Well."}])

    work()

    assert "no such team" in results_of(charlie, run)[0]["error"]["message"]


def test_a_team_may_use_what_it_is_given_and_speak_all_the_same(
    alice: Person, start_run: Start, work: Work, make_role: MakeRole, make_group: MakeGroup
) -> None:
    writing = {"tool_calls": [{"name": "write_file", "arguments": {"path": "a.txt", "content": "x"}, "id": "w"}]}
    posting = {"tool_calls": [{"name": "post_status", "arguments": {"text": "at it"}, "id": "p"}]}
    scribe = make_role(alice, **plays(writing, posting, {"text": "Tried."}))
    group = staffed(alice, make_group(alice), scribe)
    run = start_run(alice, steps=[give_to(group, only_tools=["read_file"]), {"text": "Done."}])

    work()

    [child] = children_of(alice, run)
    results = {told["toolName"]: told["isError"] for told in results_of(alice, child)}
    assert results == {"write_file": True, "post_status": False}


def test_what_one_may_not_use_can_not_be_passed_on(
    alice: Person, start_run: Start, library: Group, work: Work, make_role: MakeRole
) -> None:
    clerk = make_role(
        alice, denied_tools=["write_file"], **plays(give_to(library, only_tools=["write_file"]), {"text": "No."})
    )
    run = start_run(alice, role_id=clerk.pk, llm_config=None)

    work()

    assert "write_file" in results_of(alice, run)[0]["error"]["message"]
    assert children_of(alice, run) == []


def test_a_deleted_group_changes_nothing_in_what_is_under_way(
    alice: Person, start_run: Start, library: Group, work: Work, hire: Callable[[], Any]
) -> None:
    run = start_run(alice, steps=[give_to(library), {"text": "Yes."}])
    hire().join()
    with org_scope(alice.org):
        groups.delete(alice.scope, library.pk)

    work()

    assert reload(alice, run).output == "Yes."


def test_the_people_of_a_run_see_its_children_and_nobody_else(
    alice: Person, charlie: Person, start_run: Start, library: Group, work: Work, client: Any
) -> None:
    run = start_run(alice, steps=[give_to(library), {"text": "Yes."}])
    work()
    [child] = children_of(alice, run)

    def children(person: Person) -> Any:
        return client.get(f"/api/runs/{run.pk}/children", headers={"authorization": f"Bearer {person.api_key}"})

    assert [one["run_id"] for one in children(alice).json()["children"]] == [child.pk]
    assert children(charlie).status_code == 404


def test_a_cancelled_parent_takes_its_team_along(
    alice: Person, start_run: Start, library: Group, work: Work, hire: Callable[[], Any]
) -> None:
    run = start_run(alice, steps=[give_to(library), {"text": "Yes."}])
    hire().join()

    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, run.pk, at=timezone.now())

    assert [status_of(alice, child) for child in children_of(alice, run)] == ["cancelled"]
    assert work() == 0


def test_both_tools_refuse_what_they_can_not_take(alice: Person) -> None:
    with pytest.raises(ToolError):
        tools()["delegate_to_group"].validate({"group_id": "grp_1", "goal": "x" * 8_001})


def page(person: Person, path: str) -> str:
    answer = person.signed_in().get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_waiting_turn_links_to_the_run_that_it_waits_for(
    alice: Person,
    start_run: Callable[..., Run],
    library: Group,
    work: Callable[[], int],
    hire: Callable[[], Any],
) -> None:
    """It is followed live, for it goes on by itself."""
    run = start_run(alice, steps=[give_to(library), {"text": "Yes."}])
    hire().join()
    [child] = children_of(alice, run)

    shown = page(alice, f"/chat/{run.session.key}")

    assert "Waiting for work that was given to others" in shown
    assert shown.count(f'href="/trace/{child.pk}"') == 2  # in the banner and in the line of the call
    assert "data-live" in shown
    work()
    later = page(alice, f"/chat/{run.session.key}")
    assert "Waiting for work that was given to others" not in later
    assert f'href="/trace/{child.pk}"' in later


def test_traces_link_up_and_down(
    alice: Person,
    start_run: Callable[..., Run],
    library: Group,
    work: Callable[[], int],
) -> None:
    run = start_run(alice, "Find it", steps=[give_to(library), {"text": "Yes."}])
    work()
    [child] = children_of(alice, run)

    assert f'href="/trace/{child.pk}"' in page(alice, f"/trace/{run.pk}")
    above = page(alice, f"/trace/{child.pk}")
    assert "Part of another run" in above
    assert f'href="/trace/{run.pk}"' in above


def test_a_run_that_waits_for_a_job_outside_is_live_too(
    alice: Person, start_run: Callable[..., Run], work: Callable[[], int], add_tool: Callable[..., Any]
) -> None:
    add_tool(Workshop().tool(), recovery="keyed", mutating=True, answers_later=True)
    run = start_run(alice, steps=[calls("order"), {"text": "Ordered."}])
    work()

    shown = page(alice, f"/chat/{run.session.key}")

    assert "Waiting for work that was given to others" in shown
    assert "data-live" in shown
