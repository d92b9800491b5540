"""Memories by REST: kept, listed, searched, corrected, superseded, forgotten, brought back; and refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from memory.models import Memory
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import AuditEntry, Membership, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

NEVER = "00000000-0000-4000-8000-000000000000"
Call = Callable[..., Any]


@pytest.fixture
def call() -> Call:
    """Call the API in a person's name: `call(alice, "POST", "/memories", text="…")`; the JSON, or the response."""

    def send(person: Person, method: str, path: str, *, status: int = 200, **body: Any) -> Any:
        client = person.with_key()
        answer: HttpResponse = (
            client.get(f"/api{path}")
            if method == "GET"
            else client.generic(method, f"/api{path}", json.dumps(body), content_type="application/json")
        )
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None  # type: ignore[attr-defined]

    return send


def test_what_is_kept_is_listed_read_and_found_with_its_highlights(alice: Person, call: Call) -> None:
    kept = call(
        alice,
        "POST",
        "/memories",
        status=201,
        text="部署回滚由值班工程师批准",
        tier="core",
        metadata={"a": 1},
        importance=0.9,
    )

    listed = call(alice, "GET", "/memories?tier=core&owner=user")["memories"]
    hit = call(alice, "POST", "/memories/search", query="部署回滚", explain=True)["hits"][0]

    assert [each["memory_id"] for each in listed] == [kept["memory_id"]]
    assert call(alice, "GET", f"/memories/{kept['memory_id']}") == kept
    assert (kept["owner"], kept["author_id"], kept["importance"], kept["trust"]) == ("user", "alice", 0.9, "stated")
    quote = hit["quotes"][0]
    assert [quote["snippet"][start:end] for start, end in quote["highlights"]] == ["部署回滚"]
    assert hit["explanation"]["words"] > 0


def test_a_memory_is_corrected_superseded_forgotten_and_brought_back(alice: Person, call: Call) -> None:
    kept = call(alice, "POST", "/memories", status=201, text="The backup runs at 3")
    path = f"/memories/{kept['memory_id']}"

    corrected = call(alice, "PATCH", path, text="The backup runs at 4", tier="archival")
    newer = call(alice, "POST", f"{path}/supersede", status=201, text="The backup runs at 5")

    assert (corrected["text"], corrected["tier"]) == ("The backup runs at 4", "archival")
    assert newer["supersedes"] == kept["memory_id"]
    assert call(alice, "GET", path)["superseded_at"] is not None
    call(alice, "PATCH", path, status=409, text="too late")
    call(alice, "DELETE", f"/memories/{newer['memory_id']}", status=204)
    call(alice, "GET", f"/memories/{newer['memory_id']}", status=404)
    assert call(alice, "GET", "/memories?forgotten=true")["memories"][0]["memory_id"] == newer["memory_id"]
    call(alice, "POST", f"/memories/{newer['memory_id']}/restore")
    assert call(alice, "GET", "/memories")["memories"][0]["text"] == "The backup runs at 5"
    actions = AuditEntry.objects.filter(organization=alice.org, action__startswith="memory.").values_list(
        "action", flat=True
    )
    assert {"memory.create", "memory.change", "memory.supersede", "memory.forget", "memory.restore"} <= set(actions)


def test_saying_it_again_and_replacing_by_key(alice: Person, call: Call) -> None:
    first = call(alice, "POST", "/memories", status=201, text="The backup runs at 3", source_key="backup")
    again = call(alice, "POST", "/memories", status=201, text="The backup runs at 6", source_key="backup")
    plain = [call(alice, "POST", "/memories", status=201, text=text) for text in ("Tea is green", "the tea is green!")]

    assert first["memory_id"] == again["memory_id"]
    assert again["text"] == "The backup runs at 6"
    assert plain[0]["memory_id"] == plain[1]["memory_id"]


def test_a_list_goes_on_page_by_page(alice: Person, call: Call) -> None:
    ids = {
        call(alice, "POST", "/memories", status=201, text=f"fact number {number}")["memory_id"] for number in range(5)
    }
    seen: list[str] = []
    cursor = ""

    while cursor is not None:
        page = call(alice, "GET", f"/memories?limit=2&cursor={cursor}")
        seen += [each["memory_id"] for each in page["memories"]]
        cursor = page["next_cursor"]

    assert len(seen) == len(set(seen)) == 5
    assert set(seen) == ids


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/memories", {}),
        ("POST", "/memories", {"text": "   "}),
        ("POST", "/memories", {"text": 7}),
        ("POST", "/memories", {"text": "x", "tier": "none"}),
        ("POST", "/memories", {"text": "x", "importance": 2}),
        ("POST", "/memories", {"text": "x", "importance": "NaN"}),
        ("POST", "/memories", {"text": "x", "owner": "project"}),
        ("POST", "/memories", {"text": "x", "owner": "board"}),
        ("POST", "/memories/search", {"query": ""}),
        ("POST", "/memories/search", {"query": "x", "limit": 0}),
        ("POST", "/memories/search", {"query": "x", "tiers": ["none"]}),
        ("GET", "/memories?tier=none", {}),
        ("GET", "/memories?owner=board", {}),
        ("GET", "/memories?forgotten=perhaps", {}),
        ("GET", "/memories?nonsense=1", {}),
        ("GET", "/memories?cursor=nonsense", {}),
        ("GET", "/memory-changes?cursor=" + base64.urlsafe_b64encode(b"2026-01-01T00:00:00Z no-uuid").decode(), {}),
        ("GET", "/memories?cursor=" + base64.urlsafe_b64encode(b"2026-01-01T00:00:00Z no-uuid").decode(), {}),
    ],
)
def test_what_is_not_acceptable_is_400(alice: Person, call: Call, method: str, path: str, body: dict[str, Any]) -> None:
    assert call(alice, method, path, status=400, **body)["error"]["code"] == "VALIDATION_ERROR"


def test_a_project_is_written_to_by_its_members_and_read_in_its_scope(
    alice: Person, bob: Person, victor: Person, charlie: Person, call: Call
) -> None:
    ours, theirs = (Project.objects.create(organization=bob.org, slug=slug, name=slug) for slug in ("ours", "theirs"))
    for person in (bob, victor):
        Membership.objects.get(user=person.user, organization=person.org).projects.add(ours)

    kept = call(bob, "POST", "/memories?project_id=ours", status=201, text="We deploy on Fridays", owner="project")

    path = f"/memories/{kept['memory_id']}"
    assert kept["project_id"] == "ours"
    assert call(victor, "GET", path)["text"] == "We deploy on Fridays"
    assert call(alice, "GET", f"{path}?project_id=theirs", status=404)
    call(bob, "POST", f"/memories?project_id={theirs.slug}", status=404, text="smuggled", owner="project")
    call(victor, "POST", "/memories", status=403, text="I only look")
    call(victor, "DELETE", path, status=403)
    call(charlie, "GET", path, status=404)
    call(alice, "PATCH", path, text="We deploy on Mondays")
    call(bob, "DELETE", path, status=204)


def test_charlie_is_told_the_same_as_of_what_never_was(alice: Person, charlie: Person, call: Call) -> None:
    kept = call(alice, "POST", "/memories", status=201, text="The vault is behind the picture")

    for path in (f"/memories/{kept['memory_id']}", f"/memories/{NEVER}"):
        for method, tail in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/supersede"), ("POST", "/restore")):
            call(charlie, method, path + tail, status=404, text="mine")
    assert call(charlie, "POST", "/memories/search", query="vault picture")["hits"] == []
    with org_scope(alice.org):
        assert Memory.objects.get(pk=kept["memory_id"]).forgotten_at is None


def test_a_run_and_a_document_filter_the_list(alice: Person, call: Call) -> None:
    with org_scope(alice.org):
        for origin in (Origin(run_id="run_a"), Origin(document="b.md"), Origin(source_type="agent")):
            remember(owner=Owner.of_user(alice.user), tier="core", text=f"from {origin}", origin=origin)

    numbers = [
        len(call(alice, "GET", f"/memories?{query}")["memories"])
        for query in ("run_id=run_a", "document=b.md", "source_type=agent", "run_id=run_b", "")
    ]

    assert numbers == [1, 1, 1, 0, 3]
