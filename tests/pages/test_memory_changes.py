"""Change sets on the page and by the API: seen by whom they concern, decided, rolled back."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.utils import timezone

from memory.consolidation import passes
from memory.models import ChangeSet, ConsolidationPolicy, Memory
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

SAID = ("The ledger is backed up every night at 03:00", "The ledger gets backed up <every> night at 03:00")


@pytest.fixture
def project(bob: Person, victor: Person) -> Project:
    made = Project.objects.create(organization=bob.org, slug="ours", name="Ours")
    for person in (bob, victor):
        Membership.objects.get(user=person.user, organization=person.org).projects.add(made)
    return made


def proposed(person: Person, owner: Owner) -> ChangeSet:
    """What a pass proposes after somebody has said the same twice."""
    with org_scope(person.org):
        for text in SAID:
            remember(owner=owner, tier="core", text=text, origin=Origin(author=person.user))
        [made] = passes.propose(owner, org=person.org, at=timezone.now())
        return made


def ids_of(change_set: ChangeSet, person: Person) -> list[int]:
    with org_scope(person.org):
        return list(change_set.changes.values_list("pk", flat=True))


def current(person: Person) -> int:
    with org_scope(person.org):
        return Memory.objects.filter(superseded_at=None, forgotten_at=None).count()


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_proposal_is_shown_accepted_and_rolled_back(alice: Person) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))
    client = alice.signed_in()
    shown = page(client, "/memory/changes")
    assert "Merge 2 memories into one" in shown
    assert "&lt;every&gt;" in shown
    assert ">1<" in page(client, "/memory/changes/count")

    answer = client.post(f"/memory/changes/{change_set.pk}/accept", {"changes": ids_of(change_set, alice)})

    assert answer.status_code == 302
    assert current(alice) == 1
    assert "Nothing to tidy up" in page(client, "/memory/changes")
    decided = page(client, "/memory/changes?decided=1")
    assert "Roll back" in decided
    assert "what it became" in decided
    client.post(f"/memory/changes/{change_set.pk}/rollback")
    assert current(alice) == 2
    assert "rolled back" in page(client, "/memory/changes?decided=1")


def test_what_is_left_alone_stays(alice: Person) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))

    alice.signed_in().post(f"/memory/changes/{change_set.pk}/reject")

    assert current(alice) == 2
    assert "rejected" in page(alice.signed_in(), "/memory/changes?decided=1")


def test_what_was_overtaken_can_not_be_ticked(alice: Person) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))
    client = alice.signed_in()
    with org_scope(alice.org):
        memory = Memory.objects.filter(text=SAID[0]).get()
    client.post(f"/memory/{memory.pk}", {"text": "Another thing", "tier": "core", "importance": "0.5"})

    shown = page(client, "/memory/changes")
    answer = client.post(f"/memory/changes/{change_set.pk}/accept", {"changes": ids_of(change_set, alice)})

    assert "changed since" in shown
    assert "Accept those ticked" not in shown
    assert answer.status_code == 409
    assert current(alice) == 2


@pytest.mark.parametrize("changes", [[], ["x"], ["9" * 30], ["-1"], ["123456"]])
def test_what_is_no_choice_is_refused(alice: Person, changes: list[str]) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))

    assert alice.signed_in().post(f"/memory/changes/{change_set.pk}/accept", {"changes": changes}).status_code == 400


def test_members_see_a_projects_proposals_and_an_admin_decides(
    alice: Person, bob: Person, victor: Person, project: Project
) -> None:
    change_set = proposed(alice, Owner.of_project(project))
    path = f"/memory/changes/{change_set.pk}"

    for person, status in ((bob, 403), (victor, 403)):
        shown = page(person.signed_in(), "/memory/changes")
        assert "Merge 2 memories" in shown
        assert "Accept those ticked" not in shown
        assert person.signed_in().post(f"{path}/accept", {"changes": ids_of(change_set, alice)}).status_code == status

    assert alice.signed_in().post(f"{path}/accept", {"changes": ids_of(change_set, alice)}).status_code == 302


def test_a_persons_proposals_are_seen_by_nobody_else(alice: Person, bob: Person, charlie: Person) -> None:
    change_set = proposed(bob, Owner.of_user(bob.user))

    for person in (alice, charlie):
        assert "Merge" not in page(person.signed_in(), "/memory/changes")
        for step in ("accept", "reject", "rollback"):
            assert person.signed_in().post(
                f"/memory/changes/{change_set.pk}/{step}", {"changes": ["1"]}
            ).status_code in {404}
            path = f"/api/memory-changes/{change_set.pk}/{step}"
            assert person.with_key().post(path, {}, content_type="application/json").status_code == 404
        assert person.with_key().get(f"/api/memory-changes/{change_set.pk}").status_code == 404
        assert person.with_key().get("/api/memory-changes").json()["change_sets"] == []


# --- by the API


def test_a_program_lists_accepts_some_and_rolls_back(alice: Person) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))
    client = alice.with_key()

    [listed] = client.get("/api/memory-changes?state=proposed").json()["change_sets"]
    assert listed["change_set_id"] == str(change_set.pk)
    [change] = listed["changes"]
    assert (change["kind"], change["state"], len(change["memories"])) == ("merge", "proposed", 2)
    assert change["merged_text"]
    accepted = client.post(
        f"/api/memory-changes/{change_set.pk}/accept",
        {"changes": [change["change_id"]]},
        content_type="application/json",
    ).json()

    assert (accepted["state"], accepted["decided_by"]) == ("accepted", "alice")
    assert client.get(f"/api/memories/{accepted['changes'][0]['result']}").status_code == 200
    again = client.post(f"/api/memory-changes/{change_set.pk}/accept", {}, content_type="application/json")
    assert again.status_code == 409
    back = client.post(f"/api/memory-changes/{change_set.pk}/rollback").json()
    assert back["state"] == "rolled_back"
    assert current(alice) == 2


def test_a_program_rejects_and_is_told_of_mistakes(alice: Person, victor: Person) -> None:
    change_set = proposed(alice, Owner.of_user(alice.user))
    client, path = alice.with_key(), f"/api/memory-changes/{change_set.pk}"

    wrong = client.post(f"{path}/accept", {"changes": ["x"]}, content_type="application/json")

    assert wrong.status_code == 400
    assert client.get("/api/memory-changes?state=maybe").status_code == 400
    assert client.get(f"/api/memory-changes/{uuid.uuid4()}").status_code == 404
    assert victor.with_key().post(f"{path}/reject").status_code == 403
    assert client.post(f"{path}/reject").json()["state"] == "rejected"


def test_the_policys_decision_is_named_as_such(alice: Person, project: Project) -> None:
    with org_scope(alice.org):
        ConsolidationPolicy.objects.create(accepts_merges=True)
    proposed(alice, Owner.of_project(project))

    assert "by the policy" in page(alice.signed_in(), "/memory/changes?decided=1")
