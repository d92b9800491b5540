"""The composer as a plain form: files that go with a task, and what is told to an agent at work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.files import uploads
from runs.models import Run, Upload
from tests.conftest import Person, events_of

StartRun = Callable[..., Run]
HTMX = {"HX-Request": "true"}


def at_work(person: Person, run: Run) -> Run:
    with org_scope(person.org):
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING, attempt=1, step=1)
    return run


def attached(person: Person) -> list[str]:
    """The names of the files that the newest run was given."""
    with org_scope(person.org):
        run = Run.objects.filter(user=person.user).order_by("-created_at")[0]
    return [file["original_name"] for file in run.config["attachments"]]


def file(name: str = "notes.txt", content: bytes = b"words") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="text/plain")


def sent_before(person: Person, name: str) -> str:
    with org_scope(person.org):
        return uploads.keep(person.scope, name=name, content=b"words").pk


# --- files


def test_files_go_with_a_task_whatever_they_are_called(alice: Person) -> None:
    client = alice.signed_in()

    answer = client.post("/", {"input": "read them", "files": [file("报告 “2025”.md"), file("überblick.csv")]})

    assert attached(alice) == ["报告 “2025”.md", "überblick.csv"]
    shown = client.get(answer["Location"]).content.decode()
    assert "报告 “2025”.md" in shown
    assert 'href="/api/uploads/upl_' in shown


def test_files_that_the_page_has_sent_already_are_named_by_the_form(alice: Person) -> None:
    upload = sent_before(alice, "early.txt")

    alice.signed_in().post("/chat/s_files", {"input": "read", "attachments": [upload], "files": [file("late.txt")]})

    assert attached(alice) == ["early.txt", "late.txt"]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([file(content=b"")], 400),
        ([file(str(number)) for number in range(6)], 400),
        ([file(content=b"x" * 8_400_000)], 413),
    ],
    ids=["empty", "six", "too large"],
)
def test_what_cannot_go_with_a_task_is_said_and_nothing_is_kept(
    alice: Person, files: list[SimpleUploadedFile], status: int
) -> None:
    answer = alice.signed_in().post("/chat/s_bad", {"input": "read", "files": files}, headers=HTMX)

    assert answer.status_code == status
    assert b"notice bad" in answer.content
    with org_scope(alice.org):
        assert not Run.objects.filter(session__key="s_bad").exists()
        assert not Upload.objects.filter(user=alice.user).exists()


def test_nobody_attaches_what_somebody_else_has_sent(alice: Person, bob: Person, charlie: Person) -> None:
    upload = sent_before(alice, "alices.txt")

    for person in (bob, charlie):
        answer = person.signed_in().post("/chat/s_theft", {"input": "read", "attachments": [upload]}, headers=HTMX)
        assert answer.status_code == 400
        assert b"Upload not found" in answer.content


def test_again_takes_along_the_files_that_are_still_there(alice: Person, start_run: StartRun) -> None:
    kept, gone = sent_before(alice, "kept.txt"), sent_before(alice, "gone.txt")
    run = start_run(alice, "read", session_key="s_again_files", attachments=[kept, gone])
    with org_scope(alice.org):
        uploads.remove(alice.scope, gone)

    alice.signed_in().post("/chat/s_again_files", {"retry": run.pk})

    assert attached(alice) == ["kept.txt"]


# --- telling an agent at work


def test_while_an_agent_is_at_work_the_form_speaks_to_it(alice: Person, start_run: StartRun) -> None:
    run = at_work(alice, start_run(alice, "x", session_key="s_tell"))
    client = alice.signed_in()

    form = client.get("/chat/s_tell").content.decode()
    answer = client.post(
        f"/runs/{run.pk}/inject", {"input": "in <b>French</b>"}, headers={"Referer": "http://testserver/chat/s_tell"}
    )

    assert f'action="/runs/{run.pk}/inject"' in form
    assert answer["Location"] == "http://testserver/chat/s_tell"
    assert events_of(alice, run)[-1].payload == {"message": "in <b>French</b>", "role": "user", "from": "alice"}
    shown = client.get("/chat/s_tell").content.decode()
    assert "<b>alice</b> in &lt;b&gt;French&lt;/b&gt;" in shown


def test_htmx_is_told_nothing_for_the_stream_tells_it(alice: Person, start_run: StartRun) -> None:
    run = at_work(alice, start_run(alice, "x", session_key="s_tell"))

    assert alice.signed_in().post(f"/runs/{run.pk}/inject", {"input": "hello"}, headers=HTMX).status_code == 204


def test_a_run_that_has_not_begun_hears_nothing(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice, "x", session_key="s_deaf")
    client = alice.signed_in()

    answer = client.post(f"/runs/{run.pk}/inject", {"input": "hello"}, headers=HTMX)

    assert answer.status_code == 400
    assert b"notice bad" in answer.content
    assert 'data-send aria-label="Send" disabled' in client.get("/chat/s_deaf").content.decode()


def test_nobody_else_speaks_to_it(alice: Person, victor: Person, charlie: Person, start_run: StartRun) -> None:
    run = at_work(alice, start_run(alice, "x", session_key="s_tell"))

    assert victor.signed_in().post(f"/runs/{run.pk}/inject", {"input": "hello"}).status_code == 403
    assert charlie.signed_in().post(f"/runs/{run.pk}/inject", {"input": "hello"}).status_code == 404
    assert [event.type for event in events_of(alice, run)] == ["run.started"]
