"""What is searched is found, and nothing else: in any language, whatever the query holds."""

from __future__ import annotations

import time
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from memory import search
from memory.embedding import filling
from memory.models import Shelf
from memory.owners import Owner
from memory.search import Filters
from memory.search.finding import search_shelves
from memory.search.statement import PER_ARM
from memory.writing import Origin
from openintern.errors import Invalid, NotFound
from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person
from tests.memory.conftest import Remember, found, within

UNSPACED = "上周五我们讨论了生产环境的部署回滚流程并决定先通知值班同事"


def test_what_is_written_in_one_scope_is_found_there_and_in_no_other(
    note: Remember, alice: Person, bob: Person
) -> None:
    memory = note("The staging password rotates on Mondays", owner=Owner.of_user(alice.user))

    assert isinstance(memory.pk, uuid.UUID)
    assert found(alice.scope, "when does the password rotate?") == [memory.text]
    assert search.find_memory(alice.scope, memory.pk) == memory
    assert found(bob.scope, "password") == []
    with pytest.raises(NotFound):
        search.find_memory(bob.scope, memory.pk)


def test_another_organisation_finds_nothing(note: Remember, alice: Person, charlie: Person) -> None:
    memory = note("canary7Qx", owner=Owner.of_user(alice.user))

    with org_scope(charlie.org):
        assert found(charlie.scope, "canary7Qx", limit=100) == []
        with pytest.raises(NotFound):
            search.find_memory(charlie.scope, memory.pk)


def test_an_admin_does_not_see_what_somebody_keeps_for_themselves(note: Remember, alice: Person, bob: Person) -> None:
    note("Bob dislikes his salary", owner=Owner.of_user(bob.user), tier="core")

    assert found(alice.scope, "salary") == []


def test_chinese_is_found_inside_an_unspaced_sentence_before_everything_else(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    for text in ("部门聚餐定在周五", "回到署名页面滚动查看", UNSPACED, "Deployments roll back by themselves"):
        note(text, owner=mine)

    hits = search.search(alice.scope, "部署回滚").hits

    assert hits[0].text == UNSPACED
    [(start, end)] = hits[0].quotes[0].highlights
    assert hits[0].snippet[start:end] == "部署回滚"


@pytest.mark.parametrize("query", ["回", "滚流", "ＤＥＰＬＯＹＭＥＮＴ", "deploying", "Café", "cafe"])
def test_a_single_character_another_width_another_form_or_accent_is_found(
    query: str, note: Remember, alice: Person
) -> None:
    wanted = note(f"{UNSPACED} The deployment was planned in a café", owner=Owner.of_user(alice.user))
    note("Nothing of that kind is said here", owner=Owner.of_user(alice.user))

    assert search.search(alice.scope, query).hits[0].id == wanted.pk


@pytest.mark.parametrize(
    "query",
    ["a & !b:*", "'; DROP TABLE memory_memory; --", "%_%", "(?:a+)+$", "<->", "\\", "%s %(x)s {}", "\0\ud800 tea"],
)
def test_a_query_is_plain_text_whatever_it_holds(query: str, note: Remember, alice: Person) -> None:
    note("Alice likes tea", owner=Owner.of_user(alice.user))

    assert found(alice.scope, query) == ["Alice likes tea"]


def test_a_query_of_100_kb_is_answered_within_a_second(note: Remember, alice: Person) -> None:
    note("Alice likes tea", owner=Owner.of_user(alice.user))
    query = " ".join(f"word{number}" for number in range(11_000))
    found(alice.scope, "warm up")

    begun = time.monotonic()
    texts = found(alice.scope, f"tea {query}")

    assert time.monotonic() - begun < 1.0
    assert texts == ["Alice likes tea"]


def test_a_query_without_anything_in_it_is_refused(in_acme: None, alice: Person) -> None:
    with pytest.raises(Invalid):
        search.search(alice.scope, "  ")


def test_there_are_never_fewer_hits_than_memories_up_to_the_limit(note: Remember, alice: Person) -> None:
    for number in range(30):
        note(f"note number {number} about subject {number * 7}", owner=Owner.of_user(alice.user))

    assert len(found(alice.scope, "unrelated", limit=20)) == 20
    assert len(found(alice.scope, "unrelated", limit=100)) == 30


def test_nor_where_one_document_fills_both_arms_or_more_is_asked_for_than_an_arm_brings(
    note: Remember, alice: Person
) -> None:
    mine = Owner.of_user(alice.user)
    chapters = (f"# Chapter {number}\n\n" + f"The turbine hums in hall {number}. " * 30 for number in range(200))
    book = note("\n\n".join(chapters), owner=mine, tier="archival")
    for number in range(120):
        note(f"note number {number} about subject {number * 7}", owner=mine)

    hits = search.search(alice.scope, "turbine hall", limit=10).hits

    assert book.passages.count() > 2 * PER_ARM
    assert hits[0].id == book.pk
    assert len({hit.id for hit in hits}) == 10
    assert len(found(alice.scope, "turbine hall", limit=100)) == 100
    assert found(alice.scope, "note", filters=Filters(document="nothing has it")) == []


@pytest.mark.parametrize(("limit", "expected"), [(0, 1), (-5, 1), (10**9, 3)])
def test_a_limit_out_of_bounds_is_brought_within(limit: int, expected: int, note: Remember, alice: Person) -> None:
    for text in ("one apple", "two pears", "three plums"):
        note(text, owner=Owner.of_user(alice.user))

    assert len(found(alice.scope, "apple", limit=limit)) == expected


def test_a_rare_word_counts_for_more_and_every_word_counts(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    rare = note("the report mentions zirconium", owner=mine)
    for number in range(20):
        note(f"the report of week {number} is late", owner=mine)

    hits = search.search(alice.scope, "which report of the week mentions zirconium").hits

    assert hits[0].id == rare.pk


def test_statistics_are_those_of_the_scope(note: Remember, alice: Person, bob: Person) -> None:
    for number in range(20):
        note(f"zirconium batch {number}", owner=Owner.of_user(bob.user))
    note("zirconium is rare here", owner=Owner.of_user(alice.user))
    note("something else", owner=Owner.of_user(alice.user))

    [first, *_] = search.search(alice.scope, "zirconium", explain=True).hits

    assert first.explanation is not None
    assert first.explanation.words == pytest.approx(_bm25(passages=2, having=1, length=4, mean=3.0), rel=1e-3)


def _bm25(*, passages: int, having: int, length: int, mean: float) -> float:
    from math import log

    idf = log(1 + (passages - having + 0.5) / (having + 0.5))
    return idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length / mean))


def test_one_memory_is_one_hit_with_its_best_passages(note: Remember, alice: Person) -> None:
    text = "\n\n".join(f"# Part {number}\n\n" + f"The turbine of hall {number} hums. " * 40 for number in range(6))
    memory = note(text, owner=Owner.of_user(alice.user), tier="archival")
    note("A turbine is a machine", owner=Owner.of_user(alice.user))

    hits = search.search(alice.scope, "turbine hall 3").hits

    assert [hit.id for hit in hits].count(memory.pk) == 1
    [hit] = [hit for hit in hits if hit.id == memory.pk]
    assert 1 < len(hit.quotes) <= 3
    assert all(memory.text[quote.start : quote.end].strip() for quote in hit.quotes)
    assert [quote.score for quote in hit.quotes] == sorted((quote.score for quote in hit.quotes), reverse=True)


def test_a_hit_lifts_its_neighbours_in_the_conversation(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    turns = ["Good morning", "Did you ever get that puppy?", "Yes, a scruffy terrier", "Lovely weather", "See you"]
    for turn in turns:
        note(turn, owner=mine, origin=Origin(thread="c1"))
    for number in range(5):
        note(f"Unrelated remark {number}", owner=mine)

    hits = search.search(alice.scope, "puppy", explain=True).hits

    by_text = {hit.text: hit for hit in hits}
    assert by_text["Yes, a scruffy terrier"].explanation.lift > 0  # type: ignore[union-attr]
    assert hits[0].text == "Did you ever get that puppy?"
    assert "Yes, a scruffy terrier" in [hit.text for hit in hits[:3]]


def test_importance_and_age_decide_between_equals(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    note("The printer is on floor two", owner=mine, importance=0.1)
    vital = note("The printer is on floor three", owner=mine, importance=0.9)

    assert search.search(alice.scope, "where is the printer").hits[0].id == vital.pk


def test_filters_and_tiers_hold_inside_the_arms(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    for number in range(150):
        note(f"apple apple apple {number}", owner=mine)
    wanted = note("one apple among pears", owner=mine, origin=Origin(source_type="mail"))
    core = note("apple in the core", owner=mine, tier="core")

    assert found(alice.scope, "apple", filters=Filters(source_types=("mail",))) == [wanted.text]
    assert found(alice.scope, "apple", tiers=["core"]) == [core.text]
    with pytest.raises(Invalid):
        search.search(alice.scope, "apple", tiers=["nonsense"])


def test_a_search_says_how_many_passages_lack_their_vector(note: Remember, alice: Person) -> None:
    note("The embedder has not been here yet", owner=Owner.of_user(alice.user))

    before = search.search(alice.scope, "embedder", explain=True)
    filling.fill_batch(limit=1000)
    after = search.search(alice.scope, "embedder", explain=True)

    assert (before.missing_vectors, after.missing_vectors) == (1, 0)
    assert before.hits[0].explanation.similarity is None  # type: ignore[union-attr]
    assert after.hits[0].explanation.similarity > 0  # type: ignore[union-attr, operator]


def test_the_ranking_is_one_statement(note: Remember, alice: Person) -> None:
    note("The ranking", owner=Owner.of_user(alice.user))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        search_shelves(Shelf.objects.filter(user=alice.user), "ranking")

    ranking = [query["sql"] for query in queries if "memory_words" in query["sql"]]
    assert len(ranking) == 1


def test_snippets_show_the_part_that_matters(note: Remember, alice: Person) -> None:
    note("Filler sentence. " * 20 + "The antenna is broken. " + "More filler. " * 10, owner=Owner.of_user(alice.user))

    [hit] = search.search(alice.scope, "broken antennas").hits

    marked = {hit.snippet[start:end] for quote in hit.quotes[:1] for start, end in quote.highlights}
    assert marked == {"antenna", "broken"}
    assert len(hit.snippet) <= 240
    assert hit.snippet.startswith("…")


class TestProjects:
    def test_what_a_project_shares_is_found_by_its_members_and_recalled_in_its_runs(
        self, note: Remember, bob: Person, projects: tuple[Project, Project]
    ) -> None:
        ours, theirs = projects
        for source in ("pdf", "feishu_doc"):
            text = f"The turbine manual of {source}"
            note(text, owner=Owner.of_project(ours), tier="archival", origin=Origin(source_type=source))

        assert len(found(bob.scope, "turbine")) == 2
        assert len(search.recall(within(bob, ours), "turbine").hits) == 2
        assert search.recall(within(bob, theirs), "turbine").hits == ()
        assert search.recall(bob.scope, "turbine").hits == ()

    def test_a_project_in_the_scope_leaves_the_others_out(
        self, note: Remember, alice: Person, projects: tuple[Project, Project]
    ) -> None:
        ours, theirs = projects
        note("theirs is secret", owner=Owner.of_project(theirs))

        assert found(within(alice, ours), "secret") == []
        assert found(within(alice, theirs), "secret") == ["theirs is secret"]

    def test_a_colleague_outside_the_project_finds_nothing(
        self, note: Remember, bob: Person, projects: tuple[Project, Project]
    ) -> None:
        note("theirs is secret", owner=Owner.of_project(projects[1]))

        assert found(bob.scope, "secret") == []


class TestBoardsAndInstances:
    def test_a_boards_entry_is_found_on_that_board_alone(self, note: Remember, alice: Person) -> None:
        note("the group decided on granite", owner=Owner(board="group-x"))

        assert found(alice.scope, "granite") == []
        assert found(alice.scope, "granite", board="group-y") == []
        assert found(alice.scope, "granite", board="group-x") == ["the group decided on granite"]

    def test_an_instances_memory_is_found_by_that_instance_alone(self, note: Remember, alice: Person) -> None:
        note("I prefer short answers", owner=Owner(agent="instance-1"))

        assert found(alice.scope, "short answers") == []
        assert found(alice.scope, "short answers", agent="instance-2") == []
        assert found(alice.scope, "short answers", agent="instance-1") == ["I prefer short answers"]


def test_recall_keeps_within_its_limit_and_lets_no_tier_drown_the_others(note: Remember, alice: Person) -> None:
    mine = Owner.of_user(alice.user)
    for number in range(20):
        note(f"tea happened {number}", owner=mine, tier="episodic")
    core = note("Alice likes tea", owner=mine, tier="core")
    manual = note("How tea is brewed", owner=mine, tier="archival")

    hits = search.recall(alice.scope, "tea", limit=6).hits

    assert len(hits) == 6
    assert {core.pk, manual.pk} <= {hit.id for hit in hits}
