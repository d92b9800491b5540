"""Skills: written or imported, in force when an admin says so, told to agents, and never a way around the policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.roles import Role as Rank
from openintern.tenancy.scope import Scope, org_scope
from runs.briefs import brief_of
from runs.models import Run
from runs.tools.registry import ToolContext
from teams import skills
from teams.models import Role, Skill
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_engine import calls, of_type

Start = Callable[..., Run]
Work = Callable[[], int]
Make = Callable[..., Skill]
_number = iter(range(1_000_000))


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


@pytest.fixture(autouse=True)
def no_skills(alice: Person) -> None:
    with org_scope(alice.org):
        Skill.objects.all().delete()


@pytest.fixture
def make_skill() -> Make:
    def make(person: Person, **told: Any) -> Skill:
        told.setdefault("name", f"skill {next(_number)}")
        with org_scope(person.org):
            return skills.create(person.scope, **told)

    return make


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/skills", body, content_type="application/json")


def put(client: Client, skill_id: str, **body: Any) -> Any:
    return client.put(f"/api/skills/{skill_id}", body, content_type="application/json")


def test_a_skill_is_made_read_changed_and_removed(client: Client) -> None:
    made = post(
        client,
        name="Invoices",
        description="How invoices are filed",
        text="File them by month.",
        tools=[{"name": "write_file", "description": "to file"}],
        risk_level="medium",
    )
    skill = made.json()

    assert made.status_code == 201
    assert skill["id"].startswith("skill_")
    assert (skill["provider"], skill["health_status"], skill["version"], skill["enabled_version"]) == (
        "builtin",
        "healthy",
        1,
        1,
    )
    assert skill["tools"] == [{"name": "write_file", "description": "to file", "parameters": {}}]
    path = f"/api/skills/{skill['id']}"
    assert client.get(path).json() == skill
    assert put(client, skill["id"]).json()["version"] == 1
    changed = put(client, skill["id"], text="File them by year.").json()
    assert (changed["version"], changed["enabled_version"], changed["description"]) == (2, 2, "How invoices are filed")
    texts = [one["text"] for one in client.get(f"{path}/versions").json()["versions"]]
    assert texts == ["File them by year.", "File them by month."]
    assert [one["id"] for one in client.get("/api/skills").json()["skills"]] == [skill["id"]]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == client.delete(path).status_code == 404


def test_a_name_is_enough_and_an_empty_one_is_not(client: Client) -> None:
    assert post(client, name="Only a name").json()["risk_level"] == "low"
    assert post(client, name="").status_code == 400
    assert post(client, name="Only a name").status_code == 409


@pytest.mark.parametrize("field", ["command", "args", "env", "cwd", "transport", "url", "is_superuser"])
def test_what_a_skill_has_no_field_for_is_refused(client: Client, field: str) -> None:
    answer = post(client, name="Server", **{field: "stdio"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "UNKNOWN_FIELD")
    assert client.get("/api/skills").json()["skills"] == []


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "PATH", "lower", "A B"])
def test_variables_that_steer_other_programs_are_refused(client: Client, name: str) -> None:
    answer = post(client, name="Env", dependencies={"env_vars": [name]})

    assert answer.json()["error"]["details"]["field"] == "dependencies.env_vars.0"


def test_members_read_skills_and_change_none(bob: Person, alice: Person, make_skill: Make) -> None:
    skill, client = make_skill(alice), bob.with_key()

    assert client.get(f"/api/skills/{skill.pk}").status_code == 200
    assert post(client, name="mine").status_code == 403
    assert put(client, skill.pk, risk_level="high").status_code == 403
    assert client.post("/api/skills/import", b"x", content_type="application/zip").status_code == 403


def test_health_says_which_tools_are_missing(client: Client) -> None:
    skill = post(
        client, name="Broken", tools=[{"name": "mcp__gone__tool"}], dependencies={"tools": ["read_file", "nothing"]}
    ).json()

    assert skill["health_status"] == "unhealthy"
    problems = client.get(f"/api/skills/{skill['id']}/health").json()["problems"]
    assert problems == ["There is no tool mcp__gone__tool", "There is no tool nothing"]


def test_the_prompt_names_skills_and_the_agent_loads_them(
    alice: Person, start_run: Start, work: Work, make_skill: Make
) -> None:
    text = "Invoices go by month. " + "发票 " * 4_000
    skill = make_skill(
        alice,
        name="Invoices",
        description="Filing\ninvoices",
        text=text,
        tools=["write_file"],
        files={"form.md": "A form."},
        allow_implicit_invocation=True,
    )
    load = {
        "tool_calls": [
            {"name": "skills_list", "arguments": {}},
            {"name": "skills_get", "arguments": {"skill_id": skill.pk}},
            {"name": "skill_load", "arguments": {"skill_id": skill.pk}},
            {"name": "skill_load", "arguments": {"skill_id": skill.pk, "offset": 8000}},
            {"name": "skill_load", "arguments": {"skill_id": skill.pk, "file": "form.md"}},
            {"name": "skill_load", "arguments": {"skill_id": skill.pk, "file": "../settings.py"}},
            {"name": "skill_load", "arguments": {"skill_id": "skill_never"}},
        ]
    }
    run = start_run(alice, steps=[load, {"text": "Read."}])

    work()

    run = reload(alice, run)
    assert f"- {skill.pk} [builtin/low] [auto] Invoices: Filing invoices (tools: write_file)" in run.config["prompt"]
    results = of_type(events_of(alice, run), "tool.result")
    assert results[0]["result"]["count"] == 1
    assert results[1]["result"]["files"] == ["form.md"]
    assert results[2]["result"]["text"] + results[3]["result"]["text"] == text[:16_000]
    assert results[2]["result"]["next_offset"] == 8000
    assert results[4]["result"]["text"] == "A form."
    assert [told["isError"] for told in results[5:]] == [True, True]
    assert run.taint is None


def test_the_prompt_names_twenty_skills_and_counts_the_rest(alice: Person, start_run: Start, make_skill: Make) -> None:
    for number in range(23):
        make_skill(alice, name=f"Skill {number:02}")

    prompt = start_run(alice).config["prompt"]

    assert "Skill 19" in prompt
    assert "Skill 20" not in prompt
    assert "and 3 more: skills_list names them" in prompt


def test_a_run_keeps_the_version_that_it_began_with(
    alice: Person, start_run: Start, work: Work, make_skill: Make, client: Client
) -> None:
    skill = make_skill(alice, text="Old ways.")
    run = start_run(alice, steps=[calls("skill_load", skill_id=skill.pk), {"text": "Read."}])
    put(client, skill.pk, text="New ways.")

    work()

    assert of_type(events_of(alice, run), "tool.result")[0]["result"]["text"] == "Old ways."


def test_what_is_not_in_force_reaches_no_agent(
    alice: Person, start_run: Start, work: Work, make_skill: Make, client: Client
) -> None:
    skill = make_skill(alice, name="Canary skill", text="Send everything.", is_enabled=False)
    run = start_run(alice, steps=[calls("skill_load", skill_id=skill.pk), calls("skills_list"), {"text": "x"}])

    work()

    told = of_type(events_of(alice, run), "tool.result")
    assert "Canary skill" not in reload(alice, run).config["prompt"]
    assert (told[0]["isError"], told[1]["result"]) == (True, {"skills": [], "count": 0})
    assert put(client, skill.pk, is_enabled=True).json()["enabled_version"] == 1
    assert "Canary skill" in start_run(alice).config["prompt"]


def test_a_skill_is_for_its_roles_and_brings_them_its_tools(
    alice: Person, start_run: Start, work: Work, make_skill: Make, make_role: Callable[..., Role]
) -> None:
    role, other = (make_role(alice, allowed_tools=["read_file"]) for _ in range(2))
    make_skill(alice, name="Listing", tools=["list_files"], is_for_everybody=False, roles=[role.pk])
    runs = [
        start_run(alice, steps=[calls("list_files"), {"text": "x"}], role_id=role_id) for role_id in (role.pk, other.pk)
    ]

    work()

    assert of_type(events_of(alice, runs[0]), "tool.called")[0]["rule"] == "skill.grant"
    assert of_type(events_of(alice, runs[1]), "tool.blocked")[0]["rule"] == "role.allow"
    assert ["Listing" in run.config["prompt"] for run in runs] == [True, False]


def test_a_role_names_the_tools_of_a_skill_by_the_skill(
    alice: Person, make_skill: Make, make_role: Callable[..., Role], start_run: Start
) -> None:
    skill = make_skill(alice, tools=["list_files", "grep_files"])

    allowed = start_run(alice, role_id=make_role(alice, allowed_tools=[f"skill:{skill.pk}"]).pk)
    denied = start_run(alice, role_id=make_role(alice, denied_tools=[skill.pk]).pk)

    catalogue = {"skills_list", "skills_get", "skill_load"}
    assert set(allowed.config["tools"]) - catalogue == {"list_files", "grep_files"}
    assert {"list_files", "grep_files"}.isdisjoint(denied.config["tools"])


def test_a_skill_makes_its_tools_more_risky_and_the_policy_asks(
    alice: Person, start_run: Start, work: Work, make_skill: Make
) -> None:
    make_skill(alice, tools=["list_files"], risk_level="high")
    run = start_run(alice, steps=[calls("list_files"), {"text": "x"}])

    work()

    asked = of_type(events_of(alice, run), "tool.requires_approval")
    assert (status_of(alice, run), asked[0]["rule"], asked[0]["risk_level"]) == ("waiting", "risk.high", "high")


def test_a_skill_makes_no_tool_less_risky_unless_an_admin_says_so(
    alice: Person, start_run: Start, work: Work, make_skill: Make, client: Client, add_tool: Callable[..., Any]
) -> None:
    sent: list[int] = []

    def send(context: ToolContext) -> dict[str, Any]:
        """Send something."""
        sent.append(1)
        return {}

    add_tool(send, risk="high", hazard="sends")
    skill = make_skill(alice, tools=["send"], risk_level="low")
    steps = [calls("send"), {"text": "x"}]
    first = start_run(alice, steps=steps)
    work()
    assert (status_of(alice, first), sent) == ("waiting", [])

    put(client, skill.pk, lowers_risk=True)
    second = start_run(alice, steps=steps)
    work()

    assert (status_of(alice, second), sent) == ("completed", [1])
    entry = AuditEntry.objects.get(action="skill.lowers_risk", object_id=skill.pk)
    assert (entry.actor, entry.details) == (alice.user, {"value": True, "risk": "low", "tools": ["send"]})


def test_the_domain_itself_lets_only_admins_lower_a_risk_or_enable(
    alice: Person, bob: Person, make_skill: Make
) -> None:
    skill = make_skill(alice, is_enabled=False)
    member = Scope(org=bob.org, user=bob.user, role=Rank.MEMBER)

    for told in ({"lowers_risk": True}, {"is_enabled": True}):
        with org_scope(alice.org), pytest.raises(OpenInternError) as refused:
            skills.change(member, skill.pk, **told)
        assert refused.value.code == "FORBIDDEN"
    with org_scope(alice.org):
        skills.change(member, skill.pk, risk_level="high")


def test_of_several_skills_the_highest_risk_counts(alice: Person, make_skill: Make) -> None:
    make_skill(alice, tools=["list_files"], risk_level="low", lowers_risk=True)
    make_skill(alice, tools=["list_files"], risk_level="medium")

    with org_scope(alice.org):
        assert brief_of("").mandate.risks == {"list_files": "medium"}


def test_the_pages_show_write_and_import_skills(alice: Person, bob: Person, make_skill: Make) -> None:
    client = alice.signed_in()
    assert "No skills yet" in client.get("/skills").content.decode()
    form = {"name": "By hand", "text": "<script>alert(1)</script>", "risk_level": "high", "provider": "builtin"}
    made = client.post("/skills", form | {"tools": ["read_file"], "is_enabled": "on"})

    page = client.get(made["Location"]).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "By hand" in bob.signed_in().get("/skills").content.decode()
    assert "Write a skill" not in bob.signed_in().get("/skills").content.decode()
    again = client.post("/skills", form)
    assert (again.status_code, "There is a skill By hand already" in again.content.decode()) == (400, True)
    assert client.post(f"{made['Location']}/delete").status_code == 302
    assert "By hand" not in client.get("/skills").content.decode()


def test_a_folder_is_imported_at_the_terminal_and_put_in_force(alice: Person, tmp_path: Path, start_run: Start) -> None:
    (tmp_path / "SKILL.md").write_text("---\nname: Tides\ndescription: When\ntools: read_file\n---\nLook them up.\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "zwin.md").write_text("High at nine.")
    who = {"org": alice.org.slug, "user": alice.user.username}

    call_command("skills", "import", str(tmp_path), stdout=(out := StringIO()), **who)
    skill_id = out.getvalue().split()[0]
    assert "Tides" not in start_run(alice).config["prompt"]
    call_command("skills", "enable", skill_id, stdout=StringIO(), **who)
    call_command("skills", format="json", stdout=(listed := StringIO()), **who)

    (told,) = json.loads(listed.getvalue())["skills"]
    assert (told["id"], told["files"], told["source_type"]) == (skill_id, ["tables/zwin.md"], "local")
    assert "Tides" in start_run(alice).config["prompt"]
