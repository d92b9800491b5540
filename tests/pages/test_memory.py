"""The page of memories as a browser without JavaScript meets it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from memory import forgetting, keeping
from memory.models import EmbeddingModel, Memory, Trust
from memory.owners import Owner
from memory.search import question
from memory.writing import Origin, remember
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

HTMX = {"HX-Request": "true"}
Note = Callable[..., Memory]


@pytest.fixture
def note() -> Note:
    """Remember something of a person's: `note(alice, "text", tier="core")`."""

    def write(person: Person, text: str, *, owner: Owner | None = None, **rest: object) -> Memory:
        given = {"tier": "core", "origin": Origin(author=person.user), **rest}
        with org_scope(person.org):
            return remember(owner=owner or Owner.of_user(person.user), text=text, **given)  # type: ignore[arg-type]

    return write


@pytest.fixture
def project(bob: Person) -> Project:
    """A project of Bob's."""
    made = Project.objects.create(organization=bob.org, slug="ours", name="Our <project>")
    Membership.objects.get(user=bob.user, organization=bob.org).projects.add(made)
    return made


def page(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers or None)
    assert response.status_code == 200, (response.status_code, path)
    return response.content.decode()


def stored(person: Person, memory: Memory) -> Memory:
    with org_scope(person.org):
        return Memory.objects.select_related("shelf").get(pk=memory.pk)


# --- looking


def test_an_empty_memory_says_what_it_is_for(alice: Person, victor: Person) -> None:
    assert "Nothing is remembered yet" in page(alice.signed_in(), "/memory")
    assert "Remember something" not in page(victor.signed_in(), "/memory")


def test_the_navigation_leads_there(alice: Person) -> None:
    assert '<a href="/memory"' in page(alice.signed_in(), "/runs")


def test_words_find_and_are_marked_in_any_language(alice: Person, note: Note) -> None:
    note(alice, "The backup of the ledger runs at 03:00 and is <b>never</b> skipped")
    note(alice, "生产环境的部署回滚由值班工程师批准")
    client = alice.signed_in()

    english, chinese = page(client, "/memory?q=ledger+backups"), page(client, f"/memory?q={quote('部署回滚')}")

    assert "<mark>backup</mark>" in english
    assert "<mark>ledger</mark>" in english
    assert "is &lt;b&gt;never&lt;/b&gt; skipped" in english
    assert "<mark>部署回滚</mark>" in chinese
    assert chinese.index("部署回滚</mark>") < chinese.find("ledger") or "ledger" not in chinese


def test_small_words_find_but_are_not_marked(alice: Person, note: Note) -> None:
    note(alice, "The keeper of the ledger")

    shown = page(alice.signed_in(), "/memory?q=the+ledger+of")

    assert "The keeper of the <mark>ledger</mark>" in shown
    assert "<mark>The</mark>" in page(alice.signed_in(), "/memory?q=the")


def test_what_nothing_speaks_for_is_no_hit(alice: Person, note: Note) -> None:
    note(alice, "The keeper of the ledger")

    assert "Nothing remembered fits" in page(alice.signed_in(), "/memory?q=unheard")


def test_a_hit_explains_itself(alice: Person, note: Note) -> None:
    note(alice, "The backup runs at 03:00")

    shown = page(alice.signed_in(), "/memory?q=backup")

    assert "Why it is here" in shown
    assert "BM25" in shown
    assert "no vector yet" in shown
    assert "1 passage still lacks its vector" in shown


def test_the_same_address_gives_htmx_the_fragment(alice: Person, note: Note) -> None:
    note(alice, "The backup runs at 03:00")
    client = alice.signed_in()

    whole, fragment = page(client, "/memory?q=backup"), page(client, "/memory?q=backup", **HTMX)

    assert "<html" in whole
    assert "<html" not in fragment
    assert 'id="memory-list"' in fragment
    assert "<mark>backup</mark>" in fragment


def test_a_model_that_is_elsewhere_is_not_asked_while_one_types(
    alice: Person, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(alice, "The backup runs at 03:00")
    with org_scope(alice.org):
        EmbeddingModel.objects.update(name="elsewhere/model")
    asked: list[str] = []
    monkeypatch.setattr(question, "embed_query", lambda text, model: asked.append(text))
    client = alice.signed_in()

    typing = page(client, "/memory?q=backup", **HTMX, **{"HX-Trigger-Name": "q"})
    assert "<mark>backup</mark>" in typing
    assert asked == []

    page(client, "/memory?q=backup", **HTMX)
    assert asked == ["backup"]


def test_filters_narrow_the_list_and_the_search(alice: Person, note: Note, project: Project) -> None:
    note(alice, "personal core fact about tea", tier="core")
    note(
        alice, "episode about tea", tier="episodic", origin=Origin(author=alice.user, run_id="run_x", source_type="run")
    )
    note(
        alice, "document about tea", tier="archival", owner=Owner.of_project(project), origin=Origin(document="tea.md")
    )
    client = alice.signed_in()
    expected = {
        "tier=core": {"personal"},
        "owner=project": {"document"},
        "owner=user": {"personal", "episode"},
        "source=run": {"episode"},
        "run=run_x": {"episode"},
        "document=tea.md": {"document"},
        "project_id=ours": {"personal", "episode", "document"},
    }

    for query, wanted in expected.items():
        for path in (f"/memory?{query}", f"/memory?{query}&q=tea"):
            shown = {row.memory.beginning.split()[0] for row in client.get(path).context["rows"]}
            assert shown == wanted, path


@pytest.mark.parametrize("query", ["tier=nonsense", "owner=bob", "limit=0&q=a", "cursor=nonsense", "q=a&limit=1000"])
def test_what_is_no_filter_is_refused(alice: Person, query: str) -> None:
    assert alice.signed_in().get(f"/memory?{query}").status_code == 400


def test_long_lists_go_on_page_by_page(alice: Person, note: Note) -> None:
    for number in range(30):
        note(alice, f"fact number {number} of thirty")
    client = alice.signed_in()
    first = client.get("/memory")

    older = client.get(first.context["older_url"])
    more = client.get(client.get("/memory?q=fact").context["more_url"])

    numbers = [[row.memory.pk for row in answer.context["rows"]] for answer in (first, older)]
    assert [len(each) for each in numbers] == [25, 5]
    assert not set(numbers[0]) & set(numbers[1])
    assert len(more.context["rows"]) == 30


def test_a_hit_leads_to_the_run_at_the_event_and_to_its_document(alice: Person, note: Note) -> None:
    origin = Origin(author=alice.user, run_id="run_abcdefghijkl", event_seq=7, document="d & e.md", source_type="run")
    note(alice, "learned in a run", origin=origin)

    shown = page(alice.signed_in(), "/memory")

    assert "/trace/run_abcdefghijkl?view=events&amp;cursor=6#event-7" in shown
    assert "?document=d%20%26%20e.md" in shown
    assert "by you" in shown


# --- changing


def test_somebody_remembers_for_themselves_and_for_the_project(bob: Person, project: Project) -> None:
    client = bob.signed_in()

    mine = client.post(
        "/memory", {"text": "I prefer short answers", "tier": "core", "importance": "0.9", "project": ""}
    )
    ours = client.post(
        "/memory", {"text": "We deploy on Fridays", "tier": "core", "importance": "0.5", "project": "ours"}
    )

    assert (mine.status_code, ours.status_code) == (302, 302)
    with org_scope(bob.org):
        rows = {memory.text: memory for memory in keeping.memories(bob.scope)}
    assert rows["I prefer short answers"].owner == Owner.of_user(bob.user)
    assert rows["I prefer short answers"].importance == 0.9
    assert rows["We deploy on Fridays"].owner == Owner.of_project(project)


def test_within_a_project_the_form_is_for_it(bob: Person, project: Project) -> None:
    shown = page(bob.signed_in(), "/memory?project_id=ours")

    assert '<option value="ours" selected>' in shown.split('id="new-project"')[1].split("</select>")[0]
    assert bob.signed_in().get("/memory?project_id=never").status_code == 404


def test_a_form_with_a_mistake_comes_back_with_what_was_written(bob: Person) -> None:
    answer = bob.signed_in().post("/memory", {"text": "keep this", "tier": "core", "importance": "7"})

    shown = answer.content.decode()
    assert answer.status_code == 200
    assert "keep this" in shown
    assert 'id="remember" open' in shown


def test_nobody_remembers_for_a_project_that_isnt_theirs(bob: Person, charlie: Person, project: Project) -> None:
    Project.objects.create(organization=bob.org, slug="theirs", name="theirs")
    form = {"text": "smuggled", "tier": "core", "importance": "0.5"}

    for person, slug in ((bob, "theirs"), (charlie, "ours")):
        answer = person.signed_in().post("/memory", {**form, "project": slug})
        assert "Select a valid choice" in answer.content.decode()
        with org_scope(person.org):
            assert not Memory.objects.filter(text="smuggled").exists()


def test_a_memory_is_corrected(alice: Person, note: Note) -> None:
    memory = note(alice, "The backup runs at 3")

    answer = alice.signed_in().post(
        f"/memory/{memory.pk}", {"text": "The backup runs at 4\r\nevery day", "tier": "archival", "importance": "0.7"}
    )

    assert answer["Location"] == f"/memory/{memory.pk}"
    now = stored(alice, memory)
    assert (now.text, now.tier, now.importance) == ("The backup runs at 4\nevery day", "archival", 0.7)


def test_a_memory_is_superseded_and_stays_to_be_read(alice: Person, note: Note) -> None:
    memory = note(alice, "The backup runs at 3")
    client = alice.signed_in()

    answer = client.post(f"/memory/{memory.pk}/supersede", {"text": "The backup runs at 5"}, follow=True)

    assert "The backup runs at 5" in answer.content.decode()
    assert "Supersedes" in answer.content.decode()
    old = page(client, f"/memory/{memory.pk}")
    assert "Superseded by" in old
    assert "Correct it" not in old


def test_forgetting_asks_first_and_can_be_undone_for_30_days(alice: Person, note: Note) -> None:
    memory = note(alice, "The backup runs at 3")
    note(alice, "So backups end by 4", origin=Origin(derived_from=(memory.pk,)))
    client = alice.signed_in()
    assert "1 memory that was derived from it is forgotten too." in page(client, f"/memory/{memory.pk}")

    forgotten = client.post(f"/memory/{memory.pk}/forget", follow=True).content.decode()

    assert "Bring it back" in forgotten
    assert "The backup runs at 3" not in page(client, "/memory")
    assert "The backup runs at 3" in page(client, "/memory?forgotten=1")
    assert "The backup runs at 3" in page(client, "/memory?forgotten=1&q=backup+runs")
    assert "The backup runs at 3" not in page(client, "/memory?forgotten=1&q=unheard", **HTMX)

    client.post(f"/memory/{memory.pk}/restore")

    assert "The backup runs at 3" in page(client, "/memory")
    assert "So backups end by 4" in page(client, "/memory")


def test_what_was_forgotten_too_long_ago_is_not_there(alice: Person, note: Note) -> None:
    memory = note(alice, "The backup runs at 3")
    with org_scope(alice.org):
        forgetting.forget([memory], at=timezone.now() - timedelta(days=31))

    assert alice.signed_in().get(f"/memory/{memory.pk}").status_code == 404
    assert alice.signed_in().post(f"/memory/{memory.pk}/restore").status_code == 404


def test_a_very_long_text_is_shown_in_part_and_not_for_editing(alice: Person, note: Note) -> None:
    memory = note(alice, "word " * 12_000 + "the end", tier="archival")
    client = alice.signed_in()

    part, whole = page(client, f"/memory/{memory.pk}"), page(client, f"/memory/{memory.pk}?whole")

    assert "more characters" in part
    assert "the end" not in part
    assert "the end" in whole
    assert "too long to be edited" in part


def test_what_was_imported_is_escaped(alice: Person, note: Note) -> None:
    memory = note(
        alice,
        "<script>alert(1)</script>",
        origin=Origin(document='"><script>alert(2)</script>', run_id='x" onload="y', trust=Trust.OUTSIDE),
        metadata={"title": "<script>alert(3)</script>"},
    )
    client = alice.signed_in()

    for path in ("/memory", "/memory?q=alert", f"/memory/{memory.pk}", "/memory?document=%22%3E%3Cscript%3Ealert(2)"):
        assert "<script>alert" not in page(client, path), path


# --- who may not


def test_a_viewer_sees_what_is_shared_and_changes_nothing(
    victor: Person, bob: Person, note: Note, project: Project
) -> None:
    Membership.objects.get(user=victor.user, organization=victor.org).projects.add(project)
    memory = note(bob, "We deploy on Fridays", owner=Owner.of_project(project))
    client = victor.signed_in()

    shown = page(client, f"/memory/{memory.pk}")

    assert "We deploy on Fridays" in shown
    assert "Forget it" not in shown
    assert client.post("/memory", {"text": "x", "tier": "core", "importance": "0.5"}).status_code == 403
    for action in ("", "/supersede", "/forget", "/restore"):
        assert client.post(f"/memory/{memory.pk}{action}", {"text": "x"}).status_code == 403


def test_a_member_reads_but_doesnt_change_what_a_colleague_added(
    alice: Person, bob: Person, note: Note, project: Project
) -> None:
    memory = note(alice, "We deploy on Fridays", owner=Owner.of_project(project))
    client = bob.signed_in()

    assert "Forget it" not in page(client, f"/memory/{memory.pk}")
    assert client.post(f"/memory/{memory.pk}/forget").status_code == 403
    assert stored(alice, memory).is_current


def test_personal_memories_are_their_owners_alone(alice: Person, bob: Person, charlie: Person, note: Note) -> None:
    memory = note(bob, "Bob's secret garden")

    for person in (alice, charlie):
        client = person.signed_in()
        assert "secret" not in page(client, "/memory?q=garden")
        assert "secret" not in page(client, "/memory")
        for action in ("", "/supersede", "/forget", "/restore"):
            form = {"text": "mine", "tier": "core", "importance": "0.5"}
            assert client.post(f"/memory/{memory.pk}{action}", form).status_code == 404
        assert client.get(f"/memory/{memory.pk}").status_code == 404
    assert stored(bob, memory).is_current
    assert alice.signed_in().get(f"/memory/{uuid.uuid4()}").status_code == 404
