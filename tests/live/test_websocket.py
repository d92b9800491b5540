"""The console of a run and the inbox of a person, over real sockets; and those who shouldn't be there."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from openintern.live import bulletin, hub, pace, sockets
from openintern.tenancy import keys, people
from openintern.tenancy.access import access_of
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs.events import Draft, EventType
from runs.models import Approval, Run
from runs.sockets import urlpatterns
from runs.stream import hub as runs_hub
from tests.conftest import Cast, Person, admit, events_of, reload
from tests.live.conftest import Script, Server
from tests.runs.conftest import eventually

Dial = Callable[..., ClientConnection]
Said = dict[str, Any]
_number = itertools.count()


@pytest.fixture
def dial(server: Server, committed: Cast) -> Iterator[Dial]:
    """Open a socket, Alice's unless said otherwise; closed when the test ends."""
    with ExitStack() as opened:
        yield _dialler(opened, server, committed.alice)


def _dialler(opened: ExitStack, server: Server, alice: Person) -> Dial:
    def call(path: str, *, by: Person | None = alice, **headers: str) -> ClientConnection:
        sent = {**(by.headers if by else {}), **headers}
        address = server.url.replace("http", "ws", 1) + path
        return opened.enter_context(connect(address, additional_headers=sent, proxy=None, close_timeout=1))

    return call


@pytest.fixture
def dora(committed: Cast) -> Person:
    return admit(f"socket-dora-{next(_number)}", committed.alice.org, Role.MEMBER)


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ROUND", 0.1)
    monkeypatch.setattr(bulletin, "CHECK", 0.2)


def hear(client: ClientConnection, claim: Callable[[Said], bool], *, seconds: float = 10) -> Said:
    """Return the first message of which `claim` is true."""
    while True:
        said: Said = json.loads(client.recv(timeout=seconds))
        if claim(said):
            return said


def ask(client: ClientConnection, **command: Any) -> Said:
    """Send a command and return its answer."""
    client.send(json.dumps(command))
    return hear(client, lambda said: "answer" in said)


def closed_with(client: ClientConnection, *, seconds: float = 10) -> int:
    """Read to the end and return the code."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(timeout=seconds)
    return int(client.close_code or 0)


def refused_with(dial: Dial, path: str, **who: Any) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as refused:
        dial(path, **who)
    return refused.value.response.status_code, bytes(refused.value.response.body or b"")


def watch(dial: Dial, server: Server, **who: Any) -> ClientConnection:
    """Open an inbox; what happened before the process listened would only be told as `missed`."""
    client = dial("/ws/inbox", **who)
    hear(client, lambda said: said["event"] == "connected")
    eventually(lambda: server.call(lambda: runs_hub.bell.is_listening))
    return client


def is_admitted(dial: Dial, person: Person) -> bool:
    with suppress(InvalidStatus):
        return hear(dial("/ws/inbox", by=person), lambda said: True)["event"] == "connected"
    return False


def console_of(script: Script) -> str:
    return f"/ws/runs/{script.run.pk}"


def cookies_of(person: Person) -> str:
    browser = Client()
    browser.force_login(person.user)
    return f"sessionid={browser.cookies['sessionid'].value}"


class TestConsole:
    def test_it_tells_every_event_from_the_cursor_on_and_closes_after_the_last(
        self, dial: Dial, script: Script
    ) -> None:
        script.note("one")
        client = dial(console_of(script) + "?after_seq=1")
        seqs = [hear(client, lambda said: said["event"] == "run.event")["data"]["seq"]]

        script.note("two")
        script.finish()
        seqs += [hear(client, lambda said: said["event"] == "run.event")["data"]["seq"] for _ in range(2)]

        assert seqs == [2, 3, 4]
        assert closed_with(client) == sockets.ENDED

    def test_whoever_has_the_whole_run_is_told_so_and_let_go(self, dial: Dial, script: Script) -> None:
        script.finish()

        assert closed_with(dial(console_of(script) + "?after_seq=2")) == sockets.ENDED

    def test_a_message_reaches_the_log_and_is_answered_by_its_id(
        self, dial: Dial, script: Script, committed: Cast
    ) -> None:
        answer = ask(dial(console_of(script)), id="m-1", command="inject", message="mind the gap")

        assert answer == {"answer": "m-1", "ok": True, "data": {"run_id": script.run.pk}}
        assert events_of(committed.alice, script.run)[-1].payload["message"] == "mind the gap"

    def test_a_cancel_is_answered_before_the_socket_closes(self, dial: Dial, script: Script, committed: Cast) -> None:
        client = dial(console_of(script))

        assert ask(client, id=7, command="cancel")["ok"]
        assert closed_with(client) == sockets.ENDED
        assert reload(committed.alice, script.run).status == "cancelled"

    @pytest.mark.parametrize(
        ("command", "status"),
        [({"command": "approve", "arguments": None}, "approved"), ({"command": "reject", "reason": "no"}, "rejected")],
    )
    def test_what_the_run_asks_is_decided_where_it_is_watched(
        self, dial: Dial, script: Script, committed: Cast, command: dict[str, Any], status: str
    ) -> None:
        with script.inside():
            asked = Approval.objects.create(
                run=script.run, tool_call_id="c1", step=1, agent_id="main", tool="read_file", risk="high",
                arguments={"path": "a"}, rule="risk.high", reason="?", expires_at=timezone.now() + timedelta(hours=1),
            )  # fmt: skip
        script.write(Draft(EventType.RUN_WAITING, {"reason": "approval"}), status=Run.Status.WAITING)
        client = dial(console_of(script))

        wrong = ask(client, id=1, tool_call_id="c1", covers="everything", **command)
        unknown = ask(client, id=2, tool_call_id="c2", **command)
        answer = ask(client, id=3, tool_call_id="c1", **command) if status == "approved" else wrong

        assert (unknown["ok"], answer["ok"]) == (False, True)
        assert wrong["ok"] is (status == "rejected")  # which covers nothing
        with script.inside():
            asked.refresh_from_db()
        assert (asked.status, asked.decided_by) == (status, committed.alice.user)

    def test_a_viewer_watches_and_is_refused_the_rest(
        self, dial: Dial, committed: Cast, script: Script, django_db_blocker: Any
    ) -> None:
        project = people.create_project(f"socket-p{next(_number)}", org=committed.alice.org)
        Membership.objects.get(user=committed.victor.user).projects.add(project)
        with script.inside():
            Run.objects.filter(pk=script.run.pk).update(project=project)
        client = dial(console_of(script), by=committed.victor)

        answer = ask(client, id=1, command="cancel")

        assert answer["error"]["code"] == "FORBIDDEN"
        assert reload(committed.alice, script.run).status == "running"
        assert AuditEntry.objects.filter(action="run.cancel", object_id=script.run.pk, outcome="refused").exists()

    def test_a_key_that_may_only_read_can_not_speak(self, dial: Dial, committed: Cast, script: Script) -> None:
        _, text = keys.create_api_key(org=committed.alice.org, user=committed.alice.user, scopes=["read"])
        client = dial(console_of(script), by=None, Authorization=f"Bearer {text}")

        assert ask(client, id=1, command="inject", message="x")["error"]["code"] == "FORBIDDEN"


class TestInbox:
    def test_it_tells_how_a_run_stands_each_time_that_changes(self, dial: Dial, server: Server, script: Script) -> None:
        client = watch(dial, server)

        script.finish()

        said = hear(client, lambda said: said["event"] == "run.changed" and said["data"]["run_id"] == script.run.pk)
        assert said["data"]["status"] == "completed"

    def test_it_is_told_what_a_run_asks_people_and_that_it_was_decided(
        self, dial: Dial, server: Server, committed: Cast, script: Script
    ) -> None:
        script.begin()
        client = watch(dial, server)
        about = {"run": script.run, "step": 1, "agent_id": "main", "tool": "send", "risk": "high", "arguments": {}}
        with org_scope(committed.alice.org):
            for call in ("one", "two"):
                expires_at = timezone.now() + timedelta(days=1)
                Approval.objects.create(tool_call_id=call, rule="risk.high", expires_at=expires_at, **about)
        script.note("asked")
        asked = hear(client, lambda said: said["event"] == "run.changed" and said["data"]["approvals"] == 2)

        with org_scope(committed.alice.org):
            Approval.objects.filter(run=script.run, tool_call_id="one").update(status="withdrawn")
        script.note("decided")

        decided = hear(client, lambda said: said["event"] == "run.changed" and said["data"]["approvals"] == 1)
        assert asked["data"] == {"run_id": script.run.pk, "status": "running", "approvals": 2}
        assert decided["data"]["status"] == "running"

    def test_others_hear_nothing_of_it(
        self, dial: Dial, server: Server, committed: Cast, script: Script, dora: Person
    ) -> None:
        bystanders = [watch(dial, server, by=dora), watch(dial, server, by=committed.charlie)]
        witness = watch(dial, server)

        script.finish()
        hear(witness, lambda said: said.get("data", {}).get("run_id") == script.run.pk)
        own = Script(dora)
        own.begin()

        first = hear(bystanders[0], lambda said: said["event"] == "run.changed")
        assert first["data"]["run_id"] == own.run.pk


class TestWhoIsLetIn:
    def test_a_session_from_a_page_of_ours(self, dial: Dial, server: Server, committed: Cast, script: Script) -> None:
        client = dial(console_of(script), by=None, Cookie=cookies_of(committed.alice), Origin=server.url)

        assert hear(client, lambda said: said["event"] == "run.event")["data"]["seq"] == 1

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
    def test_no_session_from_elsewhere(self, origin: str, dial: Dial, committed: Cast, script: Script) -> None:
        headers = {"Cookie": cookies_of(committed.alice), **({"Origin": origin} if origin else {})}

        status, _ = refused_with(dial, console_of(script), by=None, **headers)

        assert status == 403

    def test_nobody(self, dial: Dial, script: Script) -> None:
        status, body = refused_with(dial, console_of(script), by=None)

        assert status == 401
        assert json.loads(body)["error"]["code"] == "UNAUTHENTICATED"

    def test_no_key_in_the_address(self, dial: Dial, committed: Cast, script: Script) -> None:
        key = committed.alice.api_key

        assert refused_with(dial, f"{console_of(script)}?api_key={key}&token={key}", by=None)[0] == 401

    def test_somebody_elses_run_and_none_at_all_are_refused_alike(
        self, dial: Dial, committed: Cast, script: Script, dora: Person
    ) -> None:
        foreign = refused_with(dial, console_of(script), by=committed.charlie)
        colleagues = refused_with(dial, console_of(script), by=dora)
        unknown = refused_with(dial, "/ws/runs/run_ThatNeverWas0000000000", by=committed.charlie)

        assert foreign == colleagues == unknown
        assert unknown[0] == 404

    def test_no_address_but_the_two(self, dial: Dial) -> None:
        assert refused_with(dial, "/ws/elsewhere")[0] == 404

    def test_a_cursor_that_is_no_number(self, dial: Dial, script: Script) -> None:
        assert refused_with(dial, console_of(script) + "?after_seq=x")[0] == 400

    def test_every_socket_declares_who_may_open_it(self) -> None:
        undeclared = [each for each in urlpatterns if access_of(each.callback.consumer_class) is None]

        assert undeclared == []

    def test_a_person_has_so_many_sockets(self, dial: Dial, dora: Person, settings: Any) -> None:
        settings.LIVE_SOCKETS_PER_PERSON = 2
        for _ in range(2):
            dial("/ws/inbox", by=dora)

        status, body = refused_with(dial, "/ws/inbox", by=dora)

        assert (status, json.loads(body)["error"]["code"]) == (503, "UNAVAILABLE")


@pytest.mark.usefixtures("quick_checks")
@pytest.mark.parametrize("place", ["console", "inbox"])
class TestWhoHasToGo:
    @pytest.fixture
    def client(self, place: str, dial: Dial, dora: Person) -> ClientConnection:
        script = Script(dora)
        script.begin()
        client = dial(console_of(script) if place == "console" else "/ws/inbox", by=dora)
        hear(client, lambda said: said["event"] == "connected")
        return client

    def test_a_removed_member(self, client: ClientConnection, committed: Cast, dora: Person) -> None:
        people.remove_member(Membership.objects.get(user=dora.user), by=committed.alice.user)

        assert closed_with(client) == sockets.NOT_YOU

    def test_a_revoked_key(self, client: ClientConnection, committed: Cast, dora: Person) -> None:
        keys.revoke_api_key(ApiKey.objects.get(user=dora.user), by=committed.alice.user, at=timezone.now())

        assert closed_with(client) == sockets.NOT_YOU

    def test_a_suspended_organisation(self, client: ClientConnection, committed: Cast) -> None:
        Organization.objects.filter(pk=committed.alice.org.pk).update(is_active=False)
        try:
            assert closed_with(client) == sockets.NOT_YOU
        finally:
            Organization.objects.filter(pk=committed.alice.org.pk).update(is_active=True)


def test_a_revoked_key_can_not_be_used_for_one_more_command(
    dial: Dial, committed: Cast, dora: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openintern.tenancy.renewal._FRESH", timezone.timedelta(0))
    script = Script(dora)
    script.begin()
    client = dial(console_of(script), by=dora)
    keys.revoke_api_key(ApiKey.objects.get(user=dora.user), by=committed.alice.user, at=timezone.now())

    client.send(json.dumps({"id": 1, "command": "cancel"}))

    assert closed_with(client) == sockets.NOT_YOU
    assert reload(dora, script.run).status == "running"


class TestBadManners:
    @pytest.mark.parametrize(
        "frame",
        ["", "{", "[]", "null", '"x"', "{}", "[" * 30_000, '{"id": {}}', '{"id": true}', '{"command": []}',
         '{"command": "inject", "message": 1}', '{"command": "inject", "message": "a\\u0000b"}',
         '{"command": "inject", "message": "\\ud800"}', '{"command": "inject", "message": " "}', "NaN"],
    )  # fmt: skip
    def test_garbage_is_answered_and_the_socket_goes_on(self, frame: str, dial: Dial, script: Script) -> None:
        client = dial(console_of(script))
        client.send(frame)

        assert hear(client, lambda said: "answer" in said)["error"]["code"] == "VALIDATION_ERROR"
        assert ask(client, id=2, command="inject", message="fine")["ok"]

    def test_bytes_end_it(self, dial: Dial, script: Script) -> None:
        client = dial(console_of(script))
        client.send(b"\x00\xff")

        assert closed_with(client) == sockets.NO_BYTES

    def test_a_huge_frame_ends_it(self, dial: Dial, script: Script) -> None:
        client = dial(console_of(script))
        client.send("x" * (sockets.LONGEST_FRAME + 1))

        assert closed_with(client) == sockets.TOO_LARGE

    def test_who_hurries_is_told_to_wait_and_who_floods_is_cut_off(
        self, dial: Dial, committed: Cast, script: Script, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pace, "A_SECOND", 0.0)
        client = dial(console_of(script))
        for number in range(pace.BURST + pace.PATIENCE + 1):
            client.send(json.dumps({"id": number, "command": "inject", "message": "x"}))

        told = hear(client, lambda said: said.get("error", {}).get("code") == "THROTTLED")
        assert told["error"]["details"] == {"retry_after": 1}
        assert closed_with(client) == sockets.FLOODED
        said = [event for event in events_of(committed.alice, script.run) if event.type == "user.injected"]
        assert len(said) == pace.BURST

    def test_a_client_that_vanished_frees_its_seat(self, dial: Dial, dora: Person, settings: Any) -> None:
        settings.LIVE_SOCKETS_PER_PERSON = 1
        client = dial("/ws/inbox", by=dora)
        hear(client, lambda said: said["event"] == "connected")
        refused_with(dial, "/ws/inbox", by=dora)

        client.socket.shutdown(socket.SHUT_RDWR)

        assert eventually(lambda: is_admitted(dial, dora))
