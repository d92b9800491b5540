"""The edge of the API: bodies, methods, paths, headers. Whatever comes in, what goes out is a clear refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.test import Client

from openintern.errors import STATUS
from runs.models import Run
from tests.conftest import Person

LARGE = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


@pytest.fixture(params=["session", "key"])
def client(request: pytest.FixtureRequest, alice: Person) -> Client:
    return alice.signed_in() if request.param == "session" else alice.with_key()


def send(client: Client, body: bytes, content_type: str = "application/json") -> Any:
    return client.generic("POST", "/api/runs", body, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nonsense", b"{'input': 'go'}", b'{"input": "go"', b"\xff\xfe\x00", b'{"input": NaN}', b'{"input": "\xff"}',
        b"[" * 100_000, b'{"a":' * 50_000, b'{"input": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_is_a_bad_request(client: Client, body: bytes) -> None:
    answer = send(client, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("body", [b"[]", b'"input"', b"5", b"null", b"true", b'[{"input": "go"}]'])
def test_a_body_that_is_no_object_is_a_bad_request(client: Client, body: bytes) -> None:
    answer = send(client, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": "body"}


def test_a_body_may_be_as_large_as_it_may_be(client: Client) -> None:
    frame = b'{"input": "", "llm_config": {"provider": "mock"}}'
    fits = frame.replace(b'""', b'"' + b"a" * (LARGE - len(frame)) + b'"')

    assert len(fits) == LARGE
    assert send(client, fits).status_code == 201
    too_large = send(client, fits + b" ")
    assert too_large.status_code == 413
    assert too_large.json()["error"]["code"] == "TOO_LARGE"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonx",
    ],
)
def test_only_json_is_read(client: Client, content_type: str) -> None:
    answer = send(client, b'{"input": "go"}', content_type)

    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_form_with_files_is_not_read(client: Client) -> None:
    assert client.post("/api/runs", {"input": "go"}).status_code == 415


def test_no_body_is_an_empty_one(client: Client) -> None:
    assert send(client, b"").json()["error"]["details"] == {"field": "input"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW"])
def test_a_wrong_method_is_said_so_in_json(client: Client, method: str) -> None:
    answer = client.generic(method, "/api/runs")

    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
    assert set(answer["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}


def test_a_method_cannot_be_smuggled(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    run = start_run(alice)
    headers = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}

    client.get(f"/api/runs/{run.pk}?_method=DELETE", headers=headers)
    client.post(f"/api/runs/{run.pk}?_method=DELETE", {"_method": "DELETE"}, headers=headers)

    assert client.get(f"/api/runs/{run.pk}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/runs/",
        "/api//runs",
        "/api/runs/x",
        "/api/runs/run_a%2Fb",
        "/api/runs/run_ä",
        "/api/.env",
        "/api/runs/../me",
    ],
)
def test_a_path_that_leads_nowhere_is_said_so_in_json(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "path", ["/api/runs/run_%00", "/api/sessions/s_%00/runs", "/api/runs?status=%00", "/api/me?user_id=%00"]
)
def test_nul_is_turned_away(client: Client, path: str) -> None:
    assert client.get(path).status_code == 400


@pytest.mark.parametrize("query", ["limit=5&limit=7", "limit=5&limit=5", "limit=&limit=", "q=a&q=b"])
def test_of_two_values_none_is_guessed_to_be_meant(client: Client, query: str) -> None:
    answer = client.get(f"/api/runs?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Given more than once"
    assert answer.json()["error"]["details"]["field"] == query[: query.index("=")]


def test_a_wish_for_another_form_is_refused_and_html_is_for_browsers(client: Client) -> None:
    xml = client.get("/api/me", headers={"Accept": "application/xml"})
    page = client.get("/api/me", headers={"Accept": "text/html"})

    assert (xml.status_code, xml.json()["error"]["code"]) == (406, "NOT_ACCEPTABLE")
    assert page["Content-Type"].startswith("text/html")
    assert client.get("/api/me", headers={"Accept": "*/*"}).json()["user_id"] == "alice"


@pytest.mark.parametrize("path", ["/api/runs", "/api/me", "/api/sessions", "/api/docs/"])
def test_every_endpoint_can_be_browsed(alice: Person, path: str) -> None:
    answer = alice.signed_in().get(path, headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/sign-in", "/api/me", "/api/nothing", "/nothing", "/admin/", "/health"])
def test_every_answer_carries_the_headers_that_protect_it(alice: Person, path: str) -> None:
    answer = alice.signed_in().get(path)

    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert re.fullmatch(r"req_\w{22}", answer["X-Request-Id"])
    assert "frame-ancestors 'none'" in answer.headers.get("Content-Security-Policy", "") or path == "/admin/"
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("given", ["mine-1", "x" * 65, "a\r\nSet-Cookie: a=b", "\x1b[31m", "ä"])
def test_a_request_id_is_taken_over_only_if_it_is_harmless(client: Client, given: str) -> None:
    answer = client.get("/api/me", headers={"X-Request-Id": given})

    assert (answer["X-Request-Id"] == given) is (given == "mine-1")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "a b", "testserver:x"])
def test_another_host_is_none_of_ours(alice: Person, host: str) -> None:
    answer = alice.with_key().get("/api/me", headers={"Host": host})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert host not in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/me", "/", "/health"])
def test_a_bug_tells_nothing_of_itself(alice: Person, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    def break_down(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"SELECT secret FROM {settings.SECRET_KEY}")

    monkeypatch.setattr("openintern.tenancy.identity.org_scope", break_down)
    monkeypatch.setattr("openintern.health.examine", break_down)

    answer = alice.with_key().get(path)

    text = answer.content.decode()
    assert answer.status_code == 500
    assert not any(word in text for word in ("RuntimeError", "SELECT", settings.SECRET_KEY, "Traceback", "openintern/"))
    assert path == "/" or answer.json() == {
        "error": {"code": "INTERNAL_ERROR", "message": "Something went wrong on our side"}
    }


@pytest.mark.parametrize("path", ["/api/me", "/"])
def test_a_database_that_is_away_is_unavailable_not_a_bug(
    alice: Person, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("connection to server at 10.0.0.1 failed")

    monkeypatch.setattr("openintern.tenancy.identity.find_api_key", fail)

    answer = alice.with_key().get(path)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "10.0.0.1" not in answer.content.decode()


@pytest.mark.parametrize("path", ["/api/runs/run_x", "/trace/run_x"])
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_goes_away_in_the_middle_of_a_request_is_unavailable_too(
    alice: Person, monkeypatch: pytest.MonkeyPatch, path: str, error: type[Exception]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error("server at 10.0.0.1 closed the connection unexpectedly")

    monkeypatch.setattr("runs.lifecycle.find_run", fail)

    answer = alice.signed_in().get(path)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "10.0.0.1" not in answer.content.decode()


def test_every_code_that_is_used_has_its_status() -> None:
    """A code that isn't in the table is answered 400: that must be meant."""
    from pathlib import Path

    meant_as_400 = {
        "VALIDATION_ERROR", "SCOPE_CONFLICT", "RUN_NOT_CANCELLABLE", "RUN_ALREADY_FINISHED", "RUN_NOT_INJECTABLE", "RUN_NOT_WAITING",
    }  # fmt: skip
    sources = [
        path.read_text() for app in ("openintern", "runs") for path in Path(settings.BASE_DIR, app).rglob("*.py")
    ]
    used = {code for source in sources for code in re.findall(r'OpenInternError\(\s*"([A-Z_]+)"', source)}

    assert used - set(STATUS) - meant_as_400 == set()
