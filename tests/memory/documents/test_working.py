"""Readers that crash, stop, race and come too late: each document is read to one end, and nothing is there twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from memory.documents import accepting, reading, shelving, working
from memory.models import Document, Memory, Passage
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, Person

from .conftest import reload
from .making import pdf

State = Document.State


@pytest.fixture
def accept() -> Callable[..., Document]:
    def act(person: Person, content: bytes = b"The pangolin sleeps.", name: str = "guide.md") -> Document:
        with org_scope(person.org):
            return accepting.accept(person.scope, content=content, name=name).document

    return act


def crash(document: Document) -> None:
    """What is left of a reader that was killed: a claim whose lease is over."""
    assert working.claim(document.pk) is not None
    Document.objects.filter(pk=document.pk).update(available_at=Now() - timedelta(seconds=1))


def test_what_a_crash_left_is_read_once_its_lease_is_over(bob: Person, accept: Any) -> None:
    document = accept(bob)
    with org_scope(bob.org):
        assert working.claim() is not None
        assert working.claim() is None, "a lease holds"
        Document.objects.filter(pk=document.pk).update(available_at=Now() - timedelta(seconds=1))

        assert working.read_next() is not None

        assert Memory.objects.filter(documents=document).count() == 1
    assert reload(bob, document).state == State.DONE


def test_who_lost_a_document_writes_nothing(bob: Person, accept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document = accept(bob)
    read = reading.read

    def read_slowly(*args: Any, **options: Any) -> Any:
        findings = read(*args, **options)
        Document.objects.filter(pk=document.pk).update(available_at=Now() - timedelta(seconds=1))
        monkeypatch.setattr(working.reading, "read", read)
        working.read_next()
        findings.parts = []
        return findings

    monkeypatch.setattr(working.reading, "read", read_slowly)
    with org_scope(bob.org):
        working.read_next()

        done = reload(bob, document)
        assert (done.state, done.attempt) == (State.DONE, 2)
        assert done.memory is not None
        assert "pangolin" in done.memory.text


@pytest.mark.parametrize("meanwhile", ["newer", "forgotten"])
def test_what_changed_while_it_was_read_is_not_overwritten(
    bob: Person, accept: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    document = accept(bob)
    read = reading.read

    def read_while_it_changes(*args: Any, **options: Any) -> Any:
        findings = read(*args, **options)
        if meanwhile == "newer":
            accept(bob, b"The aardvark digs.")
        else:
            shelving.forget(bob.scope, document.pk, at=document.created_at)
        monkeypatch.setattr(working.reading, "read", read)
        return findings

    monkeypatch.setattr(working.reading, "read", read_while_it_changes)
    with org_scope(bob.org):
        working.read_next()

        assert not Memory.objects.filter(text__contains="pangolin").exists()
        if meanwhile == "newer":
            working.read_next()
            assert reload(bob, document).memory.text == "The aardvark digs."  # type: ignore[union-attr]


def test_a_document_that_takes_its_readers_down_is_given_up(bob: Person, accept: Any) -> None:
    document = accept(bob)
    with org_scope(bob.org):
        for _ in range(working.MOST_TRIES):
            crash(document)

        assert working.read_next() is None

    left = reload(bob, document)
    assert (left.state, left.problem) == (State.FAILED, Document.Problem.GIVEN_UP)


def test_a_bug_keeps_neither_other_documents_nor_other_organisations_waiting(
    bob: Person, charlie: Person, accept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, other, theirs = accept(bob, b"poison", "a"), accept(bob, b"fine", "b"), accept(charlie, b"fine", "c")
    read = reading.read

    def stumble(path: Path, **options: Any) -> Any:
        if path.read_bytes() == b"poison":
            raise ZeroDivisionError
        return read(path, **options)

    monkeypatch.setattr(working.reading, "read", stumble)
    for _ in range(2):
        working.read_all([bob.org, charlie.org])

    assert reload(bob, poison).state == State.READING, "until its lease is over"
    assert reload(bob, other).state == State.DONE
    assert reload(charlie, theirs).state == State.DONE


def test_a_reader_that_is_told_to_stop_hands_back(bob: Person, accept: Any) -> None:
    document = accept(bob, pdf("The pangolin sleeps."), "a.pdf")

    with org_scope(bob.org):
        working.read_next(is_stopping=lambda: True)

    left = reload(bob, document)
    assert (left.state, left.tries) == (State.QUEUED, 0)


def test_progress_is_seen_while_it_is_read(bob: Person, accept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document = accept(bob, pdf(*["text"] * 40), "a.pdf")
    monkeypatch.setattr(reading, "_TICK_SECONDS", 0.0)
    seen: list[tuple[str, float]] = []
    with org_scope(bob.org):

        def look() -> bool:
            now = reload(bob, document)
            seen.append((now.state, now.progress))
            return False

        working.read_next(is_stopping=look)

    assert {state for state, _ in seen} == {State.READING}
    assert sorted(progress for _, progress in seen) == [progress for _, progress in seen]
    assert reload(bob, document).progress == 1.0


def test_a_reader_can_be_lost_in_the_middle_of_its_work(
    bob: Person, accept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = accept(bob, pdf("The pangolin sleeps."), "a.pdf")
    monkeypatch.setattr(reading, "_TICK_SECONDS", 0.0)
    with org_scope(bob.org):

        def take() -> bool:
            Document.objects.filter(pk=document.pk).update(attempt=F("attempt") + 1)
            return False

        working.read_next(is_stopping=take)

        assert not Memory.objects.filter(documents=document).exists()


def test_two_readers_share_the_work_and_do_nothing_twice(committed: Cast, accept: Any) -> None:
    bob = committed.bob
    documents = [accept(bob, f"Text number {number}.".encode(), f"shared/{number}.txt") for number in range(12)]

    def work() -> None:
        try:
            working.read_all([bob.org])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    done = [reload(bob, document) for document in documents]
    assert {each.state for each in done} == {State.DONE}
    assert {each.tries for each in done} == {1}
    with org_scope(bob.org):
        assert Memory.objects.filter(document__startswith="shared/").count() == 12
        assert Passage.objects.filter(memory__document__startswith="shared/").count() == 12
        for document in documents:
            shelving.forget(bob.scope, document.pk, at=document.created_at)


def test_only_organisations_where_something_waits_are_looked_at(bob: Person, charlie: Person, accept: Any) -> None:
    accept(charlie)

    assert working.organizations_with_work() == [charlie.org]


def test_the_table_refuses_what_no_document_is(bob: Person, accept: Any) -> None:
    from django.db import IntegrityError, transaction

    document = accept(bob)
    with org_scope(bob.org):
        for wrong in ({"state": "lost"}, {"state": "failed"}, {"state": "done"}, {"problem": "broken"}):
            with pytest.raises(IntegrityError), transaction.atomic():
                Document.objects.filter(pk=document.pk).update(**wrong)
