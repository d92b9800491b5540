"""What is tried on every endpoint alike, made from the OpenAPI document: a new endpoint joins by itself."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from openintern.ids import new_id
from runs.models import Run
from tests.conftest import Person
from tests.tenancy.test_policy import NOTHING

DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
#: What doesn't end by itself: `tests/live` reads them.
STREAMS = ("/stream", "/progress")
GETS = sorted(
    path for path, operations in DOCUMENT["paths"].items() if "get" in operations and not path.endswith(STREAMS)
)
LISTS = [path for path in GETS if "{" not in path]
NUMBERS = [
    (path, parameter["name"])
    for path in GETS
    for parameter in DOCUMENT["paths"][path]["get"].get("parameters", ())
    if parameter["in"] == "query" and parameter["schema"].get("type") == "integer"
]
STRANGE = ["0", "-1", "1000000000", "99999999999999999999", "1e3", "NaN", "'", "1;DROP TABLE runs_run", "０", ""]
WITH_BODY = sorted(
    (path, method)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
)


def address(path: str) -> str:
    """The path with ids that nothing has."""
    for name, value in NOTHING.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.mark.parametrize(("path", "name"), NUMBERS)
def test_a_strange_number_is_refused_or_bounded(alice: Person, path: str, name: str) -> None:
    client = alice.with_key()

    for value in STRANGE:
        answer = client.get(address(path), {name: value})
        assert answer.status_code in {200, 400, 404}, (value, answer.content)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "name", ["user__password", "session__user__is_superuser", "config__model", "order", "ordering"]
)
def test_no_list_looks_through_a_field_that_it_does_not_name(alice: Person, path: str, name: str) -> None:
    answer = alice.with_key().get(path, {name: "a"})

    known = alice.with_key().get(path).content
    assert answer.status_code == 400 or answer.content == known, "either unknown, or without any meaning"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["garbage", "eyJ4IjoxfQ==", "' OR 1=1 --", "-1", "a" * 5000])
def test_a_cursor_of_no_list_is_refused_or_means_nothing(alice: Person, path: str, cursor: str) -> None:
    assert alice.with_key().get(path, {"cursor": cursor}).status_code in {200, 400}


@pytest.mark.parametrize(("path", "method"), WITH_BODY)
@pytest.mark.parametrize("text", ["\x00", "\ud800", "\ufffe\uffff"], ids=["NUL", "half a character", "no character"])
def test_what_cannot_be_stored_is_never_a_fault_of_ours(alice: Person, path: str, method: str, text: str) -> None:
    schema = DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    fields = (
        DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        if "$ref" in schema
        else schema["properties"]
    )
    body = json.dumps({name: text for name, field in fields.items() if field.get("type") == "string"})

    answer = alice.with_key().generic(method.upper(), address(path), body, content_type="application/json")

    assert answer.status_code in {200, 201, 202, 400, 404}, answer.content


@pytest.mark.parametrize(("path", "method"), WITH_BODY)
def test_nested_without_end_is_no_fault_of_ours(alice: Person, path: str, method: str) -> None:
    body = '{"input": ' + "[" * 50_000 + "]" * 50_000 + "}"

    answer = alice.with_key().generic(method.upper(), address(path), body, content_type="application/json")

    assert answer.status_code in {400, 404}  # what isn't there has no fields to get wrong


@pytest.mark.parametrize("path", GETS)
def test_no_answer_is_kept_by_a_cache_that_others_use(alice: Person, path: str) -> None:
    answer = alice.with_key().get(address(path))

    told = answer.get("Cache-Control", "")
    assert "no-store" in told or "private" in told or "Cookie" in answer.get("Vary", ""), (told, answer.get("Vary"))
    assert "public" not in told


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("twist", ["{}/", "{}%2f", "{}%2e%2e/", "{}/../../admin/", "{};x=1", "{}%00"])
def test_a_twisted_path_leads_nowhere(alice: Person, path: str, twist: str) -> None:
    twisted = twist.format(address(path))

    assert alice.with_key().get(twisted).status_code in {400, 404}


@pytest.mark.parametrize(
    "path",
    ["/.env", "/.git/config", "/static/", "/static/../openintern/settings.py", "/static/%2e%2e/manage.py", "/media/",
     "/debug/", "/admin/jsi18n/", "/admin/doc/", "/data/", "/server-status", "/api/", "/ws/", "/favicon.ico"],
)  # fmt: skip
def test_nothing_lies_about(db: None, path: str) -> None:
    answer = Client(raise_request_exception=False).get(path)

    assert answer.status_code in {301, 302, 400, 401, 404}
    assert b"SECRET" not in answer.content


def test_ids_cannot_be_guessed() -> None:
    ids = {new_id("run") for _ in range(1000)}

    bodies = [each.partition("_")[2] for each in ids]
    assert len(ids) == 1000
    assert all(len(body) >= 21 for body in bodies), "21 of 62 letters are 125 bits"
    assert len({body[:4] for body in bodies}) > 950, "they have no common beginning"


def test_a_task_forges_no_line_of_the_log(
    alice: Person, start_run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    from django.conf import settings
    from django.utils.module_loading import import_string

    line = settings.LOGGING["formatters"]["line"]
    formatter = import_string("structlog.stdlib.ProcessorFormatter")(
        processors=line["processors"], foreign_pre_chain=line["foreign_pre_chain"]
    )
    forged = 'fine\r\n{"level": "error", "event": "forged"}\x1b[2J'
    record = logging.LogRecord("runs", logging.WARNING, __file__, 1, forged, (), None)

    written = formatter.format(record)

    assert "\n" not in written
    assert "\r" not in written
    assert "\x1b" not in written
    assert json.loads(written)["event"] == forged


def test_every_test_that_the_document_of_attacks_names_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    told = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", (root / "docs/attacks.md").read_text())
    file, missing = "", []

    for path, name in told:
        file = path or file
        if name and not re.search(rf"def {name}\(", (root / file).read_text()):
            missing.append(f"{file}::{name}")
        assert (root / file).is_file(), file
    assert len(told) > 80
    assert missing == []
