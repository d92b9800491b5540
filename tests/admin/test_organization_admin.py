"""The admin of an organisation: its own rows, nothing of its neighbours', and no way up."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

import teams.models
from connectors.models import ApprovalCard, BotMessage, Connector, FeishuPerson, PdfFile, PdfJob, SyncJob
from memory.documents.accepting import accept
from memory.models import ChangeSet, ConsolidationPolicy
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.sites import organization_admin
from openintern.tenancy import keys, people
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Project
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs.models import Approval, Budget, Delivery, Firing, McpServer, Run, Schedule, Webhook
from runs.queue.models import Ticket
from tests.conftest import Person, reload

LISTS = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in organization_admin._registry]
KEY = re.compile(r"oi_[A-Za-z0-9]{12}_[A-Za-z0-9_-]{43}[0-9a-f]{8}")


@pytest.fixture
def canaries(charlie: Person, start_run: Callable[..., Run]) -> str:
    """Rows of every kind in rival, each with a word that must not be seen from acme."""
    start_run(charlie, "canary task", session_key="s_canary")
    people.create_project("canary", org=charlie.org, by=charlie.user)
    keys.create_api_key(org=charlie.org, user=charlie.user, name="canary")
    return "canary"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["", "?q=canar", "?q=charli"])
def test_lists_hold_only_the_organisations_own_rows(alice: Person, canaries: str, path: str, query: str) -> None:
    answer = alice.signed_in().get(path + query)

    page = answer.content.decode()
    assert answer.status_code == 200
    assert canaries not in page
    assert "charlie" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/admin/runs/run/?q=canar",
        "/admin/tenancy/project/",
        "/admin/tenancy/apikey/",
        "/admin/tenancy/auditentry/?q=canar",
    ],
)
def test_the_organisation_itself_does_see_them(charlie: Person, canaries: str, path: str) -> None:
    assert canaries in charlie.signed_in().get(path).content.decode()


@pytest.mark.parametrize("path", LISTS)
def test_an_owner_can_look_at_each_row_of_each_list(alice: Person, start_run: Callable[..., Run], path: str) -> None:
    start_run(alice)
    project = people.create_project("harbour", org=alice.org, by=alice.user)
    with org_scope(alice.org):
        connector = Connector.objects.create(project=project, name="harbour", created_by=alice.user)
        SyncJob.objects.create(connector=connector, trigger="manual")
        FeishuPerson.objects.create(connector=connector, open_id="ou_harbour", user=alice.user)
        BotMessage.objects.create(
            connector=connector, message_id="om_1", conversation="oc_1", sender="ou_harbour", text="Ahoy"
        )
        Budget.objects.create(limit_usd=7)
        clerk = teams.models.Role.objects.create(name="clerk", system_prompt="You file.")
        group = teams.models.Group.objects.create(name="office")
        teams.models.AgentInstance.objects.create(role=clerk)
        teams.models.BoardEntry.objects.create(group=group, kind="note", text="Filed.", user=alice.user)
        remember(owner=Owner.of_user(alice.user), tier="core", text="a fact", origin=Origin())
        ChangeSet.objects.create(user=alice.user)
        ConsolidationPolicy.objects.create()
        teams.models.Skill.objects.create(name="filing")
        schedule = Schedule.objects.create(name="harbour", user=alice.user, cron="0 8 * * *", paused="by_hand")
        Firing.objects.create(schedule=schedule, due_at=timezone.now(), outcome="skipped")
        accept(alice.scope, content=b"We deploy on Fridays.", name="habits.md")
        batch = PdfJob.objects.create(user=alice.user, mode="local")
        PdfFile.objects.create(job=batch, file_index=0, filename="harbour.pdf", source_key="harbour")
        hook = Webhook.objects.create(name="harbour", url="https://example.org/", rests="by_hand")
        Delivery.objects.create(webhook=hook, type="run.completed")
        McpServer.objects.create(name="harbour", transport="http", url="https://example.org/mcp")
        asked = Approval.objects.create(
            run=start_run(alice, session_key="s_asking"),
            tool_call_id="c1",
            step=1,
            agent_id="main",
            tool="send",
            risk="high",
            arguments={},
            rule="risk.high",
            reason="",
            expires_at=timezone.now() + timedelta(days=1),
        )
        ApprovalCard.objects.create(connector=connector, approval=asked, to="ou_harbour")
    client = alice.signed_in()
    rows = re.findall(rf'href="({path}[^"]+/change/)', client.get(path).content.decode())

    answers = [client.get(row) for row in rows]

    assert rows or "event" in path or "ledger" in path  # nothing has happened in a run that has just been accepted
    assert {answer.status_code for answer in answers} <= {200}


@pytest.mark.parametrize(
    "query", ["user__password__startswith=p", "organization__slug=rival", "user__memberships__organization__slug=rival"]
)
def test_a_list_cannot_be_asked_about_what_lies_behind_it(alice: Person, query: str) -> None:
    answer = alice.signed_in().get(f"/admin/tenancy/membership/?{query}")

    assert answer.status_code == 400


def test_choices_name_nobody_of_another_organisation(alice: Person, charlie: Person) -> None:
    client = alice.signed_in()
    pages = [client.get(path).content.decode() for path in ("/admin/tenancy/apikey/", "/admin/tenancy/apikey/add/")]

    assert all("bob" in page and "charlie" not in page for page in pages)


@pytest.mark.parametrize(
    "model", ["runs.event.run", "runs.run.parent", "tenancy.membership.user", "tenancy.apikey.organization"]
)
def test_autocompletion_tells_nothing_of_others(alice: Person, canaries: str, model: str) -> None:
    app, name, field = model.split(".")

    answer = alice.signed_in().get(
        f"/admin/autocomplete/?term=canary&app_label={app}&model_name={name}&field_name={field}"
    )

    assert answer.status_code in {200, 403}
    assert answer.status_code == 403 or answer.json()["results"] == []


def test_a_key_is_shown_once_and_never_stored(alice: Person, bob: Person) -> None:
    client = alice.signed_in()
    form = {"user": bob.user.pk, "name": "robot", "scopes": ["read"], "expires_at_0": "", "expires_at_1": ""}

    page = client.post("/admin/tenancy/apikey/add/", form, follow=True).content.decode()

    (text,) = KEY.findall(page)
    key = ApiKey.objects.get(name="robot")
    assert (key.user, key.organization, key.scopes) == (bob.user, alice.org, ["read"])
    assert Client(headers={"Authorization": f"Bearer {text}"}).get("/api/me").json()["user_id"] == "bob"
    again = (
        client.get("/admin/tenancy/apikey/").content.decode()
        + client.get(f"/admin/tenancy/apikey/{key.pk}/change/").content.decode()
    )
    assert text not in again
    assert key.digest not in again
    assert AuditEntry.objects.filter(action="api_key.create", actor=alice.user, object_id=key.prefix).exists()


def test_an_admin_makes_no_key_that_reaches_higher(alice: Person, bob: Person) -> None:
    promote(bob, Role.ADMIN)
    form = {"user": alice.user.pk, "name": "ladder", "scopes": ["read"], "expires_at_0": "", "expires_at_1": ""}

    for_an_owner = bob.signed_in().post("/admin/tenancy/apikey/add/", form)
    for_anybody = bob.signed_in().post(
        "/admin/tenancy/apikey/add/", {**form, "user": bob.user.pk, "scopes": ["read", "act_as"]}
    )

    assert "Select a valid choice" in for_an_owner.content.decode()
    assert for_anybody.status_code == 403
    assert not ApiKey.objects.filter(name="ladder").exists()


def test_a_key_can_be_revoked_and_nothing_else(alice: Person, bob: Person) -> None:
    key = ApiKey.objects.get(user=bob.user)
    client = alice.signed_in()

    changed = client.post(f"/admin/tenancy/apikey/{key.pk}/change/", {"name": "mine now", "user": alice.user.pk})
    deleted = client.post(f"/admin/tenancy/apikey/{key.pk}/delete/", {"post": "yes"})
    client.post("/admin/tenancy/apikey/", {"action": "revoke", "_selected_action": [key.pk], "confirmed": "yes"})

    assert (changed.status_code, deleted.status_code) == (403, 403)
    assert bob.with_key().get("/api/me").status_code == 401
    assert AuditEntry.objects.filter(action="api_key.revoke", actor=alice.user, object_id=key.prefix).count() == 1


def test_a_role_changes_with_a_row_in_the_audit(alice: Person, bob: Person) -> None:
    membership = Membership.objects.get(user=bob.user)
    project = people.create_project("harbour", org=alice.org, by=alice.user)

    alice.signed_in().post(
        f"/admin/tenancy/membership/{membership.pk}/change/", {"role": "admin", "projects": [project.pk]}
    )

    membership.refresh_from_db()
    assert (membership.role, list(membership.projects.all())) == (Role.ADMIN, [project])
    changes = AuditEntry.objects.filter(actor=alice.user, object_id="bob")
    assert changes.get(action="member.change").details == {"from": "member", "to": "admin"}
    assert changes.get(action="member.projects").details == {"projects": ["harbour"]}


def test_an_admin_makes_nobody_an_owner_and_touches_no_owner(alice: Person, bob: Person) -> None:
    promote(bob, Role.ADMIN)
    own, owners = Membership.objects.get(user=bob.user), Membership.objects.get(user=alice.user)
    client = bob.signed_in()

    upwards = client.post(f"/admin/tenancy/membership/{own.pk}/change/", {"role": "owner"})
    demoting = client.post(f"/admin/tenancy/membership/{owners.pk}/change/", {"role": "viewer"})
    removing = client.post(f"/admin/tenancy/membership/{owners.pk}/delete/", {"post": "yes"})

    assert "Select a valid choice" in upwards.content.decode()
    assert (demoting.status_code, removing.status_code) == (403, 403)
    assert [Membership.objects.get(pk=each.pk).role for each in (own, owners)] == [Role.ADMIN, Role.OWNER]


def test_the_last_owner_cannot_go(alice: Person) -> None:
    membership = Membership.objects.get(user=alice.user)
    client = alice.signed_in()

    stepping_down = client.post(f"/admin/tenancy/membership/{membership.pk}/change/", {"role": "member"})
    leaving = client.post(f"/admin/tenancy/membership/{membership.pk}/delete/", {"post": "yes"})

    assert (stepping_down.status_code, leaving.status_code) == (409, 409)
    assert Membership.objects.get(pk=membership.pk).role == Role.OWNER


def test_a_member_can_be_removed(alice: Person, bob: Person) -> None:
    membership = Membership.objects.get(user=bob.user)
    theirs = bob.signed_in()

    alice.signed_in().post(f"/admin/tenancy/membership/{membership.pk}/delete/", {"post": "yes"})

    assert theirs.get("/api/me").status_code == 403
    assert bob.with_key().get("/api/me").status_code == 401
    assert AuditEntry.objects.filter(action="member.remove", actor=alice.user, object_id="bob").exists()


def test_a_project_is_the_organisations_own(alice: Person, charlie: Person) -> None:
    form = {"slug": "harbour", "name": "Harbour", "organization": charlie.org.pk}
    client = alice.signed_in()

    client.post("/admin/tenancy/project/add/", form)
    again = client.post("/admin/tenancy/project/add/", form)

    assert Project.objects.get(slug="harbour").organization == alice.org
    assert again.status_code == 409
    assert AuditEntry.objects.get(action="project.create", object_id="harbour").actor == alice.user


@pytest.mark.parametrize("model", ["auditentry", "membership", "apikey", "project"])
def test_rows_of_others_are_as_if_they_were_not(alice: Person, charlie: Person, canaries: str, model: str) -> None:
    rows = {"auditentry": AuditEntry, "membership": Membership, "apikey": ApiKey, "project": Project}[model]
    theirs = rows.objects.filter(organization=charlie.org).latest("pk")
    client = alice.signed_in()
    for page in ("change", "delete", "history"):
        seen = client.get(f"/admin/tenancy/{model}/{theirs.pk}/{page}/", follow=True)
        never = client.get(f"/admin/tenancy/{model}/987654/{page}/", follow=True)
        assert seen.status_code == never.status_code
        assert "canary" not in seen.content.decode()


def test_what_is_done_in_the_admin_is_in_the_audit_and_not_in_a_log_that_all_share(alice: Person) -> None:
    alice.signed_in().post("/admin/tenancy/project/add/", {"slug": "harbour", "name": "Harbour"})

    assert not LogEntry.objects.exists()


def test_the_audit_can_only_be_read(alice: Person) -> None:
    entry = AuditEntry.objects.filter(organization=alice.org).latest("pk")
    client = alice.signed_in()

    answers = [
        client.post(f"/admin/tenancy/auditentry/{page}/")
        for page in (f"{entry.pk}/change", f"{entry.pk}/delete", "add")
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_runs_can_be_cancelled_and_queued_again(alice: Person, bob: Person, start_run: Callable[..., Run]) -> None:
    stuck, unwanted = start_run(bob, session_key="s_stuck"), start_run(bob, session_key="s_unwanted")
    Ticket.objects.filter(run_id=stuck.pk).update(
        available_at=None, leased_by="nobody", lease_expires_at=timezone.now() - timedelta(hours=1)
    )
    client = alice.signed_in()

    act(client, "requeue", stuck)
    act(client, "cancel", unwanted)
    page = act(client, "cancel", unwanted).content.decode()

    assert reload(bob, unwanted).status == Run.Status.CANCELLED
    assert Ticket.objects.get(run_id=stuck.pk).available_at is not None
    assert "has already cancelled" in page
    assert set(AuditEntry.objects.filter(actor=alice.user).values_list("action", flat=True)) >= {
        "run.requeue",
        "run.cancel",
    }


def test_the_latest_runs_come_first(alice: Person, bob: Person, start_run: Callable[..., Run]) -> None:
    for number in range(5):
        start_run(bob, f"kittiwake {number}", session_key=f"s_{number}")

    page = alice.signed_in().get("/admin/runs/run/?q=kittiwake").content.decode()

    assert re.findall(r"kittiwake (\d)", page) == ["4", "3", "2", "1", "0"]


def test_the_list_of_members_says_how_somebody_new_gets_in(alice: Person) -> None:
    page = alice.signed_in().get("/admin/tenancy/membership/").content.decode()

    assert f"openintern create_user NAME --org {alice.org.slug} --role member" in page


@pytest.mark.parametrize("action", ["cancel", "requeue"])
def test_before_runs_are_changed_at_once_one_is_asked(
    alice: Person, bob: Person, start_run: Callable[..., Run], action: str
) -> None:
    run = start_run(bob, "paint <b>it</b>")

    asked = alice.signed_in().post("/admin/runs/run/", {"action": action, "_selected_action": [run.pk]})

    page = asked.content.decode()
    assert "paint &lt;b&gt;it&lt;/b&gt;" in page
    assert f'name="_selected_action" value="{run.pk}"' in page
    assert reload(bob, run).status == Run.Status.PENDING
    assert not AuditEntry.objects.filter(actor=alice.user, object_id=run.pk).exists()


def test_an_action_on_somebody_elses_run_does_nothing(
    charlie: Person, bob: Person, start_run: Callable[..., Run]
) -> None:
    run = start_run(bob)

    act(charlie.signed_in(), "cancel", run)

    assert reload(bob, run).status == Run.Status.PENDING


def test_the_password_page_and_the_doors_are_the_sites_own(alice: Person) -> None:
    client = alice.signed_in()

    assert client.get("/admin/password_change/")["Location"] == "/password"
    assert Client().get("/admin/login/")["Location"] == "/sign-in?next=/admin/"
    assert client.post("/admin/logout/").status_code in {200, 302}
    assert client.get("/api/me").status_code == 401


def promote(person: Person, role: Role) -> None:
    Membership.objects.filter(user=person.user).update(role=role)


def act(client: Client, action: str, run: Run) -> Any:
    """Choose an action for a run, and say yes."""
    chosen = {"action": action, "_selected_action": [run.pk], "confirmed": "yes"}
    return client.post("/admin/runs/run/", chosen, follow=True)
