"""Sending files and getting them back: any name, no trust in what they say they are, nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from openintern.filenames import LONGEST_NAME, plain_name
from openintern.tenancy.scope import org_scope
from runs.files import uploads
from runs.models import Upload
from tests.conftest import Person

from .conftest import Send

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def form(person: Person, content: bytes, *, name: str = "a.txt", type: str = "text/plain") -> Any:
    return person.with_key().post("/api/uploads", {"file": SimpleUploadedFile(name, content, type)})


def download(person: Person, upload_id: str) -> Any:
    return person.with_key().get(f"/api/uploads/{upload_id}")


def test_a_text_is_taken_and_given_back(bob: Person, send: Send) -> None:
    answer = send(bob, "hello\n", name="note.txt")

    upload = answer.json()
    assert answer.status_code == 201
    assert upload["upload_id"].startswith("upl_")
    assert upload == {**upload, "original_name": "note.txt", "mime_type": "text/plain", "size": 6}
    assert answer["Location"] == f"/api/uploads/{upload['upload_id']}"
    got = download(bob, upload["upload_id"])
    assert (got.status_code, got.content, got["Content-Type"]) == (200, b"hello\n", "text/plain")
    assert download(bob, "upl_never").status_code == download(bob, "..%2fsecret").status_code == 404


@pytest.mark.parametrize("name", ["第一季度 报告.txt", "résumé.txt", "😀.txt", "a b (1)%.txt"])
def test_a_name_in_any_script_is_kept(bob: Person, send: Send, name: str) -> None:
    sent = [send(bob, "x", name=quote(name)), form(bob, b"x", name=name)]

    assert [answer.json()["original_name"] for answer in sent] == [name, name]
    disposition = download(bob, sent[0].json()["upload_id"])["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert quote(name, safe="") in disposition or f'filename="{name}"' in disposition


def test_a_name_sent_as_bytes_of_utf8_is_kept(bob: Person, send: Send) -> None:
    assert send(bob, "x", name="计划.txt".encode().decode("latin-1")).json()["original_name"] == "计划.txt"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (None, "upload"),
        ("", "upload"),
        ("..", "upload"),
        ("../../etc/passwd", "passwd"),
        ("%2e%2e%2fsecret.txt", "secret.txt"),
        ("C:\\Users\\me\\plan.md", "plan.md"),
        ("a%00b%0d%0aX-Evil:%201.txt", "abX-Evil: 1.txt"),
        ("invoice%E2%80%AEfdp.exe", "invoicefdp.exe"),
        ("%ff%fe.txt", "\ufffd\ufffd.txt"),
        ("x" * 900 + ".md", "x" * 180 + ".md"),
    ],
)
def test_a_name_is_only_ever_a_name(bob: Person, base_dir: Path, send: Send, name: str | None, kept: str) -> None:
    upload = send(bob, "x", name=name).json()

    assert upload["original_name"] == kept
    assert [path.name for path in base_dir.rglob("*") if path.is_file()] == [upload["upload_id"]]
    assert download(bob, upload["upload_id"]).status_code == 200


@given(st.text(max_size=400))
def test_whatever_a_name_is_made_of_what_is_left_can_be_shown(name: str) -> None:
    kept = plain_name(name)

    assert 0 < len(kept) <= LONGEST_NAME
    assert kept.isprintable() or any(ord(character) > 127 for character in kept)
    assert "/" not in kept
    assert plain_name(kept) == kept


@pytest.mark.parametrize(
    ("content", "declared", "name", "found"),
    [
        (PNG, "text/html", "a.html", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "", "", "image/jpeg"),
        (b"GIF89a<script>alert(1)</script>", "text/html", "a.html", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "", "", "image/webp"),
        (b"%PDF-1.7\n", "text/plain", "a.txt", "application/pdf"),
        (b"<script>alert(1)</script>", "image/png", "a.png", "text/plain"),
        (b"<html><script>alert(1)</script>", "text/html", "a.html", "text/plain"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml", "a.svg", "text/plain"),
        (b"# Plan", "text/markdown; charset=utf-8", "plan", "text/markdown"),
        (b"# Plan", "application/octet-stream", "plan.md", "text/markdown"),
        (b"a,b\n1,2\n", "text/csv;charset=UTF-8", "", "text/csv"),
        (b'{"org_id": "rival"}', "application/json", "a.json", "application/json"),
        (b"not json at all", "application/json", "", "application/json"),
        ("一二三".encode("gb18030"), "text/plain; charset=gb18030", "a.txt", "application/octet-stream"),
        (b"MZ\0\0", "text/plain", "a.txt", "application/octet-stream"),
        (b"a=b&c=d", "application/x-www-form-urlencoded", "", "text/plain"),
    ],
)
def test_the_type_is_what_the_content_is(
    bob: Person, send: Send, content: bytes, declared: str, name: str, found: str
) -> None:
    raw = send(bob, content, type=declared, name=name)
    assert raw.status_code == 201, raw.content

    assert (
        raw.json()["mime_type"] == form(bob, content, name=name or "upload", type=declared).json()["mime_type"] == found
    )
    assert download(bob, raw.json()["upload_id"]).content == content


@pytest.mark.parametrize(
    "content", [b"<html><script>alert(1)</script>", b"GIF89a/*<svg onload=alert(1)>*/", b"%PDF-1.7"]
)
def test_nothing_runs_in_a_browser_that_opens_the_link(bob: Person, send: Send, content: bytes) -> None:
    upload = send(bob, content, name="a.html", type="text/html").json()

    answer = bob.signed_in().get(f"/api/uploads/{upload['upload_id']}")

    assert answer["Content-Disposition"] == 'attachment; filename="a.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "html" not in answer["Content-Type"]
    assert "svg" not in answer["Content-Type"]


def test_json_that_is_sent_is_a_file_and_claims_nothing(bob: Person, send: Send) -> None:
    content = json.dumps({"org_id": "rival", "user_id": "charlie", "text": "x" * 2_000_000})

    upload = send(bob, content, name="big.json", type="application/json").json()

    assert upload["size"] == len(content)
    with org_scope(bob.org):
        assert Upload.objects.get(pk=upload["upload_id"]).user == bob.user


@pytest.mark.parametrize("as_form", [False, True])
def test_the_size_is_bounded_at_eight_mebibytes(bob: Person, send: Send, *, as_form: bool) -> None:
    post = form if as_form else send

    assert post(bob, b"x" * uploads.MAX_BYTES).status_code == 201
    for more in (1, 1_000_000):
        refused = post(bob, b"x" * (uploads.MAX_BYTES + more))
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "TOO_LARGE")
    empty = post(bob, b"")
    assert (empty.status_code, empty.json()["error"]["details"]) == (400, {"field": "file"})


def test_a_form_without_the_file_or_without_an_end_is_refused(bob: Person) -> None:
    for body, kind in ((b"--x\r\nhalf", "multipart/form-data; boundary=x"), (b"x", "multipart/form-data")):
        answer = bob.with_key().post("/api/uploads", body, content_type=kind)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert bob.with_key().post("/api/uploads", {"other": "x"}).status_code == 400


def test_an_organisation_keeps_no_more_than_its_quota(
    bob: Person, alice: Person, send: Send, base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "QUOTA_BYTES", 10)
    first = send(bob, "12345678").json()

    assert send(alice, "123").status_code == 413
    assert alice.with_key().delete(f"/api/uploads/{first['upload_id']}").status_code == 204
    assert send(alice, "123").status_code == 201
    assert download(bob, first["upload_id"]).status_code == 404
    monkeypatch.setattr(uploads, "QUOTA_FILES", 1)
    assert send(bob, "1").status_code == 413


def test_a_removed_upload_leaves_no_bytes(
    bob: Person, send: Send, base_dir: Path, django_capture_on_commit_callbacks: Any
) -> None:
    upload = send(bob, "secret").json()

    with django_capture_on_commit_callbacks(execute=True):
        bob.with_key().delete(f"/api/uploads/{upload['upload_id']}")

    assert [path for path in base_dir.rglob("*") if path.is_file()] == []


def test_an_upload_whose_bytes_are_lost_is_not_found(bob: Person, base_dir: Path, send: Send) -> None:
    upload = send(bob, "x").json()

    next(base_dir.rglob(upload["upload_id"])).unlink()

    assert download(bob, upload["upload_id"]).status_code == 404


def test_it_is_for_its_person_and_the_admins_alone(
    alice: Person, bob: Person, victor: Person, charlie: Person, send: Send
) -> None:
    upload_id, alices = send(bob, "mine").json()["upload_id"], send(alice, "hers").json()["upload_id"]

    assert download(alice, upload_id).content == b"mine"
    for person in (victor, charlie):
        assert download(person, upload_id).status_code == 404
    assert download(bob, alices).status_code == 404
    assert charlie.with_key().delete(f"/api/uploads/{upload_id}").status_code == 404
    assert bob.with_key().delete(f"/api/uploads/{alices}").status_code == 404
    assert send(victor, "x").status_code == 403
    assert Client().post("/api/uploads", b"x", content_type="text/plain").status_code == 401
    assert download(bob, upload_id).status_code == 200


def test_a_browser_needs_its_token_to_send(bob: Person) -> None:
    client = bob.signed_in(check_csrf=True)

    assert client.post("/api/uploads", b"x", content_type="text/plain").status_code == 403
    assert bob.signed_in().post("/api/uploads", b"x", content_type="text/plain").status_code == 201


def start(person: Person, attachments: Any) -> Any:
    body = {"input": "look", "llm_config": {"provider": "mock"}, "attachments": attachments}
    return person.with_key().post("/api/runs", body, content_type="application/json")


def test_a_run_keeps_what_was_attached(bob: Person, send: Send) -> None:
    upload = send(bob, "x", name="a.md").json()

    answer = start(bob, [{"upload_id": upload["upload_id"]}])

    assert answer.status_code == 201
    run = bob.with_key().get(f"/api/runs/{answer.json()['run_id']}").json()
    assert run["config"]["attachments"] == [upload]


def test_only_ones_own_uploads_and_five_at_most_are_attached(
    alice: Person, bob: Person, charlie: Person, send: Send
) -> None:
    own, bobs, theirs = (send(person, "x").json()["upload_id"] for person in (alice, bob, charlie))

    for upload_id in (bobs, theirs, "upl_never", "../x"):
        answer = start(alice, [{"upload_id": own}, {"upload_id": upload_id}])
        assert answer.status_code == 400
        assert answer.json()["error"]["details"] == {"field": "attachments.1.upload_id"}
    assert start(alice, [{"upload_id": own}] * 5).status_code == 201
    for bad in ([{"upload_id": own}] * 6, [{}], [own], "x", [{"upload_id": 7}]):
        assert start(alice, bad).status_code == 400


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", "text/plain"])
def test_a_page_sends_a_file_as_the_body_with_its_token(alice: Person, content_type: str) -> None:
    client = alice.signed_in(check_csrf=True)
    token = client.get("/").cookies["csrftoken"].value
    sent = {"data": b'{"org_id": 1', "content_type": content_type}

    without = client.generic("POST", "/api/uploads", **sent, headers={"X-Filename": "a.bin"})
    kept = client.generic("POST", "/api/uploads", **sent, headers={"X-Filename": "a.bin", "X-CSRFToken": token})

    assert (without.status_code, kept.status_code) == (403, 201)
    assert kept.json()["size"] == 12
