"""What a changed policy would have made of the calls of the last days."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs.models import Run
from runs.rehearsal import Change, Rehearsal, rehearse
from teams import roles
from teams.models import Role
from tests.conftest import Person
from tests.runs.test_engine import calls
from tests.teams.rosters import make_team, start_team

Made = Callable[..., Role]


@pytest.fixture
def role(alice: Person, make_role: Made) -> Role:
    return make_role(alice)


@pytest.fixture
def listed(alice: Person, role: Role, start_run: Callable[..., Run], work: Callable[[], int]) -> Run:
    """A run in that role that has listed files, which it might."""
    run = start_run(alice, steps=[calls("list_files", "no_such_tool"), {"text": "Done."}], role_id=role.pk)
    work()
    return run


def try_out(person: Person, **change: Any) -> Rehearsal:
    with org_scope(person.org):
        return rehearse(Change(**change), since=timezone.now() - timedelta(days=1))


def of_run(found: Rehearsal, run: Run) -> list[tuple[str, str, str, str]]:
    return [(one.tool, one.before, one.after, one.rule) for one in found.differences if one.run_id == run.pk]


def test_nothing_differs_without_a_change(alice: Person, listed: Run) -> None:
    found = try_out(alice)

    assert found.calls >= 1
    assert of_run(found, listed) == []


@pytest.mark.parametrize(
    ("change", "after", "rule"),
    [
        ({"denied": ("list_*",)}, "deny", "role.deny"),
        ({"allowed": ("read_file",)}, "deny", "role.allow"),
        ({"risks": {"list_files": "high"}}, "ask", "risk.high"),
    ],
)
def test_what_a_change_would_turn_is_listed(
    alice: Person, role: Role, listed: Run, change: dict[str, Any], after: str, rule: str
) -> None:
    assert of_run(try_out(alice, role_id=role.pk, **change), listed) == [("list_files", "allow", after, rule)]


def test_the_calls_of_a_teams_members_are_held_against_their_own_roles(alice: Person, work: Callable[[], int]) -> None:
    scripts = {"a": [calls("list_files"), {"text": "Listed."}], "lead": [calls("list_files"), {"text": "So."}]}
    group = make_team(alice, lead="lead", scripts=scripts)
    run = start_team(alice, group)
    work()
    with org_scope(alice.org):
        first = Role.objects.get(memberships__group=group, name__startswith="a ")

    found = try_out(alice, role_id=first.pk, denied=("list_*",))

    assert [(one.role, one.after) for one in found.differences if one.run_id == run.pk] == [(first.name, "deny")]
    assert of_run(try_out(alice), run) == []


def test_the_lists_of_one_role_change_nothing_for_others(alice: Person, listed: Run, make_role: Made) -> None:
    other = make_role(alice)

    assert of_run(try_out(alice, role_id=other.pk, denied=("list_files",)), listed) == []


def test_what_was_changed_already_is_held_against_what_runs_were_given(alice: Person, role: Role, listed: Run) -> None:
    with org_scope(alice.org):
        roles.change(alice.scope, role.pk, denied_tools=["list_files"])

    assert of_run(try_out(alice), listed) == [("list_files", "allow", "deny", "role.deny")]


def test_nothing_of_another_organisation_is_replayed(alice: Person, charlie: Person, listed: Run) -> None:
    assert of_run(try_out(charlie, risks={"list_files": "high"}), listed) == []


def test_it_is_rehearsed_at_the_terminal(alice: Person, role: Role, listed: Run) -> None:
    out = StringIO()

    call_command(
        "policy", "rehearse", role=role.name, deny=["list_files"], json=True,
        org=alice.org.slug, user=alice.user.username, stdout=out,
    )  # fmt: skip

    told = json.loads(out.getvalue())
    assert [one["rule"] for one in told["differences"] if one["run_id"] == listed.pk] == ["role.deny"]


def test_the_terminal_shows_what_the_policy_says_of_each_tool(alice: Person, make_role: Made) -> None:
    role, out = make_role(alice, denied_tools=["write_file"]), StringIO()

    call_command("policy", "show", role=role.pk, org=alice.org.slug, user=alice.user.username, stdout=out)

    lines = dict(reversed(line.split()[:2]) for line in out.getvalue().splitlines())
    assert (lines["write_file"], lines["read_file"]) == ("deny", "allow")


@pytest.mark.parametrize("told", [{"deny": ["x"]}, {"risk": ["x"]}, {"risk": ["list_files=awful"]}, {"days": 0}])
def test_what_cannot_be_rehearsed_is_said(alice: Person, told: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        call_command("policy", "rehearse", org=alice.org.slug, user=alice.user.username, **told)


def test_the_admin_rehearses_before_a_change_is_saved(alice: Person, role: Role, listed: Run) -> None:
    client = alice.signed_in()
    path = f"/admin/teams/role/{role.pk}/rehearse/"
    assert path in client.get(f"/admin/teams/role/{role.pk}/change/").content.decode()
    assert client.get(path).status_code == 200

    page = client.get(path, {"days": 1, "denied": ["list_files"]}).content.decode()

    assert listed.pk in page
    assert "role.deny" in page
    with org_scope(alice.org):
        role.refresh_from_db()
    assert (role.denied_tools, role.version) == ([], 1)
