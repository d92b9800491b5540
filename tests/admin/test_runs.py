"""Approvals and foreign servers in the admin: decided and set up by the functions that everybody calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Approval, McpServer, Run
from runs.queue import tickets
from tests.conftest import Person, reload
from tests.peers.site import allow  # noqa: F401  a fixture

APPROVALS, SERVERS = "/admin/runs/approval/", "/admin/runs/mcpserver/"
LONG = "x" * 500 + "the end"
SERVER = {
    "name": "harbour",
    "transport": "http",
    "url": "http://127.0.0.1:9/mcp",
    "auth": "bearer",
    "risk": "high",
    "timeout_seconds": "30",
    "parameters": "{}",
    "new_secret": "canary-secret",
    "is_enabled": "on",
}


@pytest.fixture
def asked(bob: Person, start_run: Callable[..., Run]) -> Approval:
    """A question of a run of Bob's, which waits for it."""
    run = start_run(bob, session_key="s_asking")
    with org_scope(bob.org):
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING, attempt=1, step=1)
        log.append(run, Draft(EventType.RUN_WAITING, {}), status=Run.Status.WAITING)
        tickets.park(run)
        return Approval.objects.create(
            run=run,
            tool_call_id="c1",
            step=1,
            agent_id="main",
            tool="send_mail",
            risk="high",
            arguments={"to": f"<script>{LONG}"},
            rule="risk.high",
            reason="send_mail is a high-risk tool",
            expires_at=timezone.now() + timedelta(days=1),
        )


@pytest.mark.parametrize(("action", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_a_call_is_decided_after_it_was_shown_to_its_last_letter(
    alice: Person, bob: Person, asked: Approval, action: str, status: str
) -> None:
    client = alice.signed_in()

    before = act(client, APPROVALS, action, asked.pk).content.decode()
    assert "&lt;script&gt;" in before
    assert LONG in before
    assert of(bob, asked).status == "pending"
    act(client, APPROVALS, action, asked.pk, confirmed="yes")

    assert (of(bob, asked).status, of(bob, asked).decided_by) == (status, alice.user)
    assert reload(bob, asked.run).status == Run.Status.PENDING
    assert AuditEntry.objects.filter(actor=alice.user, action=f"approval.{action}").exists()


def test_four_eyes_hold_in_the_admin_too(
    alice: Person, bob: Person, asked: Approval, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bob.org, "four_eyes", True)  # the row goes with the test, but everybody shares the object
    bob.org.save()
    with org_scope(bob.org):
        Run.objects.filter(pk=asked.run_id).update(user=alice.user)

    page = act(alice.signed_in(), APPROVALS, "approve", asked.pk, confirmed="yes").content.decode()

    assert "Somebody else has to approve" in page
    assert of(bob, asked).status == "pending"


def test_a_grant_is_ended(alice: Person, bob: Person, asked: Approval) -> None:
    with org_scope(bob.org):
        Approval.objects.filter(pk=asked.pk).update(
            status="approved", covers="agent", decided_by=alice.user, decided_at=timezone.now()
        )

    act(alice.signed_in(), APPROVALS, "revoke", asked.pk, confirmed="yes")

    assert of(bob, asked).revoked_at is not None


def test_nobody_decides_about_what_they_cannot_see(bob: Person, charlie: Person, asked: Approval) -> None:
    act(charlie.signed_in(), APPROVALS, "approve", asked.pk, confirmed="yes")

    assert charlie.signed_in().get(f"{APPROVALS}{asked.pk}/change/").status_code in {302, 404}
    assert of(bob, asked).status == "pending"


def test_a_server_is_added_changed_and_removed(alice: Person, allow: Callable[..., None]) -> None:  # noqa: F811
    allow("127.0.0.1:9")
    client = alice.signed_in()

    client.post(f"{SERVERS}add/", SERVER)
    server = only_server(alice)
    assert server.secret.reveal() == "canary-secret"
    page = client.get(f"{SERVERS}{server.pk}/change/").content.decode()
    assert "harbour" in page
    assert "canary-secret" not in page
    client.post(f"{SERVERS}{server.pk}/change/", {**SERVER, "new_secret": "", "risk": "medium"})

    changed = only_server(alice)
    assert (changed.risk, changed.secret.reveal()) == ("medium", "canary-secret")
    client.post(f"{SERVERS}{server.pk}/delete/", {"post": "yes"})
    with org_scope(alice.org):
        assert not McpServer.objects.filter(name="harbour").exists()
    written = AuditEntry.objects.filter(actor=alice.user, object_id="harbour").values_list("action", flat=True)
    assert set(written) == {"mcp_server.create", "mcp_server.change", "mcp_server.delete"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "http://169.254.169.254/mcp"}, "169.254.169.254"),
        ({"transport": "stdio", "url": "", "auth": "none", "program": ""}, "catalogue"),
        ({"name": "Not A Name"}, "small letters"),
        ({"parameters": "[1]"}, "Must be a dict"),
    ],
)
def test_a_mistake_stands_beside_its_field(
    alice: Person,
    allow: Callable[..., None],  # noqa: F811
    changes: dict[str, str],
    told: str,
) -> None:
    allow("127.0.0.1:9")

    page = alice.signed_in().post(f"{SERVERS}add/", {**SERVER, **changes}).content.decode()

    assert told in page
    assert "canary-secret" not in page
    with org_scope(alice.org):
        assert not McpServer.objects.filter(name="harbour").exists()


def act(client: Client, path: str, action: str, row: str, **more: str) -> Any:
    return client.post(path, {"action": action, "_selected_action": [row], **more}, follow=True)


def of(person: Person, asked: Approval) -> Approval:
    with org_scope(person.org):
        return Approval.objects.select_related("decided_by").get(pk=asked.pk)


def only_server(person: Person) -> McpServer:
    with org_scope(person.org):
        return McpServer.objects.get(name="harbour")
