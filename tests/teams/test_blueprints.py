"""Teams as documents: exported, imported, shipped as templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client

from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from runs.llm.registry import validate_choice
from runs.tools.registry import tools
from teams import groups
from teams.blueprints import document
from teams.blueprints.document import Blueprint
from teams.blueprints.exporting import export
from teams.blueprints.importing import install
from teams.blueprints.planning import Existing, Step, plan
from teams.blueprints.templates import templates
from teams.models import Group, Role
from tests.conftest import Person

Make = Callable[..., Group]


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


@pytest.fixture
def told() -> dict[str, Any]:
    """A team that nobody has: two roles, one group."""
    mark = random_text(6)
    return {
        "format": "openintern/teams",
        "roles": [
            {"name": f"Reader {mark}", "system_prompt": "You read.\nAll of it.", "denied_tools": ["write_file"]},
            {"name": f"Writer {mark}", "system_prompt": "You write.", "is_lead": True},
        ],
        "groups": [
            {
                "name": f"Desk {mark}",
                "members": [f"Writer {mark}", f"Reader {mark}"],
                "lead": f"Reader {mark}",
                "max_rounds": 2,
            }
        ],
    }


def do(person: Person, told: dict[str, Any], existing: Existing = "skip", *, dry: bool = False) -> list[Step]:
    with org_scope(person.org):
        return (plan if dry else install)(person.scope, document.checked(told), existing=existing)


def actions(steps: list[Step]) -> list[str]:
    return [step.action for step in steps]


def exported(person: Person, *names: str) -> Blueprint:
    with org_scope(person.org):
        ids = list(Group.objects.filter(name__in=names).values_list("pk", flat=True))
        return export(person.scope, role_ids=[], group_ids=ids)


def members_of(person: Person, name: str) -> tuple[list[str], str | None]:
    (part,) = exported(person, name).groups
    return part.members, part.lead


def test_an_import_says_what_it_would_do_and_then_does_it(alice: Person, told: dict[str, Any]) -> None:
    name = told["groups"][0]["name"]

    planned = do(alice, told, dry=True)
    assert (actions(planned), {step.object_id for step in planned}) == (["create"] * 3, {""})
    with org_scope(alice.org):
        assert not Group.objects.filter(name=name).exists()
    done = do(alice, told)

    assert (actions(done), [step.kind for step in done]) == (["create"] * 3, ["role", "role", "group"])
    with org_scope(alice.org):
        group = Group.objects.get(pk=done[2].object_id)
        assert (group.name, group.max_rounds, group.mode) == (name, 2, "serial")
    assert members_of(alice, name) == (told["groups"][0]["members"], told["groups"][0]["lead"])


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_was_exported_is_imported_elsewhere_as_it_was(
    alice: Person, charlie: Person, told: dict[str, Any], form: document.Form
) -> None:
    do(alice, told)
    text = document.written(exported(alice, told["groups"][0]["name"]), form)

    with org_scope(charlie.org):
        install(charlie.scope, document.read(text), existing="skip")
    again = document.written(exported(charlie, told["groups"][0]["name"]), form)

    assert again == text
    assert "role_" not in text
    assert "You read.\nAll of it." in document.read(text).roles[0].system_prompt


@pytest.mark.parametrize(
    ("existing", "expected"),
    [("skip", ["skip", "skip", "skip"]), ("replace", ["unchanged"] * 3), ("copy", ["copy", "copy", "copy"])],
)
def test_done_twice_it_does_what_was_chosen_for_names_that_are_taken(
    alice: Person, told: dict[str, Any], existing: Existing, expected: list[str]
) -> None:
    do(alice, told)
    name = told["groups"][0]["name"]
    with org_scope(alice.org):
        before = {row.pk: row.version for row in [*Role.objects.all(), *Group.objects.all()]}

    steps = do(alice, told, existing)

    assert actions(steps) == expected
    with org_scope(alice.org):
        after = {row.pk: row.version for row in [*Role.objects.all(), *Group.objects.all()]}
    assert {pk: after[pk] for pk in before} == before
    assert len(after) - len(before) == (3 if existing == "copy" else 0)
    if existing == "copy":
        reader, writer = (role["name"] for role in told["roles"])
        assert members_of(alice, f"{name} (2)") == ([f"{writer} (2)", f"{reader} (2)"], f"{reader} (2)")
        assert do(alice, told, "copy")[2].becomes == f"{name} (3)"


def test_a_replacement_changes_what_differs_and_says_what(alice: Person, told: dict[str, Any]) -> None:
    do(alice, told)
    reader, writer = told["roles"]
    (group,) = told["groups"]
    reader["system_prompt"] = "You read twice."
    group.update(members=[reader["name"]], max_rounds=1)

    planned = do(alice, told, "replace", dry=True)
    done = do(alice, told, "replace")

    assert actions(planned) == actions(done) == ["replace", "unchanged", "replace"]
    assert [step.fields for step in done] == [("system_prompt",), (), ("max_rounds", "members")]
    assert members_of(alice, group["name"]) == ([reader["name"]], reader["name"])
    with org_scope(alice.org):
        assert Role.objects.get(name=reader["name"]).system_prompt == "You read twice."
        assert Role.objects.filter(name=writer["name"]).exists()
    assert actions(do(alice, told, "replace")) == ["unchanged"] * 3


@pytest.mark.parametrize(
    ("path", "value", "code", "field"),
    [
        (["command"], "rm", "UNKNOWN_FIELD", "command"),
        (["roles", 0, "id"], "role_mine", "UNKNOWN_FIELD", "roles.0.id"),
        (["groups", 0, "org_id"], "rival", "UNKNOWN_FIELD", "groups.0.org_id"),
        (["format"], "something", "VALIDATION_ERROR", "format"),
        (["version"], 2, "VALIDATION_ERROR", "version"),
        (["roles"], "all", "VALIDATION_ERROR", "roles"),
        (["roles", 0, "system_prompt"], " ", "VALIDATION_ERROR", "roles.0.system_prompt"),
        (["roles", 0, "system_prompt"], 7, "VALIDATION_ERROR", "roles.0.system_prompt"),
        (["roles", 0, "name"], "x" * 101, "VALIDATION_ERROR", "roles.0.name"),
        (["roles", 0, "description"], "x" * 2001, "VALIDATION_ERROR", "roles.0.description"),
        (["roles", 0, "denied_tools"], ["rm -rf"], "VALIDATION_ERROR", "roles.0.denied_tools.0"),
        (["roles", 1, "model"], "nobody/knows", "VALIDATION_ERROR", "roles.1.model"),
        (["groups", 0, "members"], ["Nobody at all"], "VALIDATION_ERROR", "groups.0.members.0"),
        (["groups", 0, "lead"], "Nobody at all", "VALIDATION_ERROR", "groups.0.lead"),
        (["groups", 0, "mode"], "sideways", "VALIDATION_ERROR", "groups.0.mode"),
        (["groups", 0, "max_rounds"], 99, "VALIDATION_ERROR", "groups.0.max_rounds"),
        (["groups", 0, "project"], "never-was", "VALIDATION_ERROR", "groups.0.project"),
        (["roles", 0, "style_constraints"], {"tone": float("nan")}, "VALIDATION_ERROR", "roles.0.style_constraints"),
        (
            ["roles", 0, "style_constraints"],
            {"since": date(2001, 1, 1)},
            "VALIDATION_ERROR",
            "roles.0.style_constraints",
        ),
        (["groups", 0, "description"], "a\x00b", "VALIDATION_ERROR", "document"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_done(
    client: Client, alice: Person, told: dict[str, Any], path: list[Any], value: Any, code: str, field: str
) -> None:
    inner: Any = told
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    if path == ["groups", 0, "members"]:
        told["groups"][0]["lead"] = None
    with org_scope(alice.org):
        before = Role.objects.count()

    answer = client.post("/api/teams/import", {"text": yaml.safe_dump(told)}, content_type="application/json")

    assert answer.json()["error"] == answer.json()["error"] | {"code": code, "details": {"field": field}}
    assert answer.status_code == (422 if code == "UNKNOWN_FIELD" else 400)
    with org_scope(alice.org):
        assert Role.objects.count() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "[1, 2]",
        "{broken",
        "a: &a [x]\nb: *a",
        "!!python/object/apply:os.system ['true']",
        "[" * 3000,
        '{"format": ' + '{"a": ' * 400 + "1" + "}" * 401,
        '{"format": ' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_what_is_no_document_is_refused(client: Client, text: str) -> None:
    answer = client.post("/api/teams/import", {"text": text}, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_a_document_is_bounded(told: dict[str, Any]) -> None:
    with pytest.raises(OpenInternError) as long:
        document.read(" " * (document.MOST_CHARACTERS + 1))
    many = told | {"roles": [{"name": str(number), "system_prompt": "x"} for number in range(1001)]}
    with pytest.raises(OpenInternError) as wide:
        document.checked(many)

    assert (long.value.code, (wide.value.details or {})["field"]) == ("TOO_LARGE", "roles")


def test_skills_that_are_not_here_are_named(alice: Person, told: dict[str, Any]) -> None:
    told["roles"][0]["denied_tools"] = ["skill:skill_never", "skill:s*", "write_file"]

    step = do(alice, told, dry=True)[0]

    assert step.note == "Names skills that aren't here: skill:skill_never"


def test_who_imports_gets_them_into_the_project_that_is_named_or_spoken_for(
    client: Client, alice: Person, told: dict[str, Any], project_of: Callable[..., Project]
) -> None:
    project, other = project_of(alice), project_of(alice)
    body = {"document": told}

    done = client.post(
        "/api/teams/import", body, content_type="application/json", headers={"x-project-id": project.slug}
    ).json()

    group_id = done["steps"][2]["id"]
    assert client.get(f"/api/groups/{group_id}").json()["project_id"] == project.slug
    told["groups"][0]["project"] = other.slug
    assert actions(do(alice, told, "replace")) == ["unchanged", "unchanged", "replace"]
    assert client.get(f"/api/groups/{group_id}").json()["project_id"] == other.slug


def test_programs_export_import_and_rehearse(client: Client, charlie: Person, told: dict[str, Any]) -> None:
    dry = client.post("/api/teams/import", {"document": told, "dry_run": True}, content_type="application/json").json()
    done = client.post("/api/teams/import", {"document": told}, content_type="application/json").json()
    group_id = done["steps"][2]["id"]

    as_yaml = client.get(f"/api/teams/export?ids={group_id}")
    as_json = client.get(f"/api/teams/export?ids={group_id}&format=json")

    assert (dry["done"], done["done"], dry["steps"][2]["id"]) == (False, True, "")
    assert as_yaml["Content-Disposition"] == 'attachment; filename="teams.yaml"'
    assert yaml.safe_load(as_yaml.content) == json.loads(as_json.content)
    assert [role["name"] for role in json.loads(as_json.content)["roles"]] == [role["name"] for role in told["roles"]]
    assert told["groups"][0]["name"] in client.get("/api/teams/export").content.decode()
    assert told["groups"][0]["name"] not in charlie.with_key().get("/api/teams/export").content.decode()
    assert client.get("/api/teams/export?format=xml").status_code == 400
    both = client.post("/api/teams/import", {"document": told, "text": "x"}, content_type="application/json")
    assert both.status_code == 400


def test_a_member_exports_what_is_in_sight_and_imports_nothing(
    alice: Person, bob: Person, make_group: Make, project_of: Callable[..., Project], told: dict[str, Any]
) -> None:
    hidden, shown = make_group(alice, size=1, project=project_of(alice)), make_group(alice, size=1)
    client = bob.with_key()

    text = client.get("/api/teams/export").content.decode()

    assert shown.name in text
    assert f"name: {hidden.name}\n" not in text
    for path, body in (("import", {"document": told}), ("templates/research/install", {})):
        assert client.post(f"/api/teams/{path}", body, content_type="application/json").status_code == 403


def test_the_templates_are_good_teams() -> None:
    assert list(templates()) == ["incident", "research", "review"]
    for one in templates().values():
        (group,) = one.groups
        assert 3 <= len(group.members) <= 4
        assert group.lead == next(role.name for role in one.roles if role.is_lead)
        assert sorted(group.members) == sorted(role.name for role in one.roles)
        for role in one.roles:
            assert "language of the task" in role.system_prompt
            assert set(role.denied_tools) - {"exec_command"} <= set(tools())
            assert not role.model or validate_choice({"provider": role.model.split("/")[0]})


@pytest.mark.parametrize("name", ["research", "review", "incident"])
def test_a_template_is_installed_once_however_often_it_is_asked_for(charlie: Person, name: str) -> None:
    client = charlie.with_key()
    first, second = (
        client.post(f"/api/teams/templates/{name}/install", {}, content_type="application/json").json()
        for _ in range(2)
    )

    assert {step["action"] for step in second["steps"]} == {"skip"}
    assert [step["name"] for step in first["steps"]] == [step["name"] for step in second["steps"]]
    group_id = second["steps"][-1]["id"]
    with org_scope(charlie.org):
        group = groups.find(charlie.scope, group_id)
        there = groups.members_of(group)
        lead = groups.lead_of(group, there)
        assert (lead is not None and lead.role.is_lead, len(there) >= 3) == (True, True)
    listed = client.get("/api/teams/templates").json()["templates"]
    assert [one["groups"] for one in listed if one["name"] == name] == [[group.name]]
    assert client.post("/api/teams/templates/never/install", {}, content_type="application/json").status_code == 404


def test_the_command_exports_imports_and_installs(
    alice: Person, bob: Person, told: dict[str, Any], tmp_path: Path
) -> None:
    file, name = tmp_path / "team.yaml", told["groups"][0]["name"]
    file.write_text(yaml.safe_dump(told))

    def run(*arguments: str, person: Person = alice) -> str:
        out = StringIO()
        call_command("teams", *arguments, org=person.org.slug, user=person.user.username, stdout=out)
        return out.getvalue()

    assert run("import", str(file), "--dry-run").endswith("Nothing was done.\n")
    done = run("import", str(file))
    assert f"create  group  {name}  grp_" in done
    assert f"skip  group  {name}  grp_" in run("import", str(file))
    group_id = done.split()[-1]
    text = run("export", group_id)
    assert document.read(text).groups[0].name == name
    assert "research  Research" in run("templates")
    assert "group  Incident team" in run("install", "incident")
    with pytest.raises(CommandError, match="Only an admin"):
        run("install", "incident", person=bob)
    with pytest.raises(CommandError, match="can't be read"):
        run("import", str(tmp_path / "missing.yaml"))
    file.write_text("format: openintern/teams\nroles: [{name: x}]\n")
    with pytest.raises(CommandError, match=r"roles\.0\.system_prompt"):
        run("import", str(file))
