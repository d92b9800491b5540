"""Teams in the organisation's admin: groups with their members, what each is given, boards, copies and exports."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from teams import groups, members, roles
from teams.board import keeping
from teams.models import AgentInstance, BoardEntry, Group, Member, Role
from tests.conftest import Person

GROUPS, ROLES, ENTRIES = "/admin/teams/group/", "/admin/teams/role/", "/admin/teams/boardentry/"


@pytest.fixture
def team(alice: Person) -> Group:
    """A group of two, the second of whom leads."""
    with org_scope(alice.org):
        made = [
            roles.create(alice.scope, name=f"{name} of the harbour", system_prompt=f"You are the {name}.", is_lead=lead)
            for name, lead in (("scout", False), ("captain", True))
        ]
        group = groups.create(alice.scope, name="harbour crew")
        for role in made:
            members.add(alice.scope, group.pk, role_id=role.pk)
        return groups.find(alice.scope, group.pk)


def crew(person: Person, group: Group) -> list[Member]:
    with org_scope(person.org):
        return groups.members_of(group)


def names(person: Person, group: Group) -> list[str]:
    return [member.role.name.split()[0] for member in crew(person, group)]


def form_of(person: Person, group: Group, **changes: Any) -> dict[str, Any]:
    """The form of a group's page as it stands, with other words in it."""
    with org_scope(person.org):
        now = Group.objects.get(pk=group.pk)
    seated = crew(person, group)
    rows = {
        f"members-{place}-{field}": value
        for place, member in enumerate(seated)
        for field, value in (
            ("id", member.pk), ("group", now.pk), ("role", member.role_id), ("ordinal", member.ordinal)
        )
    }  # fmt: skip
    told = {
        "name": now.name, "description": now.description, "project": "", "lead": now.lead_id or "", "mode": now.mode,
        "quorum": "", "max_rounds": now.max_rounds, "on_member_failure": now.on_member_failure,
        "seen_version": now.version, "members-TOTAL_FORMS": len(seated), "members-INITIAL_FORMS": len(seated),
    }  # fmt: skip
    return told | rows | changes


def test_a_group_is_made_and_seated_on_one_page(alice: Person, team: Group) -> None:
    scout, captain = crew(alice, team)

    alice.signed_in().post(
        f"{GROUPS}add/",
        {
            "name": "second crew",
            "mode": "serial",
            "max_rounds": 2,
            "on_member_failure": "retry",
            "members-TOTAL_FORMS": 2,
            "members-INITIAL_FORMS": 0,
            "members-0-role": captain.role_id,
            "members-0-ordinal": 1,
            "members-1-role": scout.role_id,
            "members-1-ordinal": 2,
        },
    )

    with org_scope(alice.org):
        made = Group.objects.get(name="second crew")
    assert names(alice, made) == ["captain", "scout"]
    assert (made.max_rounds, made.on_member_failure) == (2, "retry")
    assert {member.agent_id for member in crew(alice, made)} == {scout.agent_id, captain.agent_id}


def test_members_are_put_in_order_by_number_or_arrow_and_one_leads(alice: Person, team: Group) -> None:
    client, page = alice.signed_in(), f"{GROUPS}{team.pk}/change/"
    scout = crew(alice, team)[0]

    client.post(page, {"_move": f"down:{scout.pk}"})
    assert names(alice, team) == ["captain", "scout"]
    swapped = {"members-0-ordinal": 9, "members-1-ordinal": 1}
    client.post(page, form_of(alice, team, lead=scout.pk, **swapped))

    assert names(alice, team) == ["scout", "captain"]
    with org_scope(alice.org):
        assert Group.objects.get(pk=team.pk).lead_id == scout.pk


def test_one_who_is_ticked_is_taken_out(alice: Person, team: Group) -> None:
    alice.signed_in().post(
        f"{GROUPS}{team.pk}/change/", form_of(alice, team, **{"members-0-DELETE": "on", "description": "smaller"})
    )

    assert names(alice, team) == ["captain"]


def test_who_has_seen_an_older_version_is_refused_whole(alice: Person, team: Group) -> None:
    stale = form_of(alice, team, description="mine", **{"members-0-DELETE": "on"})
    with org_scope(alice.org):
        groups.change(alice.scope, team.pk, description="theirs")

    page = alice.signed_in().post(f"{GROUPS}{team.pk}/change/", stale, follow=True).content.decode()

    assert "Somebody has changed this group" in page
    with org_scope(alice.org):
        assert Group.objects.get(pk=team.pk).description == "theirs"
    assert names(alice, team) == ["scout", "captain"]


def test_what_each_member_will_be_told_stands_there_with_the_history(alice: Person, team: Group) -> None:
    page = alice.signed_in().get(f"{GROUPS}{team.pk}/change/").content.decode()

    assert "You are the scout." in page
    assert "You are the captain." in page
    assert "captain of the harbour ★" in page
    assert "0 runs: 0 completed, 0 failed" in page
    assert "harbour crew" in page


@pytest.mark.parametrize(("path", "model"), [(GROUPS, Group), (ROLES, Role)])
def test_rows_are_copied_and_exported(alice: Person, team: Group, path: str, model: Any) -> None:
    with org_scope(alice.org):
        row = team.pk if model is Group else team.members.all()[0].role_id
        before = model.objects.count()
    client = alice.signed_in()

    act(client, path, "clone", row)
    exported = client.post(path, {"action": "export_as_yaml", "_selected_action": [row]}).content.decode()

    with org_scope(alice.org):
        assert model.objects.count() == before + 1
    assert "of the harbour" in exported
    assert "format: openintern/teams" in exported


def test_a_group_is_removed_with_a_row_in_the_audit(alice: Person, team: Group) -> None:
    alice.signed_in().post(f"{GROUPS}{team.pk}/delete/", {"post": "yes"})

    with org_scope(alice.org):
        assert not Group.objects.filter(pk=team.pk).exists()
    assert AuditEntry.objects.filter(actor=alice.user, action="group.delete", object_id=team.pk).exists()


def test_entries_of_boards_are_pinned_and_taken_down(alice: Person, team: Group) -> None:
    with org_scope(alice.org):
        entry = keeping.add(alice.scope, team.pk, kind="note", text="The tide turns at six.")
    client = alice.signed_in()

    act(client, ENTRIES, "pin", entry.pk)
    assert "The tide turns at six." in client.get(f"{ENTRIES}{entry.pk}/change/").content.decode()
    with org_scope(alice.org):
        assert BoardEntry.objects.get(pk=entry.pk).is_pinned
    assert "Take these entries down?" in act(client, ENTRIES, "take_down", entry.pk).content.decode()
    act(client, ENTRIES, "take_down", entry.pk, confirmed="yes")

    with org_scope(alice.org):
        assert not BoardEntry.objects.filter(pk=entry.pk).exists()


def test_nobody_else_finds_any_of_it(bob: Person, charlie: Person, team: Group) -> None:
    with org_scope(bob.org):
        agent = AgentInstance.objects.filter(role__memberships__group=team)[0]
    pages = [f"{GROUPS}{team.pk}/change/", f"/admin/teams/agentinstance/{agent.pk}/change/"]

    for person in (bob, charlie):
        client = person.signed_in()
        assert {client.get(page).status_code for page in pages} <= {302, 403, 404}
        client.post(f"{GROUPS}{team.pk}/delete/", {"post": "yes"})
        act(client, GROUPS, "clone", team.pk)

    with org_scope(bob.org):
        assert Group.objects.filter(name__contains="harbour crew").count() == 1


def act(client: Client, path: str, action: str, row: str, **more: str) -> Any:
    return client.post(path, {"action": action, "_selected_action": [row], **more}, follow=True)
