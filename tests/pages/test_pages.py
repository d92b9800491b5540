"""The pages as a browser without JavaScript meets them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from openintern.tenancy import people
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Event, Run, Session
from runs.tools.workspace import Workspace
from tests.conftest import PASSWORD, Cast, Person, reload

StartRun = Callable[..., Run]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def finish() -> Callable[..., None]:
    """Let a run end with an answer, as if a worker had done it."""

    def end(person: Person, run: Run, output: str, **events: Any) -> None:
        with org_scope(person.org), transaction.atomic():
            drafts = [Draft(EventType.RUN_COMPLETED, {"output": output})]
            log.append(run, status=Run.Status.RUNNING, attempt=run.attempt + 1, started_at=timezone.now())
            log.append(run, *drafts, status=Run.Status.COMPLETED, output=output, ended_at=timezone.now())

    return end


def page(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers or None)
    assert response.status_code == 200, (response.status_code, path)
    return response.content.decode()


# --- coming in and going out


def test_a_stranger_is_asked_to_sign_in_and_comes_back_to_the_page(cast: Cast, db: None) -> None:
    response = Client().get("/runs?status=failed")

    assert response.status_code == 302
    assert response["Location"] == "/sign-in?next=/runs%3Fstatus%3Dfailed"


def test_name_and_password_open_the_door(alice: Person) -> None:
    client = Client()

    response = client.post("/sign-in", {"username": "alice", "password": PASSWORD, "next": "/runs"})

    assert response["Location"] == "/runs"
    assert "alice" in page(client, "/runs")


def test_the_door_leads_to_no_other_site(alice: Person) -> None:
    response = Client().post("/sign-in", {"username": "alice", "password": PASSWORD, "next": "https://evil.example/"})

    assert response["Location"] == "/"


def test_guessing_passwords_has_to_wait_whoever_is_named(alice: Person) -> None:
    for name in ("alice", "nobody"):
        tries = [Client().post("/sign-in", {"username": name, "password": "wrong"}).status_code for _ in range(11)]
        assert tries == [200] * 10 + [429]

    right = Client().post("/sign-in", {"username": "alice", "password": PASSWORD})

    assert right.status_code == 429
    assert int(right["Retry-After"]) > 0


def test_signing_out_takes_a_post(alice: Person) -> None:
    client = alice.signed_in()

    assert client.get("/sign-out").status_code == 405
    assert client.post("/sign-out").status_code == 302
    assert client.get("/runs").status_code == 302


def test_a_new_password_ends_the_other_sessions(alice: Person) -> None:
    here, elsewhere = alice.signed_in(), alice.signed_in()

    here.post(
        "/password",
        {"old_password": PASSWORD, "new_password1": "another good one", "new_password2": "another good one"},
    )

    assert here.get("/runs").status_code == 200
    assert elsewhere.get("/runs").status_code == 302


def test_somebody_in_two_organisations_can_change_between_them(alice: Person, charlie: Person) -> None:
    people.add_member(alice.user, org=charlie.org, role=Role.VIEWER)
    client = alice.signed_in()

    client.post("/organization", {"organization": "rival"})

    assert "<small>rival</small>" in page(client, "/runs")


def test_nobody_changes_into_an_organisation_that_is_not_theirs(alice: Person) -> None:
    assert alice.signed_in().post("/organization", {"organization": "rival"}).status_code == 404


@pytest.mark.parametrize("path", ["/", "/runs", "/sign-out", "/organization", "/theme", "/language", "/password"])
def test_what_changes_something_wants_a_token(alice: Person, path: str) -> None:
    assert alice.signed_in(check_csrf=True).post(path, {"input": "x"}).status_code == 403 or path == "/runs"


# --- the chat


def test_a_task_is_given_by_a_plain_form(alice: Person) -> None:
    client = alice.signed_in()

    response = client.post("/", {"input": "Say **hello** & <b>"})

    conversation = page(client, response["Location"])
    assert re.fullmatch(r"/chat/s_\w+", response["Location"])
    assert "Say **hello** &amp; &lt;b&gt;" in conversation
    assert "data-live" in conversation
    assert '<noscript><meta http-equiv="refresh"' in conversation


def test_htmx_gets_the_new_turn_alone(alice: Person, start_run: StartRun) -> None:
    response = alice.signed_in().post("/chat/s_talk", {"input": "next"}, headers=HTMX)

    assert response.content.decode().lstrip().startswith('<article class="turn"')


@pytest.mark.parametrize("text", ["", "   ", "\x00"])
def test_an_impossible_task_is_refused_with_a_reason(alice: Person, text: str) -> None:
    client = alice.signed_in()

    assert client.post("/", {"input": text}).status_code == 400
    assert b"notice bad" in client.post("/chat/s_x", {"input": text}, headers=HTMX).content


def test_an_answer_is_markdown_and_harmless(alice: Person, start_run: StartRun, finish: Callable[..., None]) -> None:
    run = start_run(alice, "x", session_key="s_md")
    finish(alice, run, "**bold** <script>alert(1)</script> ![x](https://evil.example/x)")

    conversation = page(alice.signed_in(), "/chat/s_md")

    assert "<strong>bold</strong>" in conversation
    assert "<script>alert" not in conversation
    assert 'src="https://evil.example' not in conversation


def test_a_failure_is_told_in_words(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "x", session_key="s_fail")
    with org_scope(alice.org):
        error = {"code": "LLM_AUTH", "message": "The provider refused the key."}
        log.append(
            run,
            Draft(EventType.RUN_FAILED, {"error": error}),
            status=Run.Status.FAILED,
            error=error,
            ended_at=timezone.now(),
        )

    conversation = page(alice.signed_in(), "/chat/s_fail")

    assert "The provider refused the key." in conversation


def test_the_same_task_can_be_given_again(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "the task", session_key="s_again")

    alice.signed_in().post("/chat/s_again", {"retry": run.pk})

    with org_scope(alice.org):
        assert list(Run.objects.filter(session=run.session_id).values_list("input", flat=True)) == [
            "the task",
            "the task",
        ]


def test_somebody_elses_task_cannot_be_given_again(alice: Person, charlie: Person, start_run: StartRun) -> None:
    run = start_run(alice, "secret", session_key="s_secret")

    assert charlie.signed_in().post("/chat/s_mine", {"retry": run.pk}).status_code == 404


def test_a_conversation_is_renamed_and_put_away_and_its_runs_stay(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "x", session_key="s_named")
    client = alice.signed_in()

    client.post("/chat/s_named/title", {"title": "  Plans <3 "})
    named = page(client, "/chat/s_named")
    client.post("/chat/s_named/archive")

    assert "Plans &lt;3" in named
    assert "Plans &lt;3" not in page(client, "/")
    assert reload(alice, run).session.is_archived
    assert page(client, f"/trace/{run.pk}")


def test_a_long_conversation_is_read_page_by_page(alice: Person, start_run: StartRun) -> None:
    for number in range(23):
        start_run(alice, f"task-{number:02d}.", session_key="s_long")
    client = alice.signed_in()

    latest = page(client, "/chat/s_long")
    earlier = page(client, "/chat/s_long" + re.search(r'href="(\?before=[^"]+)"', latest)[1])

    assert re.findall(r"task-(\d+)\.</div>", latest) == [f"{number:02d}" for number in range(3, 23)]
    assert re.findall(r"task-(\d+)\.</div>", earlier) == ["00", "01", "02"]


def test_a_viewer_sees_no_way_to_act_and_has_none(victor: Person) -> None:
    client = victor.signed_in()

    assert 'id="composer"' not in page(client, "/")
    assert client.post("/", {"input": "x"}).status_code == 403


# --- the list of runs


def test_runs_are_found_by_status_and_by_words(alice: Person, start_run: StartRun) -> None:
    waiting, cancelled = start_run(alice, "paint the shed"), start_run(alice, "mow the lawn")
    client = alice.signed_in()
    client.post(f"/runs/{cancelled.pk}/cancel")

    assert [
        waiting.pk in page(client, f"/runs?{query}")
        for query in ("status=pending", "q=SHED", "status=cancelled", "q=lawn")
    ] == [True, True, False, False]
    assert cancelled.pk in page(client, "/runs?status=cancelled&q=mow")


def test_a_cancelled_run_says_so_and_cannot_be_cancelled_again(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice)
    client = alice.signed_in()

    first, second = (client.post(f"/runs/{run.pk}/cancel", headers=HTMX) for _ in range(2))

    assert (first.status_code, second.status_code) == (204, 400)
    assert "runs-changed" in first["HX-Trigger"]
    assert reload(alice, run).status == "cancelled"


def test_the_list_goes_on_by_cursor_without_repeating(alice: Person, start_run: StartRun) -> None:
    for number in range(43):
        start_run(alice, f"number {number}", session_key=f"s_{number}")
    client = alice.signed_in()

    first = page(client, "/runs?q=number")
    second = page(client, html.unescape(re.search(r'href="([^"]+)" rel="next"', first)[1]))

    rows = [re.findall(r'id="row-(\w+)"', each) for each in (first, second)]
    assert [len(each) for each in rows] == [40, 3]
    assert not set(rows[0]) & set(rows[1])


@pytest.mark.parametrize("query", ["status=nonsense", "cursor=garbage", "cursor=MQ", f"q={'x' * 300}"])
def test_what_cannot_be_meant_is_refused(alice: Person, query: str) -> None:
    assert alice.signed_in().get(f"/runs?{query}").status_code == 400


# --- the trace


def test_a_trace_shows_every_call_and_its_arguments_as_text(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "</script><script>alert(1)</script>")
    with org_scope(alice.org):
        args = {"path": "</script><img src=x onerror=alert(1)>"}
        log.append(run, status=Run.Status.RUNNING, attempt=1, started_at=timezone.now(), step=1)
        log.append(
            run,
            Draft(EventType.RUN_STARTED, {"input": run.input}),
            Draft(EventType.STEP_STARTED, {"stepNumber": 1}),
            Draft(EventType.TOOL_CALLED, {"toolName": "read_file", "tool_call_id": "c1", "args": args}),
        )
    client = alice.signed_in()

    for path in (f"/trace/{run.pk}", f"/trace/{run.pk}?view=events"):
        shown = page(client, path)
        assert "read_file" in shown
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown


def test_events_are_shown_by_type_and_page_by_page(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice)
    with org_scope(alice.org):
        log.append(run, *[Draft(EventType.RUN_WARNING, {"message": f"n{number}"}) for number in range(450)])
    client = alice.signed_in()

    first = page(client, f"/trace/{run.pk}?view=events&type=run.warning")
    later = html.unescape(re.search(r'href="([^"]+)" rel="next"', first)[1])

    assert first.count('class="event ') == 200
    assert "n200" in page(client, later)
    assert "No event of this type" in page(client, f"/trace/{run.pk}?view=events&type=tool.called")
    assert client.get(f"/trace/{run.pk}?view=events&type=x").status_code == 400


def copy_event(run: Run, *, seq: int, copies: int) -> None:
    """Put copies of an event behind it: within the database, for one by one they take half a minute."""
    names = [field.column for field in Event._meta.concrete_fields if field.column not in {"id", "seq"}]
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Event._meta.db_table} (seq, {columns}) SELECT seq + n, {columns}"
            f" FROM {Event._meta.db_table}, generate_series(1, %s) n WHERE run_id = %s AND seq = %s",
            [copies, run.pk, seq],
        )


def test_a_huge_run_is_a_usable_page(alice: Person, start_run: StartRun, finish: Callable[..., None]) -> None:
    run = start_run(alice, "x" * 500_000, session_key="s_huge")
    finish(alice, run, "word " * 2_000_000)
    with org_scope(alice.org):
        payload = {"toolName": "x", "args": {}}
        Event.objects.create(
            run_id=run.pk,
            seq=10,
            type="tool.called",
            step=1,
            attempt=1,
            agent_id="main",
            span_id="sp_x",
            payload=payload,
        )
        copy_event(run, seq=10, copies=100_000)
    client = alice.signed_in()

    for path in ("/chat/s_huge", f"/trace/{run.pk}", f"/trace/{run.pk}?view=events", "/runs"):
        assert any(seconds_for(client, path) < 3 for _ in range(3)), path  # what else the machine does aside


def seconds_for(client: Client, path: str) -> float:
    begun = time.monotonic()
    page(client, path)
    return time.monotonic() - begun


def test_pages_and_their_fragments_share_an_address(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice)
    client = alice.signed_in()

    for path in ("/runs", f"/trace/{run.pk}"):
        whole, fragment = client.get(path), client.get(path, headers=HTMX)
        assert b"<!doctype html>" in whole.content
        assert b"<!doctype html>" not in fragment.content
        assert "HX-Request" in fragment["Vary"]


# --- whose it is


PATHS = ["/chat/{session}", "/trace/{run}", "/trace/{run}?view=events", "/turns/{run}"]


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_theirs_is_to_charlie_as_if_it_did_not_exist(
    charlie: Person, alice: Person, start_run: StartRun, path: str
) -> None:
    run = start_run(alice, "canary", session_key="s_canary")
    client = charlie.signed_in()

    real, imagined = (
        client.get(path.format(**names))
        for names in ({"run": run.pk, "session": "s_canary"}, {"run": "run_nothing", "session": "s_nothing"})
    )

    assert real.status_code == imagined.status_code == 404
    assert _without_ids(real.content) == _without_ids(imagined.content)
    assert b"canary" not in real.content.replace(b"s_canary", b"")


@pytest.mark.parametrize("path", ["/runs/{run}/cancel", "/chat/s_canary/title", "/chat/s_canary/archive"])
def test_charlie_changes_nothing_of_alices(charlie: Person, alice: Person, start_run: StartRun, path: str) -> None:
    run = start_run(alice, session_key="s_canary")

    assert charlie.signed_in().post(path.format(run=run.pk), {"title": "mine"}).status_code == 404

    with org_scope(alice.org):
        session = Session.objects.get(pk=run.session_id)
        assert (session.title, session.is_archived) == ("a task", False)
    assert reload(alice, run).status == "pending"


def test_bob_does_not_see_alices_own_conversation(bob: Person, alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "alone", session_key="s_alone")
    client = bob.signed_in()

    assert client.get("/chat/s_alone").status_code == 404
    assert client.get(f"/trace/{run.pk}").status_code == 404
    assert "alone" not in page(client, "/runs")


# --- how it looks and speaks


def test_the_theme_is_remembered(alice: Person) -> None:
    client = alice.signed_in()

    client.post("/theme", {"theme": "dark"})
    dark = page(client, "/runs")
    client.post("/theme", {"theme": ""})

    assert 'data-theme="dark"' in dark
    assert "data-theme=" not in page(client, "/runs").split("<head>")[0]


def test_a_form_leads_back_to_no_other_site(alice: Person) -> None:
    response = alice.signed_in().post("/theme", {"theme": "dark", "next": "//evil.example/"})

    assert response["Location"] == "/"


def test_no_page_holds_code_or_style_of_its_own(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice)
    client = alice.signed_in()

    for path in ("/", "/runs", f"/trace/{run.pk}", "/password", "/nothing-here"):
        shown = client.get(path).content.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", shown), path
        assert not re.search(r'(?:src|href)="(?:https?:)?//', shown), path


def test_nothing_here_is_said_by_a_page(alice: Person) -> None:
    response = alice.signed_in().get("/trace/run_nothing")

    assert response.status_code == 404
    assert b"There is nothing here" in response.content


def _without_ids(content: bytes) -> bytes:
    """A page without what differs from one to the next anyway: its CSRF token and the ids in its address."""
    return re.sub(rb"run_\w+|s_\w+|[A-Za-z0-9]{64}", b"", content)


# --- the first page


def test_the_first_page_offers_tasks_that_fit_the_workspace(alice: Person) -> None:
    with Workspace.for_scope(alice.scope) as workspace:
        workspace.write("guide.txt", b"hello")
        workspace.write("docs/more.md", b"hello")

    shown = page(alice.signed_in(), "/")

    for path in ("guide.txt", "docs/more.md"):
        (workspace.path / path).unlink()
    assert 'value="Summarise guide.txt"' in shown
    assert "<code>docs/</code>" in shown


def test_an_empty_workspace_says_so_and_tells_only_the_operator_where_it_lies(charlie: Person) -> None:
    shown = page(charlie.signed_in(), "/")

    assert "The workspace is still empty." in shown
    assert "/rival/shared" not in shown
