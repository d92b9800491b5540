"""The chat with teams: whom a task is given to, and how a team's turn reads."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from openintern.tenancy.scope import org_scope
from runs.events import Draft, EventType
from runs.models import Run
from runs.tools.registry import ToolContext
from teams.models import Group, Role
from tests.conftest import Person
from tests.pages.test_lanes import LEAD, SCOUT, begun, failed, said, write
from tests.teams.rosters import make_team, start_team

STEPS: dict[str, Any] = {"Scout": [{"text": "8080"}], "Editor": [{"text": "Use 8080."}]}


@pytest.fixture
def desk(alice: Person) -> Group:
    """A team of Alice's organisation: a scout, and an editor who leads."""
    return make_team(alice, lead="Editor", scripts=STEPS)


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (response.status_code, path)
    return response.content.decode()


def chosen(shown: str) -> list[str]:
    return re.findall(r'<option value="([^"]*)" selected>', shown)


def test_a_task_is_given_to_a_team_by_a_plain_form_and_the_conversation_remembers_it(
    alice: Person, desk: Group, work: Any
) -> None:
    client = alice.signed_in()
    assert f'<option value="group:{desk.pk}">{desk.name}</option>' in page(client, "/")

    client.post("/chat/s_desk", {"input": "Which port?", "agent_id": f"group:{desk.pk}"})
    work()

    with org_scope(alice.org):
        run = Run.objects.get(session__key="s_desk")
    shown = page(client, "/chat/s_desk")
    assert re.search(r"<b dir=\"auto\">Scout \w+</b> 8080", shown)
    assert (run.group_id, run.status, run.output) == (desk.pk, "completed", "Use 8080.")
    assert chosen(shown) == [f"group:{desk.pk}"]
    assert f"{desk.name} · Editor" in shown


def test_a_settled_turn_tells_who_worked_and_what_was_said(alice: Person, desk: Group, start_run: Any) -> None:
    run = start_run(alice, session_key="s_told", group_id=desk.pk, llm_config=None)
    ask: Draft = said(EventType.MESSAGE_TASK, LEAD, to=SCOUT, toRole="Scout", text="Look <b>again</b>")
    write(alice, run, begun(SCOUT), failed(SCOUT, "The model is away", again=False), begun(LEAD), ask)

    shown = page(alice.signed_in(), f"/turns/{run.pk}")
    live = page(alice.signed_in(), "/chat/s_told")

    assert "data-speaker" in live
    assert shown.index("Scout</b>") < shown.index("The model is away") < shown.index("Editor</b>")
    assert "→ Scout" in shown
    assert "Look &lt;b&gt;again" in shown


def test_a_role_is_chosen_in_the_same_place(alice: Person) -> None:
    with org_scope(alice.org):
        role = Role.objects.create(name="Chat clerk", system_prompt="You are the clerk.")
    client = alice.signed_in()

    client.post("/chat/s_clerk_chat", {"input": "x", "agent_id": role.pk})

    with org_scope(alice.org):
        assert Run.objects.get(session__key="s_clerk_chat").config["role"]["name"] == "Chat clerk"
    assert chosen(page(client, "/chat/s_clerk_chat")) == [role.pk]
    assert chosen(page(client, f"/?agent={role.pk}")) == [role.pk]


@pytest.mark.parametrize("agent_id", ["group:grp_never", "role_never", "agent_never"])
def test_nobody_gives_a_task_to_whom_there_is_not(alice: Person, agent_id: str) -> None:
    assert alice.signed_in().post("/chat/s_none", {"input": "x", "agent_id": agent_id}).status_code in {400, 404}


def test_charlie_is_offered_no_team_of_acmes_and_can_give_it_nothing(charlie: Person, desk: Group) -> None:
    client = charlie.signed_in()

    assert desk.pk not in page(client, "/")
    assert client.post("/chat/s_theirs", {"input": "x", "agent_id": f"group:{desk.pk}"}).status_code == 404


def test_members_that_work_at_once_each_have_a_lane_from_the_real_log(alice: Person, work: Any) -> None:
    scripts: dict[str, Any] = {"Scout": [{"text": "8080"}], "Critic": [{"text": "Sure?"}], **STEPS}
    team = make_team(alice, lead="Editor", scripts=scripts, mode="parallel")
    run = start_team(alice, team, "Which port?")
    work()
    client = alice.signed_in()

    shown = page(client, f"/trace/{run.pk}")
    turn = page(client, f"/turns/{run.pk}")

    with org_scope(alice.org):
        parts = list(Run.objects.filter(parent=run.pk).values_list("pk", flat=True))
    assert len(parts) == 2
    for part in parts:
        assert f'href="/trace/{part}"' in shown
        assert f'href="/trace/{part}"' in turn
    assert shown.count('class="lane-turn completed"') == 3
    assert "Work was given to" not in shown
    assert "after " in shown


def test_what_a_member_asks_in_its_own_run_is_asked_where_the_team_is_watched(
    alice: Person, work: Any, add_tool: Any
) -> None:
    def send(context: ToolContext, to: str) -> dict[str, Any]:
        """Send a letter."""
        return {"sent": to}

    add_tool(send, risk="high")
    asking: list[dict[str, Any]] = [
        {"tool_calls": [{"name": "send", "arguments": {"to": "ops@acme"}}]}, {"text": "Sent."},
    ]  # fmt: skip
    team = make_team(alice, lead="Editor", scripts={"Clerk": asking, **STEPS}, mode="parallel")
    run = start_team(alice, team, "Which port?")
    work()
    client = alice.signed_in()

    for path in (f"/trace/{run.pk}", f"/turns/{run.pk}"):
        shown = page(client, path)
        assert "ops@acme" in shown
        assert re.search(r"alice · Clerk \w+ ·", shown)
    [card] = set(re.findall(r'action="(/runs/[^"]+/approvals/[^"]+)"', page(client, f"/trace/{run.pk}")))
    client.post(card, {"verdict": "approve:call", "next": f"/trace/{run.pk}"})
    work()

    assert "Use 8080." in page(client, f"/turns/{run.pk}")


def test_what_is_asked_far_below_is_asked_where_the_first_run_is_watched(
    alice: Person, work: Any, add_tool: Any, start_run: Any
) -> None:
    """An agent gives work to a team, whose clerk gives it to another one, whose clerk asks."""

    def send(context: ToolContext, to: str) -> dict[str, Any]:
        """Send a letter."""
        return {"sent": to}

    add_tool(send, risk="high")
    asking: list[dict[str, Any]] = [
        {"tool_calls": [{"name": "send", "arguments": {"to": "ops@acme"}}]}, {"text": "Sent."},
    ]  # fmt: skip
    lowest = make_team(alice, lead="Clerk", scripts={"Clerk": asking})
    middle = make_team(alice, lead="Clerk", scripts={"Clerk": [hand_to(lowest, "Write to them"), {"text": "Asked."}]})
    run = start_run(alice, "Who knows?", steps=[hand_to(middle, "Find out who knows"), {"text": "Ops knows."}])
    work()
    client = alice.signed_in()
    with org_scope(alice.org):
        asked_in = Run.objects.get(parent__parent=run).pk

    for path in (f"/trace/{run.pk}", f"/turns/{run.pk}", f"/trace/{asked_in}"):
        shown = page(client, path)
        assert "ops@acme" in shown
        assert re.search(r"alice · Clerk \w+ ·", shown)
        assert (f'href="/trace/{asked_in}" dir="auto">Write to them</a>' in shown) == (asked_in not in path)
    [card] = set(re.findall(r'action="(/runs/[^"]+/approvals/[^"]+)"', page(client, f"/turns/{run.pk}")))
    client.post(card, {"verdict": "approve:call", "next": f"/trace/{run.pk}"})
    work()

    assert "Ops knows." in page(client, f"/turns/{run.pk}")


def hand_to(group: Group, goal: str) -> dict[str, Any]:
    """A step that gives work to a team."""
    return {"tool_calls": [{"name": "delegate_to_group", "arguments": {"group_id": group.pk, "goal": goal}}]}
