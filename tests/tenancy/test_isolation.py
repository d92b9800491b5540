"""What is acme's does not exist for Charlie of rival: by no URL, no method, no kind of credential.

The URLs are all there are (`tests.resolver`), filled with ids that acme really has. Each answer must be the one
that an id which never existed gets, and acme's rows must be what they were, to the last byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Model
from django.http import HttpResponseBase
from django.test import Client
from django.utils import timezone

from connectors.models import (
    ApprovalCard,
    BotEvent,
    BotMessage,
    Connector,
    FeishuPerson,
    Listing,
    PdfFile,
    PdfJob,
    SyncJob,
)
from connectors.models import Source as ConnectorSource
from memory.models import (
    Change,
    ChangeSet,
    ConsolidationPolicy,
    Document,
    Embedding,
    EmbeddingModel,
    Memory,
    Passage,
    Shelf,
    Term,
    Words,
)
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy import keys, people
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Project
from openintern.tenancy.scope import org_scope, public_scope
from runs import lifecycle, log
from runs.events import Draft, EventType
from runs.models import (
    Approval,
    Budget,
    Checkpoint,
    Delivery,
    Effect,
    Event,
    Firing,
    KeptAnswer,
    LedgerEntry,
    LiveText,
    McpServer,
    Run,
    Schedule,
    Session,
    Upload,
    Webhook,
)
from runs.queue.models import Ticket
from teams.models import AgentInstance, BoardEntry, BoardVersion, Group, Member, Role, Skill, SkillVersion
from tests.conftest import Cast
from tests.resolver import Endpoint, endpoints

CANARY = "canary7Qx"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
WITH_IDS = [each for each in endpoints() if each.parameters]
WITHOUT_IDS = [
    each
    for each in endpoints()
    if not each.parameters and each.pattern not in {"sign-out", "admin/logout/", "platform/logout/"}
]
TENANT_MODELS = [model for label in settings.TENANT_APPS for model in apps.get_app_config(label).get_models()]
NEVER = {
    "run_id": "run_neverExisted123456789",
    "session_key": "s_neverExisted",
    "content_type_id": "98765",
    "id": "98765",
    "tool_call_id": "call_never",
    "upload_id": "upl_never",
    "approval_id": "apr_never",
    "server_id": "98765",
    "schedule_id": "sch_never",
    "webhook_id": "whk_never",
    "delivery_id": "98765",
    "action": "look",
    "budget_id": "98765",
    "role_id": "role_never",
    "document_id": "doc_neverExisted1234567",
    "group_id": "grp_never",
    "member_id": "mbr_never",
    "template": "never",
    "entry_id": "entry_never",
    "skill_id": "skill_never",
    "connector_id": "fconn_neverExisted1234567",
    "pdf_job_id": "mju_neverExisted123456789",
    "org_id": "never",
    "open_id": "ou_never",
    "memory_id": "00000000-0000-4000-8000-000000000000",
    "change_set_id": "00000000-0000-4000-8000-000000000000",
}
_VARIES = re.compile(rb'(?i)(csrf[a-z]*"(?: value=|: )")[^"]+')


@dataclass(frozen=True)
class Property:
    """What acme has: one row of every kind, each with the canary in it."""

    run: Run
    rows: dict[type[Model], Model]

    def ids(self, endpoint: Endpoint) -> dict[str, object]:
        """The real ids for an endpoint's parameters."""
        row = self.rows.get(endpoint.model)
        return {
            "run_id": self.run.pk,
            "upload_id": self.rows[Upload].pk,
            "approval_id": self.rows[Approval].pk,
            "server_id": self.rows[McpServer].pk,
            "schedule_id": self.rows[Schedule].pk,
            "webhook_id": self.rows[Webhook].pk,
            "delivery_id": self.rows[Delivery].pk,
            "action": "look",
            "budget_id": self.rows[Budget].pk,
            "role_id": self.rows[Role].pk,
            "group_id": self.rows[Group].pk,
            "member_id": self.rows[Member].pk,
            "template": "never",
            "entry_id": self.rows[BoardEntry].pk,
            "skill_id": self.rows[Skill].pk,
            "connector_id": self.rows[Connector].pk,
            "pdf_job_id": self.rows[PdfJob].pk,
            "org_id": "acme",
            "open_id": self.rows[FeishuPerson].open_id,
            "memory_id": self.rows[Memory].pk,
            "change_set_id": self.rows[ChangeSet].pk,
            "document_id": self.rows[Document].pk,
            "session_key": f"s_{CANARY}",
            "tool_call_id": CANARY,
            "object_id": row.pk if row else self.run.pk,
            "content_type_id": "1",
            "id": Membership.objects.get(user__username="alice").user_id,
        }


@pytest.fixture(scope="module")
def acmes(cast: Cast, django_db_blocker: Any) -> Iterator[Property]:
    """A run under way, with everything that a run has; committed, so that other connections see it too."""
    with django_db_blocker.unblock():
        alice = cast.alice
        project = people.create_project("canary", org=alice.org, name=CANARY, by=alice.user)
        key, _ = keys.create_api_key(org=alice.org, user=alice.user, name=CANARY)
        with org_scope(alice.org):
            rows = {**_rows_of_a_run(cast), **_rows_of_a_memory(cast), **_rows_of_a_team()}
            rows |= _rows_of_a_connector(cast, project, rows[Approval])
            rows |= _rows_of_the_clock(cast) | _rows_of_an_outbox()
            ticket = Ticket.objects.get(run_id=rows[Run].pk)
        membership = Membership.objects.get(user=alice.user)
        entry = AuditEntry.objects.filter(organization=alice.org).latest("pk")
        shared = {Project: project, ApiKey: key, Membership: membership, AuditEntry: entry, Ticket: ticket}
        yield Property(rows[Run], {**rows, **shared})


def _rows_of_a_connector(cast: Cast, project: Project, asked: Approval) -> dict[type[Model], Any]:
    connector = Connector.objects.create(
        project=project, name=CANARY, created_by=cast.alice.user, app_secret=CANARY, status="paused"
    )
    job = SyncJob.objects.create(
        connector=connector, trigger="manual", status="failed", error_code=CANARY, ended_at=timezone.now()
    )
    batch = PdfJob.objects.create(user=cast.alice.user, mode="v4")
    pdf = PdfFile.objects.create(
        job=batch, file_index=0, filename=f"{CANARY}.pdf", source_key=CANARY, status="failed", ended_at=timezone.now()
    )
    return {
        PdfJob: batch,
        PdfFile: pdf,
        Connector: connector,
        SyncJob: job,
        Listing: Listing.objects.create(job=job, kind="folder", token=CANARY),
        BotEvent: BotEvent.objects.create(connector=connector, event_id=CANARY, type=CANARY),
        BotMessage: BotMessage.objects.create(
            connector=connector,
            message_id=CANARY,
            conversation=CANARY,
            sender=CANARY,
            text=CANARY,
            state="failed",
            problem=CANARY,
            ended_at=timezone.now(),
        ),
        FeishuPerson: FeishuPerson.objects.create(connector=connector, open_id=CANARY, user=cast.alice.user),
        ApprovalCard: ApprovalCard.objects.create(
            connector=connector, approval=asked, to=CANARY, state="failed", problem=CANARY, ended_at=timezone.now()
        ),
        ConnectorSource: ConnectorSource.objects.create(connector=connector, key=f"docx:{CANARY}", kind="docx"),
    }


def _rows_of_a_team() -> dict[type[Model], Any]:
    skill = Skill.objects.create(name=CANARY)
    version = SkillVersion.objects.create(skill=skill, number=1, text=CANARY)
    skill.current = skill.enabled = version
    skill.save()
    role, group = Role.objects.create(name=CANARY, system_prompt=CANARY), Group.objects.create(name=CANARY)
    agent = AgentInstance.objects.create(role=role)
    entry = BoardEntry.objects.create(group=group, kind="note", text=CANARY)
    return {
        BoardEntry: entry,
        BoardVersion: BoardVersion.objects.create(
            entry=entry, number=1, kind="note", text=CANARY, tier="episodic", importance=0.5, changed_by=CANARY
        ),
        Role: role,
        Group: group,
        AgentInstance: agent,
        Member: Member.objects.create(group=group, role=role, agent=agent),
        Skill: skill,
        SkillVersion: version,
    }


def _rows_of_an_outbox() -> dict[type[Model], Any]:
    hook = Webhook.objects.create(name=CANARY, url=f"https://{CANARY}.example/", event_types=[], rests="by_hand")
    return {Webhook: hook, Delivery: Delivery.objects.create(webhook=hook, type=CANARY, state="dead")}


def _rows_of_the_clock(cast: Cast) -> dict[type[Model], Any]:
    schedule = Schedule.objects.create(
        name=CANARY, user=cast.alice.user, input=CANARY, cron="0 0 1 1 *", session_key=f"s_{CANARY}", paused="by_hand"
    )
    firing = Firing.objects.create(schedule=schedule, due_at=timezone.now(), outcome="refused")
    return {Schedule: schedule, Firing: firing}


def _rows_of_a_memory(cast: Cast) -> dict[type[Model], Any]:
    memory = remember(
        owner=Owner.of_user(cast.alice.user), tier="core", text=f"{CANARY} is remembered", origin=Origin()
    )
    passage = Passage.objects.get(memory=memory)
    change_set = ChangeSet.objects.create(user=cast.alice.user)
    return {
        ChangeSet: change_set,
        Change: Change.objects.create(
            change_set=change_set,
            ordinal=0,
            kind="merge",
            digest=memory.likeness,
            members=[memory.pk],
            before={str(memory.pk): memory.updated_at.isoformat()},
            text=f"{CANARY} merged",
        ),
        ConsolidationPolicy: ConsolidationPolicy.objects.create(),
        Shelf: memory.shelf,
        Memory: memory,
        Passage: passage,
        Words: Words.objects.get(passage=passage),
        Term: Term.objects.filter(shelf=memory.shelf)[0],
        Embedding: Embedding.objects.get(passage=passage),
        EmbeddingModel: EmbeddingModel.objects.get(state="serving"),
        Document: Document.objects.create(
            shelf=memory.shelf,
            author=cast.alice.user,
            name=f"{CANARY}.txt",
            kind="text",
            size=1,
            digest="",
            available_at=timezone.now() + timedelta(days=1),
        ),
    }


def _rows_of_a_run(cast: Cast) -> dict[type[Model], Any]:
    run = lifecycle.create_run(
        cast.alice.scope,
        text=f"{CANARY} task",
        session_key=f"s_{CANARY}",
        llm_config={"provider": "mock"},
        at=timezone.now(),
    )
    log.append(
        run,
        Draft(EventType.RUN_STARTED, {"input": CANARY}),
        status=Run.Status.RUNNING,
        attempt=1,
        started_at=timezone.now(),
    )
    return {
        Run: run,
        Session: run.session,
        Event: run.events.get(),
        Checkpoint: Checkpoint.objects.create(run=run, step=1, seq=1, state={"said": CANARY}),
        Effect: Effect.objects.create(
            run=run,
            tool_call_id=CANARY,
            step=1,
            ordinal=0,
            tool="read_file",
            args_hash="",
            recovery="pure",
            status="done",
            attempt=1,
            rule="default",
        ),
        Approval: Approval.objects.create(
            run=run,
            tool_call_id=CANARY,
            step=1,
            agent_id="main",
            tool="send",
            risk="high",
            arguments={"text": CANARY},
            rule="risk.high",
            reason=CANARY,
            expires_at=timezone.now() + timedelta(days=1),
        ),
        Upload: Upload.objects.create(user=cast.alice.user, original_name=CANARY, mime_type="text/plain", size=1),
        KeptAnswer: KeptAnswer.objects.create(
            user=cast.alice.user, key=CANARY, request_digest="", status=201, body=CANARY
        ),
        McpServer: McpServer.objects.create(name="canary", transport="http", url=f"https://{CANARY}.example/mcp"),
        LiveText: LiveText.objects.create(run=run, attempt=1, step=1, text=CANARY),
        Budget: Budget.objects.create(limit_usd=7, limit_tokens=7_000_000),
        LedgerEntry: LedgerEntry.objects.create(
            kind="settle", run=run, user=run.user, amount=1, tokens=1, at=timezone.now()
        ),
    }


@pytest.fixture(params=["session", "key"])
def charlie_speaks(request: pytest.FixtureRequest, committed: Cast) -> Client:
    return committed.charlie.signed_in() if request.param == "session" else committed.charlie.with_key()


def test_acme_has_a_row_in_every_table_that_organisations_have(acmes: Property) -> None:
    assert set(TENANT_MODELS) - set(acmes.rows) == set(), "give the new model a row in `acmes`"
    assert CANARY in _contents_of_acme(acmes)


def test_public_has_no_table_of_an_organisation(committed: Cast) -> None:
    with public_scope():
        there = set(connection.introspection.table_names())

    assert there.isdisjoint(model._meta.db_table for model in TENANT_MODELS)


@pytest.mark.parametrize("endpoint", WITH_IDS, ids=str)
def test_what_is_acmes_is_to_charlie_as_if_it_had_never_been(
    endpoint: Endpoint, charlie_speaks: Client, acmes: Property
) -> None:
    real = {name: value for name, value in acmes.ids(endpoint).items() if name in endpoint.parameters}
    never = {name: _like(value) if name == "object_id" else NEVER[name] for name, value in real.items()}
    before = _contents_of_acme(acmes)

    for method in METHODS if endpoint.declared.resource else ("GET", "POST"):
        body = {"data": b'{"message": "hello", "title": "mine", "post": "yes"}', "content_type": "application/json"}
        seen = charlie_speaks.generic(method, endpoint.path(real), **body)
        unseen = charlie_speaks.generic(method, endpoint.path(never), **body)
        assert _told(seen, real) == _told(unseen, never), method
        assert seen.status_code in {302, 400, 403, 404, 405} or method == "OPTIONS" or "sessions" in endpoint.pattern, (
            method
        )

    assert _contents_of_acme(acmes) == before


@pytest.mark.parametrize("endpoint", WITHOUT_IDS, ids=str)
@pytest.mark.parametrize("query", ["", f"?q={CANARY[:-1]}&session_key=s_{CANARY[:-1]}"], ids=["plain", "searching"])
def test_no_list_and_no_page_of_charlies_holds_a_word_of_acmes(
    endpoint: Endpoint, query: str, charlie_speaks: Client, acmes: Property
) -> None:
    answer = charlie_speaks.get(endpoint.path({}) + query)

    assert answer.status_code < 500 or endpoint.pattern == "health"  # which says that there is no worker
    assert CANARY.encode() not in _content(answer)
    assert b"alice" not in _content(answer)


def test_the_lists_would_show_it_to_alice(committed: Cast, acmes: Property) -> None:
    client = committed.alice.signed_in()

    for path in (
        "/api/runs",
        "/api/sessions",
        f"/api/sessions/s_{CANARY}/runs",
        "/runs",
        f"/chat/s_{CANARY}",
        f"/trace/{acmes.run.pk}",
        f"/admin/runs/run/?q={acmes.run.pk}",
    ):
        assert CANARY.encode() in _content(client.get(path)), path


def test_a_run_started_with_acmes_names_stays_charlies(
    committed: Cast, acmes: Property, charlie_speaks: Client
) -> None:
    before = _contents_of_acme(acmes)
    task = {
        "input": "hello",
        "session_key": f"s_{CANARY}",
        "parent_run_id": acmes.run.pk,
        "resume_from": acmes.run.pk,
        "id": acmes.run.pk,
        "llm_config": {"provider": "mock"},
    }

    answer = charlie_speaks.post("/api/runs", task, content_type="application/json")

    assert answer.status_code == 201
    assert answer.json()["run_id"] != acmes.run.pk
    detail = charlie_speaks.get(f"/api/runs/{answer.json()['run_id']}").json()
    assert (detail["user_id"], detail["parent_run_id"], detail["attempt"]) == ("charlie", None, 0)
    assert _contents_of_acme(acmes) == before


def test_a_task_cannot_be_repeated_from_acmes_run(charlie_speaks: Client, acmes: Property) -> None:
    answer = charlie_speaks.post("/", {"retry": acmes.run.pk, "input": ""}, headers={"X-CSRFToken": "none"})

    assert answer.status_code in {403, 404}


def _told(answer: HttpResponseBase, ids: dict[str, object]) -> tuple[int, bytes, dict[str, str]]:
    """All that an answer says, apart from what the question said itself and what differs every time."""
    content = _VARIES.sub(rb"\1", _content(answer))
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"X-Request-Id", "Expires", "Content-Length"}
    }
    for name, value in ids.items():
        content = content.replace(str(value).encode(), name.encode()) if len(str(value)) > 5 else content
        headers["Location"] = re.sub(rf"\b{value}\b", name, headers.get("Location", ""))
    assert CANARY.encode() not in content
    return answer.status_code, content, headers


def _content(answer: HttpResponseBase) -> bytes:
    return b"".join(answer) if answer.streaming else answer.content


def _like(key: object) -> object:
    return 98765 if isinstance(key, int) else NEVER["run_id"]


def _contents_of_acme(acmes: Property) -> str:
    """Every row that is acme's, as text."""
    org = acmes.run.session.user.memberships.get().organization
    with org_scope(org):
        texts = [_as_text(f'"{model._meta.db_table}"') for model in TENANT_MODELS]
    shared = [
        _as_text(f'"{model._meta.db_table}"', org.pk) for model in (Project, ApiKey, Membership, Ticket, AuditEntry)
    ]
    return "\n".join([*texts, *shared])


def _as_text(table: str, org_id: int | None = None) -> str:
    condition = f"WHERE organization_id = {org_id}" if org_id else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT string_agg(t::text, chr(10) ORDER BY t::text) FROM (SELECT * FROM {table} {condition}) t"
        )
        return str(cursor.fetchone()[0])
