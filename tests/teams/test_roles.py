"""Roles: made and changed by admins, read by members, and kept by runs as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client

from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.models import Run
from runs.tools.registry import ToolContext, tools
from teams import roles
from teams.models import Role
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_engine import calls, of_type

Make = Callable[..., Role]
Start = Callable[..., Run]
Work = Callable[[], int]


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


def put(client: Client, role: Role, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return client.put(f"/api/roles/{role.pk}", body, content_type="application/json", headers=headers or {})


def test_a_role_is_made_read_changed_and_removed(client: Client) -> None:
    told = {
        "name": "Proof-reader  of texts",
        "system_prompt": "You read proofs.",
        "allowed_tools": ["read_file", "memory_*", "read_file"],
        "style_constraints": {"tone": "dry"},
    }

    made = client.post("/api/roles", told, content_type="application/json")
    role = made.json()
    assert (made.status_code, made["ETag"]) == (201, '"1"')
    assert role["id"].startswith("role_")
    assert (role["name"], role["allowed_tools"]) == ("Proof-reader of texts", ["read_file", "memory_*"])
    assert (role["description"], role["denied_tools"], role["is_lead"], role["version"]) == ("", [], False, 1)

    path = f"/api/roles/{role['id']}"
    assert client.get(path).json() == role
    assert client.get("/api/roles").json()["roles"][0] == role
    same = client.put(path, {}, content_type="application/json")
    assert same.json() == role
    changed = client.put(path, {"is_lead": True}, content_type="application/json").json()
    assert (changed["is_lead"], changed["version"], changed["system_prompt"]) == (True, 2, "You read proofs.")
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"name": " "}, "name"),
        ({"system_prompt": ""}, "system_prompt"),
        ({"allowed_tools": ["rm -rf /"]}, "allowed_tools.0"),
        ({"denied_tools": ["x" * 121]}, "denied_tools.0"),
        ({"allowed_tools": "read_file"}, "allowed_tools"),
        ({"model": "openai/gpt 4"}, "model"),
        ({"model": "nobody/knows"}, "model"),
        ({"style_constraints": {"a": "b" * 5000}}, "style_constraints"),
        ({"name": "a\x00b"}, "name"),
    ],
)
def test_what_cannot_be_a_role_is_refused(client: Client, told: dict[str, Any], field: str) -> None:
    body = {"name": "somebody", "system_prompt": "You.", **told}

    answer = client.post("/api/roles", body, content_type="application/json")

    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


def test_two_roles_of_one_name_are_a_conflict(client: Client, alice: Person, make_role: Make) -> None:
    role, other = make_role(alice), make_role(alice)

    assert put(client, other, name=role.name).status_code == 409
    with pytest.raises(OpenInternError) as refused:
        make_role(alice, name=role.name)
    assert refused.value.code == "CONFLICT"


@pytest.mark.parametrize("by", ["etag", "version"])
def test_a_change_on_top_of_an_outdated_role_is_a_conflict(
    client: Client, alice: Person, make_role: Make, by: str
) -> None:
    role = make_role(alice)
    told = {"headers": {"If-Match": '"1"'}} if by == "etag" else {"version": 1}
    assert put(client, role, description="mine", **told).status_code == 200

    late = put(client, role, description="theirs", **told)

    assert (late.status_code, late.json()["error"]["code"]) == (409, "CONFLICT")
    assert client.get(f"/api/roles/{role.pk}").json()["description"] == "mine"


def test_of_many_changes_of_the_same_version_one_wins(alice: Person, make_role: Make) -> None:
    role = make_role(alice)
    outcomes: list[str] = []
    begin = threading.Barrier(6)

    def change(number: int) -> None:
        try:
            begin.wait(10)
            with org_scope(alice.org):
                outcomes.append(str(roles.change(alice.scope, role.pk, version=1, description=str(number)).version))
        except OpenInternError as error:
            outcomes.append(error.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=change, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == ["2", *["CONFLICT"] * 5]


def test_several_are_removed_and_unknown_ones_passed_over(
    client: Client, alice: Person, charlie: Person, make_role: Make
) -> None:
    mine, theirs = make_role(alice), make_role(charlie)

    answer = client.post(
        "/api/roles/batch-delete", {"ids": [mine.pk, theirs.pk, "role_never"]}, content_type="application/json"
    )

    assert answer.json() == {"deleted": 1}
    with org_scope(charlie.org):
        assert Role.objects.filter(pk=theirs.pk).exists()
    empty = client.post("/api/roles/batch-delete", {"ids": []}, content_type="application/json")
    assert empty.status_code == 400


def test_members_read_roles_and_change_none(bob: Person, alice: Person, make_role: Make) -> None:
    role, client = make_role(alice), bob.with_key()

    assert client.get(f"/api/roles/{role.pk}").status_code == 200
    assert put(client, role, name="mine").status_code == 403
    assert client.delete(f"/api/roles/{role.pk}").status_code == 403
    assert client.post("/api/roles", {}, content_type="application/json").status_code == 403


def test_what_is_done_to_a_role_is_in_the_audit(client: Client, alice: Person, make_role: Make) -> None:
    role = make_role(alice)
    put(client, role, denied_tools=["exec_command"])

    entries = AuditEntry.objects.filter(object_id=role.pk).order_by("pk").values_list("action", "details")

    assert list(entries) == [
        ("role.create", {"name": role.name}),
        ("role.change", {"fields": ["denied_tools"], "version": 2}),
    ]


def test_a_run_keeps_the_role_it_began_with(
    alice: Person, client: Client, make_role: Make, start_run: Start, work: Work
) -> None:
    role = make_role(
        alice,
        system_prompt="You keep the harbour's log.",
        denied_tools=["write_file"],
        style_constraints={"tone": "dry"},
    )
    run = start_run(alice, steps=[calls("list_files"), {"text": "Logged."}], role_id=role.pk)
    put(client, role, system_prompt="You are somebody else.", denied_tools=["list_files"])
    client.delete(f"/api/roles/{role.pk}")

    work()

    run = reload(alice, run)
    assert (run.status, run.agent_id) == ("completed", role.pk)
    assert run.config["prompt"].startswith("You keep the harbour's log.\n\nHow you write:\n- tone: dry\n")
    assert run.config["role"] == {"id": role.pk, "name": role.name, "version": 1}
    assert "write_file" not in run.config["tools"]
    assert of_type(events_of(alice, run), "run.started")[0]["config"]["role"]["id"] == role.pk


def test_the_model_of_a_role_is_taken_unless_the_task_names_another(
    alice: Person, make_role: Make, start_run: Start
) -> None:
    role = make_role(alice, model="mock/careful")

    by_role = start_run(alice, role_id=role.pk, llm_config=None)
    by_task = start_run(alice, role_id=role.pk, llm_config={"provider": "mock", "model": "quick"})

    assert by_role.config["model"]["model"] == "careful"
    assert by_task.config["model"]["model"] == "quick"


@pytest.mark.parametrize(
    ("lists", "runs_through", "rule"),
    [
        ({}, True, "default.allow"),
        ({"denied_tools": ["list_*"]}, False, "role.deny"),
        ({"denied_tools": ["list_files"], "allowed_tools": ["list_files"]}, False, "role.deny"),
        ({"allowed_tools": ["read_file"]}, False, "role.allow"),
        ({"allowed_tools": ["list_files"]}, True, "role.allowed"),
        ({"allowed_tools": ["list_*"]}, True, "role.allowed"),
    ],
)
def test_the_lists_of_a_role_decide_and_the_rule_is_stored(
    alice: Person, make_role: Make, start_run: Start, work: Work, lists: dict[str, Any], runs_through: bool, rule: str
) -> None:
    role = make_role(alice, **lists)
    run = start_run(alice, steps=[calls("list_files"), {"text": "Done."}], role_id=role.pk)

    work()

    events = events_of(alice, run)
    (told,) = of_type(events, "tool.called" if runs_through else "tool.blocked")
    assert told["rule"] == rule
    assert of_type(events, "tool.result")[0]["isError"] is not runs_through
    assert ("list_files" in run.config["tools"]) is runs_through


def test_what_delegated_work_may_not_do_its_role_cannot_give_back(
    alice: Person, make_role: Make, start_run: Start, work: Work
) -> None:
    from runs.tools.policy import Lists

    role = make_role(alice, allowed_tools=["list_files", "read_file"])
    delegated = Lists(allowed=("list_files", "memory_*"), denied=("memory_write",))
    run = start_run(
        alice,
        steps=[calls("list_files", "read_file", "memory_write", path="."), {"text": "Done."}],
        role_id=role.pk,
        delegated=delegated,
    )

    work()

    blocked = {told["toolName"]: told["rule"] for told in of_type(events_of(alice, run), "tool.blocked")}
    assert blocked.get("read_file") == "delegated.allow"
    assert {"read_file", "memory_write"}.isdisjoint(run.config["tools"])


def test_a_high_risk_tool_asks_though_the_role_lists_it(
    alice: Person, make_role: Make, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    sent = []

    def send(context: ToolContext) -> dict[str, Any]:
        """Send something."""
        sent.append(1)
        return {}

    add_tool(send, risk="high")
    role = make_role(alice, allowed_tools=["send"])
    run = start_run(alice, steps=[calls("send"), {"text": "Sent."}], role_id=role.pk)

    work()

    assert (status_of(alice, run), sent) == ("waiting", [])


def test_the_id_of_a_role_names_that_role_and_no_other_agent(alice: Person, make_role: Make, start_run: Start) -> None:
    role, other = make_role(alice), make_role(alice)

    assert start_run(alice, agent_id=role.pk).config["role"]["id"] == role.pk
    with pytest.raises(OpenInternError, match="another role"):
        start_run(alice, agent_id=role.pk, role_id=other.pk)
    with pytest.raises(OpenInternError) as unknown:
        start_run(alice, agent_id="role_never")
    assert unknown.value.code == "NOT_FOUND"


def test_a_run_cannot_be_given_a_role_of_another_organisation(
    alice: Person, charlie: Person, make_role: Make, start_run: Start
) -> None:
    theirs = make_role(charlie)

    seen, never = (
        alice.with_key().post("/api/runs", {"input": "x", "role_id": role_id}, content_type="application/json")
        for role_id in (theirs.pk, "role_never")
    )

    assert (seen.status_code, seen.json()) == (404, never.json())


def test_the_chat_offers_the_roles_and_goes_on_with_the_last_one(alice: Person, make_role: Make) -> None:
    role, client = make_role(alice), alice.signed_in()
    assert f'<option value="{role.pk}">{role.name}</option>' in client.get("/").content.decode()

    answer = client.post("/chat/s_withrole", {"input": "hello", "agent_id": role.pk}, follow=True)

    page = answer.content.decode()
    assert f'<option value="{role.pk}" selected>' in page
    with org_scope(alice.org):
        assert Run.objects.filter(session__key="s_withrole", agent_id=role.pk).count() == 1


def test_a_run_is_given_a_role_at_the_terminal(alice: Person, make_role: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from openintern.health import Finding
    from runs import checks

    monkeypatch.setattr(checks, "workers", lambda: Finding(True, "ok", "as if one were alive"))
    role, out = make_role(alice, name="Terminal clerk"), StringIO()

    call_command("run", "hello", role=role.name, org=alice.org.slug, user=alice.user.username, stdout=out)

    run_id = out.getvalue().split()[2]
    with org_scope(alice.org):
        assert lifecycle.find_run(alice.scope, run_id).config["role"]["id"] == role.pk


def test_the_stats_of_a_role_count_its_runs(
    alice: Person, client: Client, make_role: Make, start_run: Start, work: Work
) -> None:
    role = make_role(alice)
    start_run(alice, steps=[{"text": "Done."}], role_id=role.pk)
    work()
    start_run(alice, role_id=role.pk)

    assert client.get(f"/api/roles/{role.pk}/stats").json() == {
        "run_count": 2,
        "completed_count": 1,
        "failed_count": 0,
        "group_count": 0,
        "groups": [],
    }


def test_the_admin_picks_tools_from_a_list_and_shows_the_prompt(alice: Person, make_role: Make) -> None:
    role, client = make_role(alice, allowed_tools=["read_file", "mcp__x__*"]), alice.signed_in()
    path = f"/admin/teams/role/{role.pk}/change/"
    page = client.get(path).content.decode()
    assert "You are a careful clerk." in page
    assert all(f'<option value="{name}"' in page for name in [*tools(), "mcp__x__*"])
    form = {
        "name": role.name,
        "system_prompt": "You count boats.",
        "style_constraints": "{}",
        "seen_version": "1",
        "allowed_tools": ["read_file"],
        "denied_tools": ["exec_command"] if "exec_command" in tools() else ["write_file"],
    }

    saved = client.post(path, form)
    late = client.post(path, form | {"system_prompt": "You count gulls."}, follow=True)

    assert saved.status_code == 302
    assert "Somebody has changed this role meanwhile" in late.content.decode()
    with org_scope(alice.org):
        role.refresh_from_db()
    assert (role.system_prompt, role.allowed_tools, role.version) == ("You count boats.", ["read_file"], 2)


def test_a_waiting_run_goes_on_with_the_current_version_when_a_person_says_so(
    alice: Person, client: Client, make_role: Make, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    sent: list[int] = []

    def send(context: ToolContext) -> dict[str, Any]:
        """Send something."""
        sent.append(1)
        return {}

    add_tool(send, risk="high")
    role = make_role(alice)
    run = start_run(alice, steps=[calls("send"), calls("send"), {"text": "Gave up."}], role_id=role.pk)
    work()
    put(client, role, denied_tools=["send"], system_prompt="You send nothing.")
    assert client.get(f"/api/runs/{run.pk}/repin").json() == {"differs_in": ["role", "prompt", "tools", "mandate"]}
    assert "Continue with the current version" in alice.signed_in().get(f"/trace/{run.pk}").content.decode()

    answer = client.post(f"/api/runs/{run.pk}/repin")
    work()

    assert (answer.status_code, client.get(f"/api/runs/{run.pk}/repin").json()) == (200, {"differs_in": []})
    run = reload(alice, run)
    assert (run.status, sent, run.config["prompt"][:17]) == ("completed", [], "You send nothing.")
    events = events_of(alice, run)
    assert of_type(events, "run.repinned")[0]["changed"] == ["role", "prompt", "tools", "mandate"]
    assert [told["isError"] for told in of_type(events, "tool.result")] == [True, True]
    assert client.post(f"/api/runs/{run.pk}/repin").json()["error"]["code"] == "RUN_ALREADY_FINISHED"
