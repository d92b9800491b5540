"""Writes: once, whole, with what search reads, within bounds, without secrets."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from memory import forgetting, terms, writing
from memory.models import Embedding, Memory, Passage, Shelf, Term, Words
from memory.owners import Owner
from memory.writing import Origin, remember, supersede, update
from openintern.errors import Invalid, OpenInternError
from openintern.redaction import MARK
from openintern.tenancy.scope import org_scope
from tests.conftest import Person
from tests.memory.conftest import Remember, found

KEY = "sk-abcdefghijklmnopqrstuvwx"


def assert_index_is_right() -> None:
    """Statistics and words are those of the passages that can be found, counted anew."""
    for shelf in Shelf.objects.all():
        current = Memory.objects.filter(shelf=shelf, forgotten_at=None, superseded_at=None)
        passages = Passage.objects.filter(memory__in=current)
        words = Words.objects.filter(shelf=shelf)
        assert set(words.values_list("passage_id", flat=True)) == set(passages.values_list("pk", flat=True))
        assert set(Embedding.objects.filter(shelf=shelf).values_list("passage_id", flat=True)) == {
            p.pk for p in passages
        }
        counts = [terms.counted(f"{p.heading}\n{p.text}") for p in passages]
        assert (shelf.passages, shelf.words) == (len(counts), sum(count.total() for count in counts))
        expected = Counter(terms.number(term) for count in counts for term in count)
        assert dict(Term.objects.filter(shelf=shelf).values_list("term", "passages")) == dict(expected)


def test_a_key_replaces_what_was_there_and_may_be_repeated(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    first = note("version one of the page", owner=mine, source_key="page-7")

    again = note("version one of the page", owner=mine, source_key="page-7")
    second = note("version two of the page", owner=mine, source_key="page-7", tier="archival")

    assert first.pk == again.pk == second.pk
    assert found(alice.scope, "version") == ["version two of the page"]
    assert_index_is_right()


def test_two_owners_may_use_the_same_key(note: Remember, alice: Person, bob: Person) -> None:
    memories = {note("the page", owner=Owner.of_user(person.user), source_key="page-7").pk for person in (alice, bob)}

    assert len(memories) == 2


@pytest.mark.parametrize("again", ["the deploy window is friday, 17:00!", "The deploy-window is  Friday 17:00"])
def test_what_says_the_same_is_not_remembered_twice(again: str, note: Remember, alice: Person) -> None:
    first = note("The deploy window is Friday 17:00.", owner=Owner.of_user(alice.user))

    assert note(again, owner=Owner.of_user(alice.user)).pk == first.pk


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Alice owes Bob 5", "Bob owes Alice 5"),
        ("Port 8080", "Port 8081"),
        ("It is on", "It is not on"),
        ("!!!", "???"),
    ],
)
def test_what_says_something_else_is(first: str, second: str, note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)

    assert note(first, owner=mine).pk != note(second, owner=mine).pk


def test_the_same_is_remembered_for_another_owner(note: Remember, alice: Person, bob: Person) -> None:
    assert note("same", owner=Owner.of_user(alice.user)).pk != note("same", owner=Owner.of_user(bob.user)).pk


def test_an_update_is_found_and_the_old_text_isnt(note: Remember, alice: Person) -> None:
    memory = note("the meeting is in Lisbon", owner=Owner.of_user(alice.user))

    changed = update(memory, text="the meeting is in Oslo", importance=0.9)

    assert (changed.pk, changed.importance) == (memory.pk, 0.9)
    assert found(alice.scope, "Lisbon") == ["the meeting is in Oslo"]
    assert_index_is_right()


def test_a_turn_that_changes_keeps_its_place_in_the_conversation(note: Remember, alice: Person) -> None:
    first, middle, last = (
        note(text, owner=Owner.of_user(alice.user), origin=Origin(thread="c")) for text in ("one", "two", "three")
    )

    update(middle, text="two and a half")

    chain = {each.memory_id: each.previous and each.previous.memory_id for each in Passage.objects.all()}
    assert chain == {first.pk: None, middle.pk: first.pk, last.pk: middle.pk}


def test_what_is_superseded_is_kept_and_found_no_more(note: Remember, alice: Person) -> None:
    old = note("the lead is Maya", owner=Owner.of_user(alice.user), source_key="lead")

    new = supersede(old, text="the lead is Jonas", origin=Origin())

    old.refresh_from_db()
    assert new.supersedes == old
    assert old.superseded_at is not None
    assert found(alice.scope, "lead") == ["the lead is Jonas"]
    with pytest.raises(OpenInternError):
        update(old, text="too late")
    assert_index_is_right()


def test_secrets_are_left_out_and_the_memory_is_marked(note: Remember, alice: Person) -> None:
    memory = note(f"the key is {KEY}, keep it", owner=Owner.of_user(alice.user), metadata={"token": KEY})

    assert memory.contains_secrets
    assert KEY not in memory.text + str(memory.metadata)
    assert memory.text == f"the key is {MARK}, keep it"
    assert "".join(passage.text for passage in memory.passages.order_by("ordinal")) == memory.text


def test_or_refused_where_the_operator_says_so(
    note: Remember, alice: Person, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.CONFIG.memory.__class__, "refuses_secrets", True, raising=False)
    object.__setattr__(settings.CONFIG.memory, "refuses_secrets", True)

    try:
        with pytest.raises(Invalid):
            note(f"the key is {KEY}", owner=Owner.of_user(alice.user))
    finally:
        object.__setattr__(settings.CONFIG.memory, "refuses_secrets", False)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"text": " "}, "VALIDATION_ERROR"),
        ({"text": "x" * (writing.LONGEST_TEXT + 1)}, "TOO_LARGE"),
        ({"tier": "secret"}, "VALIDATION_ERROR"),
        ({"importance": float("nan")}, "VALIDATION_ERROR"),
        ({"importance": 1.5}, "VALIDATION_ERROR"),
        ({"metadata": {"x": "y" * 30_000}}, "VALIDATION_ERROR"),
        ({"source_key": "k" * 301}, "VALIDATION_ERROR"),
    ],
)
def test_what_is_not_acceptable_is_refused(wrong: dict[str, object], code: str, in_acme: None, alice: Person) -> None:
    fine = {"owner": Owner.of_user(alice.user), "tier": "core", "text": "fine", "origin": Origin()}

    with pytest.raises(OpenInternError) as refusal:
        remember(**{**fine, **wrong})  # type: ignore[arg-type]

    assert refusal.value.code == code
    assert not Memory.objects.exists()


def test_nul_and_half_surrogates_are_replaced(note: Remember, alice: Person) -> None:
    memory = note("a\0b\ud800c", owner=Owner.of_user(alice.user))

    memory.refresh_from_db()
    assert memory.text == "a\ufffdb\ufffdc"


def test_a_run_may_leave_only_so_many_memories_a_minute(
    note: Remember, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RUN_WRITES_PER_MINUTE", 2)
    for text in ("one", "two"):
        note(text, owner=Owner.of_user(alice.user), origin=Origin(run_id="run_1"))

    with pytest.raises(OpenInternError) as refusal:
        note("three", owner=Owner.of_user(alice.user), origin=Origin(run_id="run_1"))

    assert refusal.value.code == "THROTTLED"
    note("three", owner=Owner.of_user(alice.user), origin=Origin(run_id="run_2"))


def test_an_owner_may_remember_only_so_much(note: Remember, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_PASSAGES", 1)
    note("one", owner=Owner.of_user(alice.user))

    with pytest.raises(OpenInternError):
        note("two", owner=Owner.of_user(alice.user))


@pytest.mark.parametrize("columns", [{}, {"board": "x", "agent": "y"}])
def test_the_database_refuses_a_shelf_without_exactly_one_owner(columns: dict[str, str], in_acme: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Shelf.objects.create(tier="core", **columns)
    with pytest.raises(Invalid):
        Owner(**columns)


def test_a_write_is_whole_or_not_at_all(in_acme: None, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the machine stopped here")

    monkeypatch.setattr("memory.index._ask_for_vectors", broken)

    with pytest.raises(RuntimeError), transaction.atomic():
        remember(owner=Owner.of_user(alice.user), tier="core", text="half a memory", origin=Origin())

    assert not Memory.objects.exists()
    assert not Passage.objects.exists()
    assert not Words.objects.exists()
    assert not Term.objects.exists()


TEXTS = st.sampled_from(
    ["tea", "green tea", "部署回滚", "部署", "the tea of Oslo", "zirconium " * 5, "# Title\n\nA paragraph about tea."]
)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["remember", "replace", "update", "supersede", "forget", "restore"]), TEXTS, st.integers(0, 9)
    ),
    max_size=12,
)


@pytest.fixture
def in_acme_for_examples(alice: Person) -> Iterator[Person]:
    with org_scope(alice.org):
        yield alice


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_whatever_comes_and_goes_the_index_is_right(
    acts: list[tuple[str, str, int]], in_acme_for_examples: Person
) -> None:
    with transaction.atomic():
        _carry_out(acts, Owner.of_user(in_acme_for_examples.user))

        assert_index_is_right()

        transaction.set_rollback(True)


def _restore(forgotten: uuid.UUID) -> None:
    """Bring back; where its source has written anew meanwhile, that is refused, and nothing comes back."""
    keys = Memory.objects.filter(forgotten_with=forgotten).exclude(source_key="").values("source_key")
    anew = Memory.objects.filter(forgotten_at=None, superseded_at=None, source_key__in=keys)
    if not anew.exists():
        forgetting.restore(forgotten, at=timezone.now())
        return
    with pytest.raises(OpenInternError, match="written anew"), transaction.atomic():
        forgetting.restore(forgotten, at=timezone.now())


def _carry_out(acts: list[tuple[str, str, int]], owner: Owner) -> None:
    forgettings = []
    for act, text, number in acts:
        current = list(Memory.objects.filter(forgotten_at=None, superseded_at=None).order_by("created_at"))
        chosen = current[number % len(current)] if current else None
        match act:
            case "remember":
                remember(owner=owner, tier="core", text=text, origin=Origin())
            case "replace":
                remember(owner=owner, tier="archival", text=text, origin=Origin(), source_key=f"key-{number % 2}")
            case "update" if chosen:
                update(chosen, text=text)
            case "supersede" if chosen:
                supersede(chosen, text=text, origin=Origin())
            case "forget" if chosen:
                forgettings.append(forgetting.forget([chosen], at=timezone.now()))
            case "restore" if forgettings:
                _restore(forgettings.pop())
