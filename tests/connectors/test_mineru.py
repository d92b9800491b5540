"""PDFs come into memory whole, by the service or without it, and nothing that the service says can do harm."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db.models.functions import Now
from django.utils import timezone

from connectors.mineru import archive, asking, content, ending, rest, service, tidying, working
from connectors.mineru.refusals import Refused
from connectors.models import PdfFile, PdfJob
from memory.models import Memory
from openintern.errors import OpenInternError
from openintern.live.bell import Bell
from openintern.live.watch import Watch
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.renewal import Credential
from openintern.tenancy.scope import Scope, org_scope
from runs import lifecycle
from runs.log import CHANNEL
from runs.models import Run, Webhook
from tests.conftest import Person, events_of, reload
from tests.peers.mineru import BOMBS, ITEMS, PDF, TOKEN, Mineru, bomb, zipped
from tests.runs.conftest import clear_queue, in_thread

Use = Callable[..., None]
URL = "https://example.org/papers/annual%20report.pdf"


@pytest.fixture(autouse=True)
def configured(use_mineru: Use, committed: Any) -> Iterator[None]:
    """With a key, with no PDF and no ticket of another test, and no token kept."""
    use_mineru()
    service._tokens.clear()
    clear(committed.alice)
    clear_queue()
    yield
    clear(committed.alice)
    clear_queue()


def clear(*people_: Person) -> None:
    for person in people_:
        with org_scope(person.org):
            PdfJob.objects.all().delete()


@pytest.fixture
def alice(committed: Any) -> Person:
    return committed.alice  # type: ignore[no-any-return]


@pytest.fixture
def bob(committed: Any) -> Person:
    return committed.bob  # type: ignore[no-any-return]


@pytest.fixture
def victor(committed: Any) -> Person:
    return committed.victor  # type: ignore[no-any-return]


@pytest.fixture
def charlie(committed: Any) -> Person:
    return committed.charlie  # type: ignore[no-any-return]


def by_url(person: Person, scope: Scope | None = None, **about: Any) -> PdfFile:
    told = about.pop("told", {})
    with org_scope(person.org):
        return asking.accept_url(scope or person.scope, about.pop("url", URL), told=told, **about)


def by_file(person: Person, body: bytes = PDF, *, name: str = "report.pdf", **about: Any) -> PdfFile:
    with org_scope(person.org):
        return asking.accept_content(
            person.scope, io.BytesIO(body), name=name, size=len(body), told=about.pop("told", {}), **about
        )


def read(person: Person, file: PdfFile, *, steps: int = 30) -> PdfFile:
    """Be the reader until the file has ended, whatever pauses there are."""
    with org_scope(person.org):
        for _ in range(steps):
            PdfFile.objects.filter(pk=file.pk).update(available_at=Now())
            working.work_next(file.pk)
            file = PdfFile.objects.select_related("job").get(pk=file.pk)
            if file.is_final:
                return file
    return file


def memory_of(person: Person, file: PdfFile) -> Memory:
    with org_scope(person.org):
        return Memory.objects.select_related("shelf").get(pk=file.memory_id)


def test_a_pdf_of_the_web_comes_into_memory(alice: Person, mineru: Mineru) -> None:
    file = by_url(alice, told={"data_id": "paper-7"}, metadata={"project": "harbour"})

    file = read(alice, file)

    assert mineru.paths() == ["POST /api/v4/extract/task", *["GET /api/v4/extract/task/task-1"] * 3]
    assert mineru.asked[0][2] == {
        "url": URL, "data_id": "paper-7", "model_version": "pipeline", "is_ocr": False, "enable_formula": True,
        "enable_table": True,
    }  # fmt: skip
    assert file.status == "completed", file.error_message
    memory = memory_of(alice, file)
    assert (memory.source_type, memory.source_key) == ("pdf_mineru", "mineru:paper-7")
    expected = {"url": URL, "task_id": "task-1", "data_id": "paper-7", "project": "harbour", "mode": "v4"}
    assert expected.items() <= memory.metadata.items()
    with org_scope(alice.org):
        told = ending.result_of(file)
    assert (told["mode"], told["task_id"], told["data_id"], told["replaced"]) == ("v4", "task-1", "paper-7", False)
    assert told["title"] == "report"
    assert told["chunk_count"] > 0


def test_what_is_found_keeps_its_headings_tables_formulas_and_pages(alice: Person) -> None:
    memory = memory_of(alice, read(alice, by_url(alice)))

    text = memory.text
    assert "# Annual report" in text
    assert "## Figures" in text
    assert "| Year | Income |\n| --- | --- |\n| 2025 | 7 & 8 |" in text
    for words in (
        "Table 1: income",
        "in millions",
        "$$E = mc^2$$",
        "Figure 1: the quay",
        "second",
        "of an unknown kind",
    ):
        assert words in text
    assert "page header" not in text
    with org_scope(alice.org):
        pages = set(memory.passages.values_list("page", flat=True))
    assert pages & {1, 2, 3}


def test_a_pdf_at_hand_is_sent_and_found_among_the_batch(alice: Person, mineru: Mineru) -> None:
    mineru.states = ["waiting-file", "pending", "running", "converting", "done"]

    file = read(alice, by_file(alice, name="harbour.pdf"))

    assert file.status == "completed", file.error_message
    assert mineru.paths()[0] == "POST /api/v4/file-urls/batch"
    assert not any("extract/task" in path for path in mineru.paths())
    assert list(mineru.files.values()) == [PDF]
    sent = mineru.asked[0][2]["files"][0]
    assert (sent["name"], sent["data_id"]) == ("harbour.pdf", file.data_id)
    assert memory_of(alice, file).metadata["batch_id"] == "batch-1"
    with org_scope(alice.org):
        assert not asking.kept_files.path_of(asking.FILES, file.pk).exists()


def test_another_file_of_the_same_name_is_another_source(alice: Person) -> None:
    first, second = by_file(alice), by_file(alice, PDF + b"more")
    again = by_file(alice, name="copy.pdf")

    assert first.source_key != second.source_key
    assert first.source_key == again.source_key
    assert first.data_id != second.data_id


def test_the_same_source_is_replaced(alice: Person, mineru: Mineru) -> None:
    first = read(alice, by_url(alice, source_key="report"))
    mineru.states, mineru.result = ["done"], zipped([{"type": "text", "text": "New figures", "page_idx": 0}])
    second = read(alice, by_url(alice, source_key="report"))

    assert (second.memory_id, second.replaced) == (first.memory_id, True)
    assert memory_of(alice, second).text.strip() == "New figures"


def test_chinese_without_blanks_is_split_at_its_sentences_and_nothing_is_cut(alice: Person, mineru: Mineru) -> None:
    sentences = [f"第{number}港口的收入比以往任何时候都高，这是一句没有空格的话。" for number in range(600)]
    mineru.states, mineru.result = ["done"], zipped([{"type": "text", "text": "".join(sentences), "page_idx": 0}])

    file = read(alice, by_url(alice))

    memory = memory_of(alice, file)
    assert memory.text.strip() == "".join(sentences)
    with org_scope(alice.org):
        passages = list(memory.passages.order_by("ordinal").values_list("text", flat=True))
    assert len(passages) > 5
    assert all(passage.strip().endswith("。") for passage in passages)


@pytest.mark.parametrize("state", ["failed", "error"])
def test_what_the_service_can_not_read_is_said(alice: Person, mineru: Mineru, state: str) -> None:
    mineru.states = ["running", state]

    file = read(alice, by_url(alice))

    assert (file.status, file.error_code, file.error_message) == ("failed", "MINERU_FAILED", "the document is damaged")


@pytest.mark.parametrize("state", ["done", "success", "completed"])
def test_done_without_a_result_is_said(alice: Person, mineru: Mineru, state: str) -> None:
    mineru.states, mineru.zip_url = [state], ""

    assert read(alice, by_url(alice)).error_code == "MINERU_RESULT_MISSING"


def test_what_is_pending_for_ever_ends_after_so_many_looks(
    alice: Person,
    mineru: Mineru,
    use_mineru: Use,
) -> None:
    use_mineru(max_poll_attempts=4)
    mineru.states = ["a state that nobody knows"]

    file = read(alice, by_url(alice))

    assert file.error_code == "MINERU_TIMEOUT"
    assert len(mineru.paths()) == 5


def test_between_two_looks_nobody_is_held(alice: Person, mineru: Mineru, use_mineru: Use) -> None:
    use_mineru(poll_interval_ms=60_000)
    file = by_url(alice)

    with org_scope(alice.org):
        working.work_next(file.pk)
        assert working.work_next(file.pk) is None
        waits = PdfFile.objects.get(pk=file.pk)
    assert waits.available_at > timezone.now() + timedelta(seconds=50)
    assert waits.status == "processing"


@pytest.mark.parametrize("refusal", [500, 503, 429])
def test_a_service_that_is_busy_is_asked_again_and_then_given_up(
    alice: Person,
    mineru: Mineru,
    refusal: int,
) -> None:
    mineru.refuses = [refusal, refusal]
    assert read(alice, by_url(alice)).status == "completed"

    mineru.refuses = [refusal] * 10
    file = read(alice, by_url(alice, source_key="other"))

    assert file.error_code == "MINERU_UNREACHABLE"
    assert len(mineru.refuses) == 6  # one try, and three more


@pytest.mark.parametrize(
    "answer", [b"[]", b"not json", b"{}" + b" " * 1_100_000, b'{"code": 0, "data": {"task_id": 5}}', "A0404"]
)
def test_an_answer_that_makes_no_sense_is_a_failure(alice: Person, mineru: Mineru, answer: Any) -> None:
    mineru.refuses = [answer]

    assert read(alice, by_url(alice)).error_code == "MINERU_FAILED"


@pytest.mark.parametrize(("key", "path", "name"), [("ak-key", "get_token", "ak"), ("sk-key", "get_token_by_sk", "sk")])
def test_a_key_is_exchanged_for_a_token_once(
    alice: Person,
    mineru: Mineru,
    use_mineru: Use,
    key: str,
    path: str,
    name: str,
) -> None:
    use_mineru(api_key=key, uid_token="uid-1")

    assert read(alice, by_url(alice)).status == "completed"

    assert mineru.asked[0] == ("POST", f"/api/v4/token/{path}", {name: key})
    assert len([each for each in mineru.paths() if "/token/" in each]) == 1
    assert {each.get("authorization") for each in mineru.headers[1:]} == {f"Bearer {TOKEN}"}
    assert {each.get("token") for each in mineru.headers[1:]} == {"uid-1"}


def test_a_token_that_is_refused_is_had_anew_once(alice: Person, mineru: Mineru, use_mineru: Use) -> None:
    use_mineru(api_key="ak-key")
    mineru.refuses = [0, "A0211"]

    assert read(alice, by_url(alice)).status == "completed"
    assert len([each for each in mineru.paths() if "/token/" in each]) == 2


def test_a_key_with_a_dot_is_the_token(alice: Person, mineru: Mineru) -> None:
    read(alice, by_url(alice))

    assert mineru.headers[0]["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("kind", BOMBS)
def test_a_zip_that_is_meant_to_do_harm_is_refused_in_little_memory(kind: str) -> None:
    packed = io.BytesIO(bomb(kind))
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as refused:
            content.parts_of(archive.opened(packed))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert refused.value.code in {"MINERU_ZIP_REFUSED", "MINERU_EMPTY_CONTENT"}
    assert most < 64 << 20


def test_bombs_are_refused_on_the_whole_way(alice: Person, mineru: Mineru) -> None:
    mineru.states, mineru.result = ["done"], bomb("parent")

    file = read(alice, by_url(alice))

    assert (file.error_code, file.memory_id) == ("MINERU_ZIP_REFUSED", None)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (b"", "MINERU_ZIP_EMPTY"),
        (zipped(name="other.json", markdown=""), "MINERU_EMPTY_CONTENT"),
        (zipped([], markdown=" "), "MINERU_EMPTY_CONTENT"),
    ],
)
def test_a_result_without_text_is_said(alice: Person, mineru: Mineru, result: bytes, code: str) -> None:
    mineru.states, mineru.result = ["done"], result

    assert read(alice, by_url(alice)).error_code == code


def test_without_a_list_the_markdown_is_taken() -> None:
    made = content.parts_of(archive.opened(io.BytesIO(zipped(name="other.json", markdown="# One\n\nTwo\n\n## Three"))))

    assert [part.title or part.text.strip() for part in made] == ["One", "Two", "Three"]


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://127.0.0.1:1/x.zip", "http://[::1]/x.zip", "file:///etc/passwd"]
)
def test_a_result_that_lies_inside_is_not_fetched(alice: Person, mineru: Mineru, url: str) -> None:
    mineru.states, mineru.zip_url = ["done"], url

    file = read(alice, by_url(alice))

    assert file.error_code == "MINERU_RESULT_MISSING"
    assert "refused" in file.error_message


@pytest.mark.parametrize(
    "url", ["", "ftp://example.org/a.pdf", "http://10.0.0.1/a.pdf", "http://a:b@example.org/a.pdf", "not a url"]
)
def test_an_address_that_is_none_is_refused_at_the_door(alice: Person, url: str) -> None:
    with pytest.raises(OpenInternError) as refused:
        by_url(alice, url=url)

    assert refused.value.code == "MINERU_FILE_URL_INVALID"


def test_turned_off_it_takes_nothing(alice: Person, use_mineru: Use) -> None:
    use_mineru(enabled=False)

    with pytest.raises(OpenInternError) as refused:
        by_url(alice)

    assert refused.value.code == "MINERU_DISABLED"


def test_what_is_no_pdf_is_refused_at_the_door(alice: Person) -> None:
    for body, name in ((b"hello", "a.pdf"), (PDF, "a.txt")):
        with pytest.raises(OpenInternError) as refused:
            by_file(alice, body, name=name)
        assert refused.value.code == "MINERU_FILE_PATH_INVALID"


def test_without_a_key_it_is_read_here_with_the_same_provenance(alice: Person, use_mineru: Use, mineru: Mineru) -> None:
    use_mineru(api_key="")

    file = read(alice, by_file(alice, a_real_pdf("The harbour earned more than ever.")))

    assert file.status == "completed", file.error_message
    memory = memory_of(alice, file)
    assert (memory.source_type, memory.metadata["mode"]) == ("pdf_mineru", "local")
    assert memory.source_key == file.source_key
    assert "harbour" in memory.text
    assert mineru.asked == []


def test_a_file_that_is_no_pdf_inside_fails_here_without_harm(alice: Person, use_mineru: Use) -> None:
    use_mineru(api_key="")

    file = read(alice, by_file(alice, PDF))

    assert (file.status, file.error_code) == ("failed", "MINERU_FAILED")


def a_real_pdf(text: str) -> bytes:
    """The least PDF that says something."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % table)
    return out.getvalue()


def test_who_lost_a_file_writes_nothing(alice: Person, mineru: Mineru, monkeypatch: pytest.MonkeyPatch) -> None:
    mineru.states = ["done"]
    file = by_url(alice)
    original = content.parts_of

    def taken_meanwhile(found: Any) -> Any:
        PdfFile.objects.filter(pk=file.pk).update(attempt=99)
        return original(found)

    monkeypatch.setattr(content, "parts_of", taken_meanwhile)
    with org_scope(alice.org):
        working.work_next(file.pk)
        PdfFile.objects.filter(pk=file.pk).update(available_at=Now())
        working.work_next(file.pk)
        lost = PdfFile.objects.get(pk=file.pk)

    assert (lost.status, lost.memory_id) == ("processing", None)


def test_a_reader_that_dies_leaves_the_file_to_the_next(
    alice: Person, mineru: Mineru, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = by_url(alice)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, org_scope(alice.org):
        patched.setattr(working, "get_on", dies)
        with pytest.raises(KeyboardInterrupt):
            working.work_next(file.pk)
    with org_scope(alice.org):
        assert working.work_next(file.pk) is None  # its lease isn't over

    assert read(alice, file).status == "completed"


def test_a_file_that_kills_every_reader_is_given_up(alice: Person) -> None:
    file = by_url(alice)
    with org_scope(alice.org):
        PdfFile.objects.filter(pk=file.pk).update(tries=working.MOST_TRIES)

    assert read(alice, file, steps=1).error_code == "MINERU_FAILED"


def call(**arguments: Any) -> list[dict[str, Any]]:
    """A script: one call, then the answer."""
    return [{"tool_calls": [{"id": "c1", "name": "mineru_ingest_pdf", "arguments": arguments}]}, {"text": "done"}]


def result_in(person: Person, run: Run) -> dict[str, Any]:
    return next(event.payload for event in events_of(person, run) if event.type == "tool.result")


def test_an_agents_call_waits_without_a_worker_and_is_answered(
    alice: Person,
    start_run: Callable[..., Run],
    work: Callable[[], int],
) -> None:
    run = start_run(alice, steps=call(file_url=URL, options={"data_id": "agents"}), session_key="s_pdf_waits")
    work()
    waiting = reload(alice, run)
    with org_scope(alice.org):
        file = PdfFile.objects.get(run_id=run.pk)

    read(alice, file)
    work()

    assert waiting.status == Run.Status.WAITING
    done = reload(alice, run)
    assert (done.status, done.output) == (Run.Status.COMPLETED, "done")
    payload = result_in(alice, run)
    assert payload["result"]["data_id"] == "agents"
    assert payload["from_outside"] is True
    with org_scope(alice.org):
        assert PdfFile.objects.get(run_id=run.pk).is_told


def test_an_agent_is_told_of_a_failure(
    alice: Person,
    mineru: Mineru,
    start_run: Callable[..., Run],
    work: Callable[[], int],
) -> None:
    mineru.states = ["failed"]
    run = start_run(alice, steps=call(file_url=URL), session_key="s_pdf_fails")
    work()
    with org_scope(alice.org):
        file = PdfFile.objects.get(run_id=run.pk)

    read(alice, file)
    work()

    assert reload(alice, run).status == Run.Status.COMPLETED
    assert result_in(alice, run)["error"] == {"code": "MINERU_FAILED", "message": "the document is damaged"}


def test_who_dies_before_the_call_is_answered_leaves_it_to_the_next(
    alice: Person,
    mineru: Mineru,
    start_run: Callable[..., Run],
    work: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mineru.states = ["done"]
    run = start_run(alice, steps=call(file_url=URL), session_key="s_pdf_dies")
    work()
    with org_scope(alice.org):
        file = PdfFile.objects.get(run_id=run.pk)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ending, "tell_waiting", dies)
        with pytest.raises(KeyboardInterrupt):
            read(alice, file)
    assert reload(alice, run).status == Run.Status.WAITING
    read(alice, file)
    work()

    assert reload(alice, run).status == Run.Status.COMPLETED


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "MINERU_INPUT_REQUIRED"),
        ({"file_url": URL, "file_path": "a.pdf"}, "MINERU_INPUT_CONFLICT"),
        ({"file_url": "http://127.0.0.1/a.pdf"}, "MINERU_FILE_URL_INVALID"),
        ({"file_path": "absent.pdf"}, "MINERU_FILE_PATH_NOT_FOUND"),
        ({"file_path": "a.txt"}, "MINERU_FILE_PATH_INVALID"),
        ({"file_path": "../../etc/x.pdf"}, "MINERU_FILE_PATH_INVALID"),
        ({"file_url": URL, "options": {"model_version": "best"}}, "VALIDATION_ERROR"),
    ],
)
def test_a_call_that_can_not_be_made_says_why(
    alice: Person,
    start_run: Callable[..., Run],
    work: Callable[[], int],
    arguments: dict[str, Any],
    code: str,
) -> None:
    run = start_run(alice, steps=call(**arguments), session_key=f"s_pdf_{code}_{len(str(arguments))}")
    work()

    assert code in result_in(alice, run)["error"]["message"]


def test_a_run_that_was_cancelled_has_nothing_read(
    alice: Person,
    mineru: Mineru,
    start_run: Callable[..., Run],
    work: Callable[[], int],
) -> None:
    run = start_run(alice, steps=call(file_url=URL), session_key="s_pdf_cancelled")
    work()
    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, run.pk, at=timezone.now())
        file = PdfFile.objects.get(run_id=run.pk)

    assert read(alice, file).error_code == "RUN_ENDED"
    assert mineru.asked == []


def test_what_is_a_projects_is_found_by_its_members_alone(alice: Person, bob: Person) -> None:
    project = people.create_project(f"pdf-{timezone.now():%H%M%S%f}", org=alice.org)
    Membership.objects.get(user=bob.user).projects.add(project)
    scope = Scope(org=alice.org, user=alice.user, role=alice.role, project=project, via="test")

    file = read(alice, by_url(alice, scope))

    assert memory_of(alice, file).shelf.project == project
    client = bob.with_key()
    asked = {"query": "harbour income", "project_id": project.slug}
    hits = client.post("/api/memories/search", asked, content_type="application/json").json()["hits"]
    assert str(file.memory_id) in {hit["memory"]["memory_id"] if "memory" in hit else hit["memory_id"] for hit in hits}
    with org_scope(alice.org):
        assert asking.find(bob.scope, file.job_id).pk == file.job_id


def batch(person: Person, *files: tuple[str, bytes], **told: str) -> Any:
    sent = [SimpleUploadedFile(name, body, content_type="application/pdf") for name, body in files]
    return person.with_key().post("/api/mineru/ingest-batch", {"files": sent, **told})


def test_a_batch_is_taken_read_and_looked_at(alice: Person, bob: Person, charlie: Person, mineru: Mineru) -> None:
    mineru.states = ["done"]

    taken = batch(alice, ("one.pdf", PDF), ("two.pdf", PDF + b"2"), model_version="vlm", is_ocr="true")
    path = f"/api/mineru/ingest-batch/{taken.json()['job_id']}"
    with org_scope(alice.org):
        for file in PdfFile.objects.filter(job_id=taken.json()["job_id"]):
            read(alice, file)
    told = alice.with_key().get(path).json()

    assert (taken.status_code, taken.json()["file_count"]) == (202, 2)
    assert told["is_done"]
    assert [(file["filename"], file["status"]) for file in told["files"]] == [
        ("one.pdf", "completed"),
        ("two.pdf", "completed"),
    ]
    assert told["files"][0]["chunk_count"] > 0
    assert mineru.asked[0][2]["model_version"] == "vlm"
    assert mineru.asked[0][2]["files"][0]["is_ocr"] is True
    assert alice.with_key().get("/api/mineru/ingest-batch").json()["jobs"][0]["job_id"] == told["job_id"]
    for stranger in (bob, charlie):
        assert stranger.with_key().get(path).status_code == 404
        assert stranger.with_key().get(f"{path}/progress").status_code == 404


@pytest.mark.parametrize(
    ("files", "told", "code"),
    [
        ([], {}, "MINERU_INPUT_REQUIRED"),
        ([("a.txt", PDF)], {}, "MINERU_FILE_PATH_INVALID"),
        ([("a.pdf", PDF)] * 21, {}, "VALIDATION_ERROR"),
        ([("a.pdf", PDF)], {"model_version": "best"}, "VALIDATION_ERROR"),
        ([("a.pdf", PDF)], {"is_ocr": "perhaps"}, "VALIDATION_ERROR"),
    ],
)
def test_a_batch_that_can_not_be_taken_says_why(alice: Person, files: Any, told: dict[str, str], code: str) -> None:
    assert batch(alice, *files, **told).json()["error"]["code"] == code
    with org_scope(alice.org):
        assert not PdfJob.objects.exists()


def test_the_process_reads_what_waits(alice: Person, mineru: Mineru, capsys: Any) -> None:
    mineru.states = ["done"]
    file = by_url(alice)

    call_command("connector", once=True)
    with org_scope(alice.org):
        PdfFile.objects.filter(pk=file.pk).update(available_at=Now())
    call_command("connector", once=True)

    with org_scope(alice.org):
        assert PdfFile.objects.get(pk=file.pk).status == "completed"


def test_items_are_read_one_by_one_whatever_lies_between() -> None:
    text = "[" + " , ".join(json.dumps(item) for item in ITEMS) + " ]"

    assert list(content.items(text)) == ITEMS
    assert list(content.items("")) == []
    for broken in ("{}", "[{]", "[1, 2", '["a" "b"'):
        with pytest.raises(Refused):
            list(content.items(broken))


def test_progress_is_told_file_by_file_until_it_is_done(alice: Person, mineru: Mineru) -> None:
    mineru.states = ["done"]
    job_id = batch(alice, ("one.pdf", PDF)).json()["job_id"]
    with org_scope(alice.org):
        file = PdfFile.objects.get(job_id=job_id)
    credential = Credential(alice.scope, timezone.now() + timedelta(days=1))

    async def listen() -> list[bytes]:
        followed = Watch(Bell(CHANNEL), rest.watched(job_id), credential)
        await followed.open()
        heard = []
        async for told in followed.body():
            heard.append(told)
            if len(heard) == 1:
                await sync_to_async(in_thread)(lambda: read(alice, file))
        return heard

    heard = asyncio.run(listen())

    assert [told.partition(b"\n")[0] for told in heard][:1] == [b"event: progress"]
    assert b'"pending"' in heard[0]
    assert b'"completed"' in heard[-2]
    assert heard[-1].startswith(b"event: done")


def test_the_page_takes_pdfs_and_shows_how_far_they_are(alice: Person, victor: Person, mineru: Mineru) -> None:
    client = alice.signed_in()
    mineru.states = ["failed"]

    sent = client.post("/mineru", {"files": [SimpleUploadedFile("quay.pdf", PDF)], "is_ocr": "true"})
    with org_scope(alice.org):
        read(alice, PdfFile.objects.get(filename="quay.pdf"))
    page = client.get("/mineru").content.decode()

    assert sent.status_code == 302
    assert "quay.pdf" in page
    assert "the document is damaged" in page
    assert client.post("/mineru", {}).status_code == 400
    assert victor.signed_in().post("/mineru", {}).status_code == 403
    assert "quay.pdf" not in victor.signed_in().get("/mineru").content.decode()


def test_a_webhook_hears_of_a_pdf(alice: Person, mineru: Mineru) -> None:
    mineru.states = ["done"]
    with org_scope(alice.org):
        hook = Webhook.objects.create(name="pdfs", url="https://example.org/", event_types=["pdf.completed"])
        try:
            file = read(alice, by_url(alice))
            [delivery] = hook.deliveries.all()
            assert delivery.payload["memory_id"] == str(file.memory_id)
        finally:
            hook.delete()


def test_of_a_batch_that_can_not_be_kept_whole_no_byte_stays(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    write = asking.kept_files.write_pieces

    def full(kind: str, name: str, pieces: Any) -> None:
        if PdfFile.objects.get(pk=name).file_index:
            raise OSError("no space left on device")
        write(kind, name, pieces)

    monkeypatch.setattr(asking.kept_files, "write_pieces", full)
    with org_scope(alice.org):
        folder = asking.kept_files.path_of(asking.FILES, "x").parent
        before = set(folder.iterdir()) if folder.exists() else set()
        with pytest.raises(OSError, match="no space"):
            asking.accept_batch(alice.scope, [("a.pdf", io.BytesIO(PDF), len(PDF))] * 2, {})

        assert not PdfJob.objects.exists()
        assert set(folder.iterdir()) == before


def test_old_jobs_go_and_what_is_under_way_stays(alice: Person, mineru: Mineru) -> None:
    mineru.states = ["done"]
    done, waiting, young = read(alice, by_url(alice)), by_file(alice), by_file(alice)
    with org_scope(alice.org):
        old = timezone.now() - timedelta(days=31)
        PdfJob.objects.filter(pk__in=[done.job_id, waiting.job_id]).update(created_at=old)

        assert tidying.forget(at=timezone.now()) == 1
        assert set(PdfJob.objects.values_list("pk", flat=True)) == {waiting.job_id, young.job_id}
        assert Memory.objects.filter(pk=done.memory_id).exists()
