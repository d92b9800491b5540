"""A board over a real connection: told when something on it is new, to who may read it, as long as they may."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from openintern.live import watch
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from teams import groups
from teams.board import keeping
from teams.models import Group
from tests.conftest import Cast, Person, admit
from tests.live.conftest import Server
from tests.live.sse import Tap

Browse = Callable[..., Tap]
_number = itertools.count()


@pytest.fixture(autouse=True)
def rung_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told by looking from time to time: it has to be rung."""
    monkeypatch.setattr(watch, "CHECK", 600.0)
    monkeypatch.setattr(watch, "PAUSE", 0.02)


@pytest.fixture
def group(committed: Cast) -> Iterator[Group]:
    """A group of a project that Alice alone is in."""
    alice = committed.alice
    project = people.create_project(f"board-{next(_number)}", org=alice.org, name="Board", by=alice.user)
    with org_scope(alice.org):
        group = groups.create(alice.scope, name=f"live board {next(_number)}", project=project)
    yield group
    with org_scope(alice.org):
        Group.objects.filter(pk=group.pk).delete()


def url_of(group: Group) -> str:
    return f"/api/groups/{group.pk}/blackboard/stream"


def counts(tap: Tap) -> list[int]:
    """How many entries the board was told to have, each time."""
    return [sent.data["entries"] for sent in tap.sent if sent.event == "board.changed"]


def states(tap: Tap) -> list[str]:
    return [sent.data["state"] for sent in tap.sent if sent.event == "board.changed"]


def test_whatever_is_done_on_a_board_is_told_as_it_happens(browse: Browse, committed: Cast, group: Group) -> None:
    scope = committed.alice.scope
    tap = browse(url_of(group)).wait_for(lambda tap: counts(tap) == [0])

    with org_scope(scope.org):
        entry = keeping.add(scope, group.pk, kind="todo", text="Ask Ops")
        tap.wait_for(lambda tap: counts(tap) == [0, 1])
        keeping.change(scope, group.pk, entry.pk, status="done")
        tap.wait_for(lambda tap: counts(tap) == [0, 1, 1])
        keeping.pin(scope, group.pk, entry.pk, is_pinned=True)
        tap.wait_for(lambda tap: counts(tap) == [0, 1, 1, 1])
        keeping.remove(scope, group.pk, entry.pk)
    tap.wait_for(lambda tap: counts(tap) == [0, 1, 1, 1, 0])

    assert tap.headers["content-type"].startswith("text/event-stream")
    assert {sent.data["group_id"] for sent in tap.sent} == {group.pk}
    assert len(set(states(tap)[:4])) == 4
    assert b"Ask Ops" not in tap.raw  # what there is to read is read elsewhere


def test_one_boards_news_are_not_anothers(browse: Browse, committed: Cast, group: Group) -> None:
    scope = committed.alice.scope
    with org_scope(scope.org):
        other = groups.create(scope, name=f"live board {next(_number)}")
    watching, beside = browse(url_of(group)), browse(url_of(other))
    for tap in (watching, beside):
        tap.wait_for(lambda tap: counts(tap) == [0])

    with org_scope(scope.org):
        keeping.add(scope, group.pk, kind="note", text="Ours")
        watching.wait_for(lambda tap: counts(tap) == [0, 1])
        keeping.add(scope, other.pk, kind="note", text="Theirs")
    beside.wait_for(lambda tap: counts(tap) == [0, 1])

    assert counts(watching) == [0, 1]


def test_who_may_not_read_it_finds_no_stream(committed: Cast, server: Server, group: Group) -> None:
    outsider = admit(f"board-{next(_number)}", committed.alice.org, Role.MEMBER)

    for person in (committed.charlie, outsider):  # of another organisation; of no project
        assert httpx.get(server.url + url_of(group), headers=person.headers).status_code == 404
    assert httpx.get(server.url + url_of(group)).status_code == 401


def dora_of(group: Group, alice: Person) -> Person:
    """Somebody who is in the group's project."""
    dora = admit(f"board-{next(_number)}", alice.org, Role.VIEWER)
    Membership.objects.get(user=dora.user).projects.add(group.project)
    return dora


@pytest.mark.parametrize("goes", ["out of the project", "out of the organisation"])
def test_who_may_read_it_no_longer_hears_no_more(
    browse: Browse, committed: Cast, group: Group, monkeypatch: pytest.MonkeyPatch, goes: str
) -> None:
    monkeypatch.setattr(watch, "CHECK", 0.1)
    scope = committed.alice.scope
    dora = dora_of(group, committed.alice)
    tap = browse(url_of(group), by=dora).wait_for(lambda tap: counts(tap) == [0])

    membership = Membership.objects.get(user=dora.user)
    if goes == "out of the project":
        membership.projects.clear()
    else:
        people.remove_member(membership, by=committed.alice.user)
    tap.to_the_end()
    with org_scope(scope.org):
        keeping.add(scope, group.pk, kind="note", text="A secret")

    assert counts(tap) == [0]


def test_with_its_group_a_board_and_its_streams_end(
    browse: Browse, committed: Cast, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECK", 0.1)
    tap = browse(url_of(group)).wait_for(lambda tap: counts(tap) == [0])

    with org_scope(committed.alice.org):
        groups.delete(committed.alice.scope, group.pk)

    tap.to_the_end()
