"""Whatever is sent to whichever endpoint, the answer is one that the API knows: never a 5xx, never without its body."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from openintern.errors import STATUS
from tests.conftest import Person
from tests.resolver import Endpoint, endpoints

ENDPOINTS = [
    each
    for each in endpoints()
    if each.pattern.startswith("api/") and not each.pattern.endswith(("/stream", "/progress"))
]
#: What parameters and fields are called, so that a random request hits something now and then.
WORDS = [
    "input", "session_key", "agent_id", "llm_config", "provider", "model", "temperature", "max_tokens", "message", "role", "outcome", "result",
    "limit", "cursor", "page", "type", "format", "status", "q", "created_after", "org_id", "user_id", "project_id",
]  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        " ",
        "s_a",
        "mock",
        "0",
        "-1",
        "1e9",
        "NaN",
        "\x00",
        "%",
        "'",
        "run_a",
        "pending",
        "2026-01-01T00:00:00Z",
        "a" * 300,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXTS, inner, max_size=4),
)
QUERIES = st.dictionaries(st.sampled_from(WORDS) | TEXTS, TEXTS, max_size=3)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
@given(
    method=st.sampled_from(["GET", "POST"]),
    query=QUERIES,
    body=VALUES,
    ids=st.lists(TEXTS, min_size=3, max_size=3),
    plausible=st.booleans(),
)
@settings(
    max_examples=10, derandomize=True, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_every_request_gets_an_answer_that_the_api_knows(
    endpoint: Endpoint, alice: Person, method: str, query: dict[str, str], body: Any, ids: list[str], plausible: bool
) -> None:
    likely = {"run_id": "run_a", "session_key": "s_a"}
    values = {
        name: likely.get(name, "x") if plausible else quote(text, safe="")
        for name, text in zip(endpoint.parameters, ids, strict=False)
    }
    address = endpoint.path(values) + "?" + "&".join(f"{quote(name)}={quote(text)}" for name, text in query.items())

    answer = alice.with_key().generic(method, address, json.dumps(body), content_type="application/json")

    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert STATUS.get(error["code"], 400) == answer.status_code
        assert error["message"]
