"""What a run is reminded of, what it leaves, and what its tools remember, find and forget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings

from memory import forgetting, search
from memory.documents.ingesting import Source, ingest
from memory.documents.parts import heading, paragraph
from memory.models import Memory
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.engine import remembering
from runs.llm.types import RECALLED
from runs.models import Run
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls, listen, of_type, types

Work = Callable[[], int]
Start = Callable[..., Run]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def memory_on(monkeypatch: pytest.MonkeyPatch, alice: Person) -> None:
    """Runs are reminded and leave memories; Alice remembers nothing yet."""
    memory = replace(settings.CONFIG.memory, recalled=6, remembers_runs=True)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, memory=memory))
    with org_scope(alice.org):
        forgetting.forget(Memory.objects.filter(forgotten_at__isnull=True), at=NOW)


def know(person: Person, text: str, **options: Any) -> Memory:
    with org_scope(person.org):
        origin = Origin(author=person.user)
        return remember(owner=Owner.of_user(person.user), tier="core", text=text, origin=origin, **options)


def memories_of(person: Person, run: Run) -> list[Memory]:
    with org_scope(person.org):
        return list(Memory.objects.filter(run_id=run.pk, forgotten_at__isnull=True).select_related("shelf", "author"))


def test_a_run_is_reminded_of_what_helps_and_the_log_says_so(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = know(alice, "The deployment window is Tuesday at nine.")
    heard = listen(monkeypatch)
    run = start_run(alice, "When may the deployment begin?", steps=[{"text": "Tuesday."}])

    work()

    reminder = heard[0].messages[-1]
    assert (reminder["role"], reminder["content"].startswith(RECALLED)) == ("user", True)
    assert "Tuesday at nine" in reminder["content"]
    recalled = of_type(events_of(alice, run), "memory.recalled")
    assert [hit["id"] for hit in recalled[0]["hits"]] == [str(known.pk)]
    assert_whole(alice, run)


def test_what_an_agent_was_reminded_of_counts_as_needed(alice: Person, start_run: Start, work: Work) -> None:
    with org_scope(alice.org):
        memory = remember(
            owner=Owner.of_user(alice.user), tier="core", text="Alice drinks coffee without milk", origin=Origin()
        )

    start_run(alice, "How does Alice drink coffee?", steps=[{"text": "Without milk."}])
    work()

    with org_scope(alice.org):
        assert Memory.objects.get(pk=memory.pk).recalled_at is not None


def test_what_an_agent_read_counts_as_needed(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = replace(settings.CONFIG.memory, recalled=0)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, memory=silent))
    memory = know(alice, "A fact that nothing reminds of")

    start_run(alice, "…", steps=[calls("memory_get", id=str(memory.pk)), {"text": "Read."}])
    work()

    with org_scope(alice.org):
        assert Memory.objects.get(pk=memory.pk).recalled_at is not None


def test_the_reminder_is_no_part_of_the_conversation_and_is_logged_once(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(alice, "The deployment window is Tuesday at nine.")
    heard = listen(monkeypatch)
    run = start_run(
        alice, "When may the deployment begin?", steps=[calls("list_files"), calls("list_files"), {"text": "Tuesday."}]
    )

    work()

    for request in heard:
        assert [RECALLED in str(message["content"]) for message in request.messages].count(True) == 1
        assert RECALLED in request.messages[-1]["content"]
    assert types(events_of(alice, run)).count("memory.recalled") == 1


def test_nobody_is_reminded_of_what_is_somebody_elses(
    alice: Person, bob: Person, charlie: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(alice, "The safe's number is canary4safe.")
    heard = listen(monkeypatch)
    for person in (bob, charlie):
        start_run(person, "What is the safe's number?", steps=[{"text": "I don't know."}])

    work()

    assert len(heard) == 2
    assert "canary4safe" not in str([request.messages for request in heard])


def test_a_finished_run_leaves_a_memory_with_its_evidence(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice, "Which files are there?", steps=[calls("list_files"), {"text": "None yet."}])

    work()

    (left,) = memories_of(alice, run)
    assert (left.tier, left.owner.kind, left.trust) == ("episodic", "user", "outside")  # it has read names of files
    assert left.text == "Which files are there?\n\nNone yet."
    results = [event.seq for event in events_of(alice, run) if event.type == "tool.result"]
    assert left.metadata["events"] == results


def test_later_runs_of_the_conversation_are_not_told_twice(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_run(alice, "The password of the day is heron.", steps=[{"text": "Noted: heron."}], session_key="s_twice")
    work()
    heard = listen(monkeypatch)

    start_run(alice, "What is the password of the day?", steps=[{"text": "Heron."}], session_key="s_twice")
    start_run(alice, "What is the password of the day?", steps=[{"text": "Heron."}], session_key="s_elsewhere")
    work()

    same, other = heard
    assert RECALLED not in str(same.messages)
    assert "heron" in other.messages[-1]["content"]


def test_what_a_removed_run_left_goes_with_it(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice, "Remember the heron.", steps=[{"text": "The heron."}])
    work()
    assert memories_of(alice, run)

    with org_scope(alice.org):
        lifecycle.delete_run(alice.scope, run.pk, at=NOW)

    assert memories_of(alice, run) == []


def test_a_run_ends_even_if_it_can_not_be_remembered(
    alice: Person, start_run: Start, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_LONGEST_TASK", 5_000_000)
    monkeypatch.setattr("memory.writing.LONGEST_TEXT", 10)
    run = start_run(alice, "a task that is longer than ten characters", steps=[{"text": "An answer."}])

    work()

    assert status_of(alice, run) == "completed"
    assert memories_of(alice, run) == []
    assert_whole(alice, run)


def test_an_agent_remembers_finds_reads_and_forgets(alice: Person, start_run: Start, work: Work) -> None:
    write = {"type": "core", "text": "Alice likes her coffee black.", "importance": 0.9}
    run = start_run(
        alice, "…", steps=[calls("memory_write", **write), calls("memory_write", **write), {"text": "Noted."}]
    )
    work()
    first, second = [payload["result"] for payload in of_type(events_of(alice, run), "tool.result")]
    assert first["id"] == second["id"]

    found = start_run(
        alice,
        "…",
        steps=[
            calls("memory_search", query="How does Alice drink coffee?", types=["core"]),
            calls("memory_get", id=first["id"]),
            calls("memory_forget", id=first["id"]),
            calls("memory_get", id=first["id"]),
            {"text": "Forgotten."},
        ],
    )
    work()

    search_result, got, forgotten, gone = of_type(events_of(alice, found), "tool.result")
    assert search_result["result"]["results"][0]["id"] == first["id"]
    assert (got["result"]["text"], got["result"]["importance"]) == ("Alice likes her coffee black.", 0.9)
    assert forgotten["result"] == {"id": first["id"], "forgotten": True}
    assert "There is no memory" in gone["error"]["message"]


def test_an_agent_hears_the_page_of_a_document_and_not_its_beginning(
    alice: Person, start_run: Start, work: Work
) -> None:
    parts = [
        heading("Intro", level=1, page=1),
        *(paragraph(f"Sentence number {number} says little. " * 5, page=1) for number in range(40)),
        heading("Rollback", level=1, page=7),
        paragraph("Restore the zebrafish.", page=7),
    ]
    with org_scope(alice.org):
        ingest(
            owner=Owner.of_user(alice.user), parts=parts, source=Source(key="guide", name="guide.pdf", type="document")
        )

    run = start_run(alice, "…", steps=[calls("memory_search", query="zebrafish"), {"text": "Page 7."}])
    work()

    hit = of_type(events_of(alice, run), "tool.result")[0]["result"]["results"][0]
    assert hit["text"].startswith("# Rollback")
    assert (max(hit["source"]["pages"]), hit["source"]["document"]) == (7, "guide.pdf")
    assert "Rollback" in hit["source"]["sections"]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (("memory_search", {"query": "   "}), "query is required"),
        (("memory_write", {"type": "core", "text": "  "}), "type and text are required"),
        (("memory_write", {"type": "board", "text": "x"}), "Invalid tool arguments"),
        (("memory_write", {"type": "core", "text": "x", "user_id": "bob"}), "Invalid tool arguments"),
        (("memory_write", {"type": "core", "text": "x", "shared": True}), "belongs to no project"),
        (("memory_get", {"id": "not-an-id"}), "There is no memory"),
    ],
)
def test_what_can_not_be_done_is_said(
    alice: Person, start_run: Start, work: Work, call: tuple[str, dict[str, Any]], complaint: str
) -> None:
    run = start_run(alice, "…", steps=[calls(call[0], **call[1]), {"text": "I see."}])

    work()

    assert complaint in of_type(events_of(alice, run), "tool.result")[0]["error"]["message"]


def test_an_agent_can_not_reach_another_persons_memory(
    alice: Person, bob: Person, start_run: Start, work: Work
) -> None:
    secret = know(alice, "canary7Qx belongs to Alice alone")
    steps = [calls("memory_get", id=str(secret.pk)), calls("memory_forget", id=str(secret.pk))]
    run = start_run(bob, "…", steps=[*steps, calls("memory_search", query="canary7Qx Alice"), {"text": "No."}])

    work()

    results = of_type(events_of(bob, run), "tool.result")
    assert [payload["isError"] for payload in results] == [True, True, False]
    assert "alone" not in str(results)
    with org_scope(alice.org):
        assert search.find_memory(alice.scope, secret.pk).pk == secret.pk


def test_the_demo_model_remembers_what_it_is_told_and_answers_from_memory_with_its_source(
    alice: Person, start_run: Start, work: Work
) -> None:
    told = start_run(
        alice,
        "Remember that the deployment window is Tuesday at nine.",
        llm_config={"provider": "demo"},
        session_key="s_t",
    )
    work()
    (kept,) = [memory for memory in memories_of(alice, told) if memory.tier == "core"]

    asked = start_run(
        alice, "When is the deployment window?", llm_config={"provider": "demo"}, session_key="s_elsewhere_2"
    )
    work()

    answer = reload(alice, asked).output or ""
    assert "Tuesday at nine" in answer
    assert f"`memory {kept.pk}`" in answer
    assert_whole(alice, asked)


def test_the_demo_model_does_not_quote_what_it_said_itself(alice: Person, start_run: Start, work: Work) -> None:
    first = start_run(alice, "What do the zebrafish in the basin eat?", llm_config={"provider": "demo"})
    work()
    assert memories_of(alice, first)

    second = start_run(
        alice, "How old are the zebrafish in the basin?", llm_config={"provider": "demo"}, session_key="s_elsewhere_3"
    )
    work()

    (result,) = [
        payload["result"]
        for payload in of_type(events_of(alice, second), "tool.result")
        if payload["toolName"] == "memory_search"
    ]
    assert result["results"], "it has found what it said before"
    assert "`memory " not in (reload(alice, second).output or "")


def test_the_demo_model_tells_nobody_what_somebody_else_keeps(
    alice: Person, bob: Person, start_run: Start, work: Work
) -> None:
    know(alice, "The deployment window is canary4window.")
    asked = start_run(bob, "When is the deployment window?", llm_config={"provider": "demo"})

    work()

    assert "canary4window" not in str([event.payload for event in events_of(bob, asked)])
