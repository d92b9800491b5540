"""No secret stands in an event, an answer, a log line or an error, whoever brought it in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from django.conf import settings

from openintern.redaction import MARK, redact, redact_log, redact_text
from runs.llm import scripted
from runs.models import Run
from tests.conftest import Person, events_of, reload
from tests.runs.test_engine import calls

SECRETS = [
    "sk-abcdefghijklmnopqrstuvwx",
    "sk-ant-api03-ABCDEFGHIJKLMNOPQRSTUVWX",
    "oi_" + "a" * 12 + "_" + "b" * 51,
    "AIza" + "c" * 35,
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_" + "d" * 36,
    "glpat-" + "e" * 20,
    "xoxb-1234567890-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLXBhcnQ",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_common_secrets_are_found_wherever_they_stand(secret: str) -> None:
    value = {"a": [f"before {secret} after", {"b": secret}], "n": 3}

    cleaned, found = redact(value)

    assert found
    assert secret not in json.dumps(cleaned)
    assert cleaned["a"][0] == f"before {MARK} after"


@pytest.mark.parametrize(
    "text", ["risk-free-and-easy-to-read-names", "a task", "https://example.org/a?b=c", "Bearer of news"]
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redact(text) == (text, False)


def test_the_name_and_password_in_an_address_go_and_the_address_stays() -> None:
    assert redact_text("postgresql://app:hunter22@db/x") == f"postgresql://{MARK}@db/x"


def test_our_own_secrets_are_known_by_value() -> None:
    assert settings.SECRET_KEY not in redact_text(f"the key is {settings.SECRET_KEY}!")


def test_a_log_line_is_redacted() -> None:
    line = redact_log(structlog.get_logger(), "info", {"event": f"got {SECRETS[0]}", "header": f"Bearer {'x' * 30}"})

    assert line == {"event": f"got {MARK}", "header": f"Bearer {MARK}"}


@pytest.fixture
def told(
    committed: Any,
    start_run: Callable[..., Run],
    work: Callable[[], int],
    add_tool: Callable[..., Any],
) -> tuple[Person, Run, list[dict[str, Any]]]:
    """A run into which secrets came by its task, a tool's result, a tool's arguments and the answer."""
    alice, received = committed.alice, []

    def leak(context: Any, word: str = "") -> dict[str, Any]:
        """Bring in a secret."""
        received.append({"word": word})
        return {"found": SECRETS[1]}

    add_tool(leak, recovery="pure")
    scripted.play("leaky", calls("leak", word=SECRETS[5]), {"text": f"It is {SECRETS[4]}"})
    run = start_run(
        alice, f"use {SECRETS[0]}", llm_config={"provider": "scripted", "model": "leaky"}, session_key="s_redaction"
    )
    work()
    return alice, run, received


def test_nothing_of_a_run_holds_a_secret(told: tuple[Person, Run, list[dict[str, Any]]]) -> None:
    alice, run, received = told
    client = alice.with_key()

    seen = json.dumps([event.payload for event in events_of(alice, run)]) + json.dumps(received)
    seen += client.get(f"/api/runs/{run.pk}").content.decode()
    seen += b"".join(client.get(f"/api/runs/{run.pk}/export")).decode()
    seen += alice.signed_in().get(f"/trace/{run.pk}").content.decode()

    assert reload(alice, run).output == f"It is {MARK}"
    assert [secret for secret in SECRETS if secret in seen] == []


def test_an_event_says_honestly_whether_it_held_one(told: tuple[Person, Run, list[dict[str, Any]]]) -> None:
    alice, run, _ = told

    held = {event.type for event in events_of(alice, run) if event.contains_secrets}

    assert "tool.result" in held
    assert "step.completed" not in held
