"""Tidying up: proposed by rule, decided by people, and undone to the letter."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memory import forgetting, keeping, writing
from memory.consolidation import deciding, likeness, passes, writers
from memory.consolidation.writers import Written
from memory.models import Change, ChangeSet, ConsolidationPolicy, Memory, State, Trust
from memory.owners import Owner
from memory.writing import Origin
from openintern.errors import NotFound, OpenInternError
from openintern.tenancy.models import AuditEntry, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person
from tests.memory.conftest import Remember, found, within
from tests.memory.test_writing import assert_index_is_right

TWICE = ("The ledger is backed up every night at 03:00", "The ledger gets backed up every night at 03:00")
LONG_AGO = timedelta(days=200)


def propose(person: Person, owner: Owner | None = None) -> list[ChangeSet]:
    return passes.propose(owner or Owner.of_user(person.user), org=person.org, at=timezone.now())


def the_only(sets: list[ChangeSet]) -> ChangeSet:
    assert len(sets) == 1
    return sets[0]


def changes_of(change_set: ChangeSet) -> list[Change]:
    return list(change_set.changes.order_by("ordinal"))


def age(memory: Memory, by: timedelta = LONG_AGO) -> Memory:
    """Let a memory be older than it is."""
    at = timezone.now() - by
    Memory.objects.filter(pk=memory.pk).update(created_at=at, updated_at=at)
    return Memory.objects.select_related("shelf").get(pk=memory.pk)


@pytest.fixture
def twice(note: Remember, alice: Person) -> list[Memory]:
    """The same, said by Alice in two ways; and something else."""
    mine = Owner.of_user(alice.user)
    note("Alice prefers short answers", owner=mine, tier="core")
    said = Origin(author=alice.user)
    return [note(text, owner=mine, tier="core", origin=said) for text in TWICE]


# --- finding


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (*TWICE, True),
        ("生产环境的部署回滚由值班工程师批准", "生产环境的部署回滚由值班工程师来批准", True),
        ("The backup of the ledger runs every night at 3", "The backup of the ledger runs every night at 4", False),
        ("Release notes go to the whole customer list", "Release notes never go to the whole customer list", False),
        ("生产环境的部署回滚由值班工程师批准", "生产环境的部署回滚不由值班工程师批准", False),
        ("Alice prefers short answers", "Bob prefers long letters", False),
    ],
)
def test_what_says_the_same_is_told_from_what_doesnt(first: str, second: str, same: bool) -> None:
    assert bool(likeness.groups([likeness.bag(first), likeness.bag(second)])) is same


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh"), max_size=8), max_size=12))
def test_the_pairs_are_all_pairs(bags: list[frozenset[str]]) -> None:
    expected = {
        (first, second)
        for second in range(len(bags))
        for first in range(second)
        if bags[first] and likeness.likeness(bags[first], bags[second]) >= likeness.ALIKE
    }

    assert set(likeness.pairs(bags)) == expected


def test_a_merge_says_what_all_of_them_say() -> None:
    merged = likeness.merged(["We deploy on Friday. Tests first.", "We deploy on Friday. Ask Ann before it."])

    assert merged == "We deploy on Friday. Tests first.\nAsk Ann before it."


def test_a_pass_proposes_and_changes_nothing(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))

    change = changes_of(change_set)[0]
    assert (change_set.state, change.kind, change.state) == (State.PROPOSED, Change.Kind.MERGE, State.PROPOSED)
    assert set(change.members) == {memory.pk for memory in twice}
    assert change.evidence["likeness"][0] >= likeness.ALIKE
    assert len(found(alice.scope, "ledger")) == 3
    assert_index_is_right()


def test_a_second_pass_proposes_nothing_new(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))

    assert propose(alice) == []
    deciding.reject(alice.scope, change_set.pk, at=timezone.now())

    assert propose(alice) == []


def test_the_old_the_unimportant_and_never_needed_is_proposed_to_go(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    stale = age(note("a small episode of long ago", owner=mine, importance=0.3))
    recalled = age(note("an episode that was needed", owner=mine, importance=0.3))
    important = age(note("an episode that matters", owner=mine, importance=0.6))
    core = age(note("a preference", owner=mine, importance=0.1, tier="core"))
    parent = age(note("what a conclusion rests on", owner=mine, importance=0.1))
    child = note("the conclusion", owner=mine, origin=Origin(derived_from=(parent.pk,)), importance=0.1)
    Memory.objects.filter(pk=recalled.pk).note_recalled(at=timezone.now())  # type: ignore[attr-defined]

    changes = changes_of(the_only(propose(alice)))

    assert [(change.kind, change.members) for change in changes] == [(Change.Kind.STALE, [stale.pk])]
    assert {important.pk, core.pk, child.pk}.isdisjoint(changes[0].members)


def test_what_was_superseded_long_ago_is_proposed_to_go(note: Remember, alice: Person) -> None:
    old = note("The backup runs at 3", owner=Owner.of_user(alice.user))
    writing.supersede(old, text="The backup runs at 5", origin=Origin())
    assert propose(alice) == []
    Memory.objects.filter(pk=old.pk).update(superseded_at=timezone.now() - LONG_AGO)

    changes = changes_of(the_only(propose(alice)))

    assert [(change.kind, change.members) for change in changes] == [(Change.Kind.SUPERSEDED, [old.pk])]


def test_recalling_is_noted_once_a_day(note: Remember, alice: Person) -> None:
    memory = note("something", owner=Owner.of_user(alice.user))
    now = timezone.now()
    rows: Any = Memory.objects.filter(pk=memory.pk)

    for at in (now, now + timedelta(hours=3), now + timedelta(days=2)):
        rows.note_recalled(at=at)
        if at != now + timedelta(hours=3):
            assert Memory.objects.get(pk=memory.pk).recalled_at == at
        else:
            assert Memory.objects.get(pk=memory.pk).recalled_at == now


# --- deciding


def test_an_accepted_merge_is_one_memory_with_its_sources(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))

    deciding.accept(alice.scope, change_set.pk, at=timezone.now())

    change = changes_of(change_set)[0]
    merged = Memory.objects.get(pk=change.result)
    assert set(merged.derived_from.values_list("pk", flat=True)) == {memory.pk for memory in twice}
    assert (merged.author, merged.trust, merged.source_type) == (alice.user, Trust.STATED, "consolidation")
    assert [text for text in found(alice.scope, "ledger") if "ledger" in text] == [merged.text]
    assert change.text == ""
    assert_index_is_right()


def test_what_comes_from_outside_is_not_merged_with_what_a_person_said(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    note(TWICE[0], owner=mine, tier="core", origin=Origin(trust=Trust.STATED))
    note(TWICE[1], owner=mine, tier="core", origin=Origin(trust=Trust.OUTSIDE))

    assert propose(alice) == []


@pytest.mark.parametrize(("other", "trust"), [("", Trust.STATED), (" Ask Ann first.", Trust.DERIVED)])
def test_who_vouches_for_a_merge_is_who_said_all_of_it(other: str, trust: Trust, note: Remember, alice: Person) -> None:
    mine, long = (
        Owner.of_user(alice.user),
        "The ledger of the whole company is backed up every single night at 03:00 by Ann.",
    )
    note(long, owner=mine, tier="core", origin=Origin(trust=Trust.STATED))
    note(long.replace(" is ", " gets ") + other, owner=mine, tier="core", origin=Origin(trust=Trust.DERIVED))

    deciding.accept(alice.scope, the_only(propose(alice)).pk, at=timezone.now())

    merged = Memory.objects.get(source_type="consolidation")
    assert (merged.trust, merged.text) == (trust, long + ("\nAsk Ann first." if other else ""))


def test_forgetting_a_source_forgets_the_merge(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))
    deciding.accept(alice.scope, change_set.pk, at=timezone.now())

    forgetting.forget_from(author=alice.user, at=timezone.now())

    assert "ledger" not in " ".join(found(alice.scope, "ledger"))
    with pytest.raises(OpenInternError) as refused:
        deciding.roll_back(alice.scope, change_set.pk, at=timezone.now())
    assert refused.value.code == "CONFLICT"


def test_what_isnt_chosen_is_rejected(twice: list[Memory], note: Remember, alice: Person) -> None:
    stale = age(note("a small episode of long ago", owner=Owner.of_user(alice.user), importance=0.3))
    change_set = the_only(propose(alice))
    by_kind = {change.kind: change for change in changes_of(change_set)}

    deciding.accept(alice.scope, change_set.pk, chosen=[by_kind["stale"].pk], at=timezone.now())

    states = {change.kind: change.state for change in changes_of(change_set)}
    assert states == {"stale": State.ACCEPTED, "merge": State.REJECTED}
    assert Memory.objects.get(pk=stale.pk).forgotten_at is not None
    assert all(Memory.objects.get(pk=memory.pk).superseded_at is None for memory in twice)


@pytest.mark.parametrize("chosen", [[], [987_654_321]])
def test_what_is_no_choice_is_refused(twice: list[Memory], alice: Person, chosen: list[int]) -> None:
    change_set = the_only(propose(alice))

    with pytest.raises(OpenInternError) as refused:
        deciding.accept(alice.scope, change_set.pk, chosen=chosen, at=timezone.now())

    assert refused.value.code == "VALIDATION_ERROR"


@pytest.mark.parametrize("what", ["changed", "forgotten", "superseded"])
def test_a_proposal_that_was_overtaken_is_refused_and_withdrawn(what: str, twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))
    match what:
        case "changed":
            keeping.correct(alice.scope, twice[0].pk, text="The ledger is in the cellar")
        case "forgotten":
            keeping.forget(alice.scope, twice[0].pk, at=timezone.now())
        case "superseded":
            keeping.replace(alice.scope, twice[0].pk, text="The ledger is in the cellar")

    with pytest.raises(OpenInternError) as refused, transaction.atomic():
        deciding.accept(alice.scope, change_set.pk, at=timezone.now())
    assert refused.value.code == "CONFLICT"
    assert propose(alice) == []

    change_set.refresh_from_db()
    assert change_set.state == State.WITHDRAWN
    assert [change.text for change in changes_of(change_set)] == [""]


def test_what_was_withdrawn_may_be_proposed_again(twice: list[Memory], alice: Person) -> None:
    propose(alice)
    keeping.forget(alice.scope, twice[0].pk, at=timezone.now())
    assert propose(alice) == []
    keeping.bring_back(alice.scope, twice[0].pk, at=timezone.now())

    change_set = the_only(propose(alice))

    assert set(changes_of(change_set)[0].members) == {memory.pk for memory in twice}


def test_a_decision_is_taken_once(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))
    now = timezone.now()
    with pytest.raises(OpenInternError) as too_soon:
        deciding.roll_back(alice.scope, change_set.pk, at=now)
    deciding.accept(alice.scope, change_set.pk, at=now)

    for act in (deciding.accept, deciding.reject):
        with pytest.raises(OpenInternError) as refused:
            act(alice.scope, change_set.pk, at=now)
        assert refused.value.code == too_soon.value.code == "CONFLICT"
    deciding.roll_back(alice.scope, change_set.pk, at=now)
    with pytest.raises(OpenInternError) as again:
        deciding.roll_back(alice.scope, change_set.pk, at=now)
    assert again.value.code == "CONFLICT"


def test_every_step_is_audited(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))
    deciding.accept(alice.scope, change_set.pk, at=timezone.now())
    deciding.roll_back(alice.scope, change_set.pk, at=timezone.now())

    entries = AuditEntry.objects.filter(object_id=str(change_set.pk)).order_by("pk")
    assert [entry.action.rpartition(".")[2] for entry in entries] == ["propose", "accept", "roll_back"]
    assert [entry.actor for entry in entries] == [None, alice.user, alice.user]


# --- the way back


def snapshot() -> dict[str, list[str]]:
    """Every row that search, lists and rankings rest on. A vector that went with its passage is made anew."""
    queries = {
        "memory_memory": "SELECT m::text FROM memory_memory m ORDER BY id",
        "memory_passage": "SELECT p::text FROM memory_passage p ORDER BY id",
        "memory_words": "SELECT w::text FROM memory_words w ORDER BY passage_id",
        "memory_term": "SELECT t::text FROM memory_term t ORDER BY shelf_id, term",
        "memory_shelf": "SELECT s::text FROM memory_shelf s ORDER BY id",
        "memory_embedding": "SELECT (passage_id, model_id, shelf_id, digest)::text FROM memory_embedding ORDER BY passage_id",
        "derived": "SELECT (from_memory_id, to_memory_id)::text FROM memory_memory_derived_from ORDER BY 1",
    }
    with connection.cursor() as cursor:
        rows = {}
        for name, query in queries.items():
            cursor.execute(query)
            rows[name] = [text for (text,) in cursor.fetchall()]
    return rows


SENTENCES = [
    *TWICE,
    "The ledger is backed up every single night at 03:00",
    "生产环境的部署回滚由值班工程师批准",
    "生产环境的部署回滚由值班工程师来批准",
    "Releases go out on Friday after the tests",
    "Releases go out on a Friday after the tests",
    "Something else altogether",
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SENTENCES),
            st.sampled_from(["core", "episodic"]),
            st.sampled_from([0.1, 0.3, 0.9]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=10,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rolling_back_restores_to_the_letter(
    in_acme: None, alice: Person, drawn: list[tuple[str, str, float, bool, bool]], random: Any
) -> None:
    mine = Owner.of_user(alice.user)
    sid = transaction.savepoint()
    try:
        for number, (text, tier, importance, is_old, is_superseded) in enumerate(drawn):
            origin = Origin(author=alice.user, thread=f"t{number % 3}" if tier == "episodic" else "")
            memory = writing.remember(owner=mine, tier=tier, text=text, origin=origin, importance=importance)
            if is_superseded and memory.is_current:
                writing.supersede(memory, text=f"{text}, or so", origin=origin)
                Memory.objects.filter(pk=memory.pk).update(superseded_at=timezone.now() - LONG_AGO)
            if is_old:
                age(memory)
        before = snapshot()

        for change_set in propose(alice):
            ids = [change.pk for change in changes_of(change_set)]
            chosen = random.sample(ids, random.randint(1, len(ids)))
            deciding.accept(alice.scope, change_set.pk, chosen=chosen, at=timezone.now())
            assert_index_is_right()
            assert snapshot() != before
            deciding.roll_back(alice.scope, change_set.pk, at=timezone.now())

        assert snapshot() == before
        assert_index_is_right()
    finally:
        transaction.savepoint_rollback(sid)


def test_a_merge_that_was_edited_since_isnt_undone(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))
    deciding.accept(alice.scope, change_set.pk, at=timezone.now())
    result = changes_of(change_set)[0].result
    assert result is not None
    keeping.correct(alice.scope, result, text="The ledger is backed up at noon")

    with pytest.raises(OpenInternError) as refused:
        deciding.roll_back(alice.scope, change_set.pk, at=timezone.now())

    assert refused.value.code == "CONFLICT"
    assert found(alice.scope, "noon")[0] == "The ledger is backed up at noon"


def test_what_was_removed_for_good_doesnt_come_back(note: Remember, alice: Person) -> None:
    age(note("a small episode of long ago", owner=Owner.of_user(alice.user), importance=0.3))
    change_set = the_only(propose(alice))
    now = timezone.now()
    deciding.accept(alice.scope, change_set.pk, at=now)
    later = now + timedelta(days=31)

    for _ in range(2):
        with pytest.raises(OpenInternError) as refused:
            deciding.roll_back(alice.scope, change_set.pk, at=later)
        assert refused.value.code == "CONFLICT"
        assert forgetting.purge(at=later) in {0, 1}


def test_a_forgotten_memory_doesnt_come_back_over_what_its_source_wrote_anew(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    old = note("page, version one", owner=mine, source_key="page")
    forgetting_id = forgetting.forget([old], at=timezone.now())
    note("page, version two", owner=mine, source_key="page")

    with pytest.raises(OpenInternError) as refused:
        forgetting.restore(forgetting_id, at=timezone.now())

    assert refused.value.code == "CONFLICT"


# --- whose


@pytest.fixture
def shared(note: Remember, alice: Person, bob: Person, projects: tuple[Project, Project]) -> ChangeSet:
    """A project's change set: Alice and Bob have said the same."""
    ours = Owner.of_project(projects[0])
    note(TWICE[0], owner=ours, tier="core", origin=Origin(author=alice.user))
    note(TWICE[1], owner=ours, tier="core", origin=Origin(author=bob.user))
    return the_only(propose(alice, ours))


def test_a_projects_set_is_seen_by_its_people_and_decided_by_an_admin(
    shared: ChangeSet, alice: Person, bob: Person, victor: Person, projects: tuple[Project, Project]
) -> None:
    assert deciding.change_sets(bob.scope).get() == shared
    assert not deciding.change_sets(victor.scope).exists()
    assert not deciding.change_sets(within(alice, projects[1])).exists()
    with pytest.raises(OpenInternError) as refused:
        deciding.accept(bob.scope, shared.pk, at=timezone.now())
    assert refused.value.code == "FORBIDDEN"

    deciding.accept(alice.scope, shared.pk, at=timezone.now())

    merged = Memory.objects.get(source_type="consolidation")
    assert merged.author is None


def test_who_added_all_of_it_decides(note: Remember, bob: Person, projects: tuple[Project, Project]) -> None:
    ours = Owner.of_project(projects[0])
    for text in TWICE:
        note(text, owner=ours, tier="core", origin=Origin(author=bob.user))

    deciding.accept(bob.scope, the_only(propose(bob, ours)).pk, at=timezone.now())

    assert len(found(bob.scope, "ledger")) == 1


def test_a_persons_set_is_theirs_alone(note: Remember, alice: Person, bob: Person, charlie: Person) -> None:
    for text in TWICE:
        note(text, owner=Owner.of_user(bob.user), tier="core")
    change_set = the_only(propose(bob))

    for act in (deciding.accept, deciding.reject, deciding.roll_back):
        with pytest.raises(NotFound):
            act(alice.scope, change_set.pk, at=timezone.now())
        with org_scope(charlie.org), pytest.raises(NotFound):
            act(charlie.scope, change_set.pk, at=timezone.now())


# --- the policy, and the model


def test_a_policy_accepts_what_it_says_in_projects_and_never_for_a_person(
    note: Remember, alice: Person, projects: tuple[Project, Project]
) -> None:
    ConsolidationPolicy.objects.create(accepts_merges=True)
    ours, mine = Owner.of_project(projects[0]), Owner.of_user(alice.user)
    for owner in (ours, mine):
        age(note("a small episode of long ago", owner=owner, importance=0.3))
        for text in TWICE:
            note(text, owner=owner, tier="core")

    of_project, of_person = propose(alice, ours), propose(alice, mine)

    assert {(each.state, each.changes.get().kind) for each in of_project} == {
        ("proposed", "stale"),
        ("accepted", "merge"),
    }
    assert [(each.state, each.changes.count()) for each in of_person] == [("proposed", 2)]
    accepted = next(each for each in of_project if each.state == State.ACCEPTED)
    assert accepted.decided_by is None
    deciding.roll_back(alice.scope, accepted.pk, at=timezone.now())
    assert_index_is_right()


def test_by_default_nothing_is_accepted_by_itself() -> None:
    policy = ConsolidationPolicy()

    assert not any(policy.accepts(kind) for kind in Change.Kind.values)
    assert not policy.uses_model


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch, alice: Person, in_acme: None) -> list[str]:
    """A writer that says what stands in the list, the last first."""
    said: list[str] = []
    ConsolidationPolicy.objects.create(uses_model=True, accepts_merges=True, set_by=alice.user)
    monkeypatch.setattr(writers, "_writers", [lambda texts, payer, project: Written(said.pop(), by="a-model")])
    return said


def test_a_model_writes_the_merge_and_a_person_still_looks(
    writer: list[str], note: Remember, alice: Person, projects: tuple[Project, Project]
) -> None:
    ours = Owner.of_project(projects[0])
    for text in TWICE:
        note(text, owner=ours, tier="core")
    writer.append("Each night at 03:00 the ledger is backed up.")

    change_set = the_only(propose(alice, ours))

    change = changes_of(change_set)[0]
    assert (change_set.state, change.written_by) == (State.PROPOSED, "a-model")
    deciding.accept(alice.scope, change_set.pk, at=timezone.now())
    merged = Memory.objects.get(source_type="consolidation")
    assert (merged.text, merged.trust) == ("Each night at 03:00 the ledger is backed up.", Trust.DERIVED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The ledger is backed up at 04:00.",
        "See https://evil.example/03:00 at 03:00",
        "Every night. " * 30,
        "The ledger is backed up",
    ],
)
def test_what_a_model_makes_up_or_leaves_out_isnt_taken(
    writer: list[str], twice: list[Memory], alice: Person, text: str
) -> None:
    writer.append(text)

    change = changes_of(the_only(propose(alice)))[0]

    assert change.written_by == ""
    assert change.text in TWICE


# --- the command and the schedule


def test_the_command_looks_and_proposes(twice: list[Memory], alice: Person, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("consolidate", "--org", "acme", "--dry-run")
    assert "acme person alice: merge" in capsys.readouterr().out
    assert not ChangeSet.objects.exists()

    call_command("consolidate", "--org", "acme")

    assert "1 changes to be reviewed" in capsys.readouterr().out
    assert ChangeSet.objects.count() == 1


def test_the_schedule_leaves_an_organisation_alone_that_wants_no_pass(twice: list[Memory], alice: Person) -> None:
    policy = ConsolidationPolicy.objects.create(is_on=False)
    passes.propose_all()
    assert not ChangeSet.objects.exists()
    policy.is_on = True
    policy.save(update_fields=["is_on"])

    passes.propose_all()

    assert ChangeSet.objects.count() == 1


def test_boards_and_instances_are_left_alone(note: Remember, alice: Person) -> None:
    for text in TWICE:
        note(text, owner=Owner(board="b1"), tier="core")
        note(text, owner=Owner(agent="a1"), tier="core")

    passes.propose_all()

    assert not ChangeSet.objects.exists()


def test_the_way_of_a_set_is_data_and_the_database_knows_its_states(twice: list[Memory], alice: Person) -> None:
    change_set = the_only(propose(alice))

    with pytest.raises(Exception, match="memory_changeset_state"), transaction.atomic():
        ChangeSet.objects.filter(pk=change_set.pk).update(state="maybe")


def test_ids_that_never_were_are_not_found(in_acme: None, alice: Person) -> None:
    with pytest.raises(NotFound):
        deciding.find_change_set(replace(alice.scope), uuid.uuid4())
