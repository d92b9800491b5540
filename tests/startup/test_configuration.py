"""File < environment < command line; and nothing the operator writes stops the program."""

from __future__ import annotations

import dataclasses
import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openintern import configuration
from openintern.configuration import Configuration


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Load a configuration from a file's content (text or JSON-able) and an environment."""

    def load(content: object = None, **environ: str) -> Configuration:
        path = tmp_path / "agent.config.json"
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            environ["OPENINTERN_CONFIG"] = str(path)
        return configuration.load(environ)

    return load


def test_without_file_and_environment_the_demo_model_answers_on_port_3000(load: Any) -> None:
    config = load()

    assert (config.llm.provider, config.llm.model) == ("demo", "demo")
    assert config.server.port == 3000
    assert config.agent.max_steps == 10
    assert config.problems == ()


def test_the_environment_beats_the_file(load: Any) -> None:
    config = load({"server": {"port": 4000}, "llm": {"temperature": 0.1}}, PORT="5000", LLM_TEMPERATURE="0.9")

    assert config.server.port == 5000
    assert config.llm.temperature == 0.9


def test_the_file_beats_the_defaults(load: Any) -> None:
    config = load({"server": {"port": 4000}, "agent": {"maxSteps": 3, "maxCostPerRun": 0.5}})

    assert config.server.port == 4000
    assert config.agent.max_steps == 3
    assert config.agent.max_cost_per_run == Decimal("0.5")


def test_an_empty_variable_counts_as_absent(load: Any) -> None:
    assert load({"server": {"port": 4000}}, PORT="").server.port == 4000


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PORT", "http", "PORT"),
        ("PORT", "70000", "PORT"),
        ("LLM_TEMPERATURE", "nan", "LLM_TEMPERATURE"),
        ("LLM_MAX_TOKENS", "-1", "LLM_MAX_TOKENS"),
        ("MAX_COST_PER_RUN", "free", "MAX_COST_PER_RUN"),
        ("LLM_BASE_URL", "file:///etc/passwd", "LLM_BASE_URL"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_and_the_next_source_counts(
    load: Any, caplog: pytest.LogCaptureFixture, variable: str, value: str, named: str
) -> None:
    with caplog.at_level(logging.WARNING):
        config = load({"server": {"port": 4000}}, **{variable: value})

    assert config.server.port == 4000
    assert config.llm == configuration.LLM()
    assert named in caplog.text
    assert value not in caplog.text  # it might be a secret in the wrong place


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "[" * 100_000, '{"server": 7}', '{"server": {"port": []}}'])
def test_a_broken_file_is_reported_and_the_defaults_are_used(load: Any, content: str) -> None:
    config = load(content)

    assert config.server.port == 3000
    assert len(config.problems) == 1


def test_a_file_that_was_named_and_is_not_there_is_reported(load: Any, tmp_path: Path) -> None:
    config = load(OPENINTERN_CONFIG=str(tmp_path / "nowhere.json"))

    assert "does not exist" in config.problems[0]


@pytest.mark.parametrize(
    ("environ", "provider", "model"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai", "gpt-4o"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic", configuration.DEFAULT_MODELS["anthropic"]),
        ({"GEMINI_API_KEY": "k"}, "gemini", configuration.DEFAULT_MODELS["gemini"]),
        ({"LLM_BASE_URL": "http://localhost:8000/v1", "LLM_MODEL": "mine"}, "openai", "mine"),
        ({"LLM_PROVIDER": "mock"}, "mock", "mock"),
        ({"LLM_PROVIDER": "ollama"}, "ollama", "llama3.2"),
    ],
)
def test_a_key_or_a_server_implies_its_provider(load: Any, environ: dict[str, str], provider: str, model: str) -> None:
    llm = load(**environ).llm

    assert (llm.provider, llm.model) == (provider, model)


def test_a_provider_without_its_key_is_told_and_the_demo_answers(load: Any) -> None:
    config = load(LLM_PROVIDER="anthropic")

    assert config.llm.provider == "demo"
    assert "ANTHROPIC_API_KEY" in config.problems[0]


def test_naming_the_files_own_provider_keeps_the_files_key_and_address(load: Any) -> None:
    content = {"llm": {"provider": "openai", "apiKey": "k", "baseUrl": "http://proxy/v1", "model": "m"}}

    llm = load(content, LLM_PROVIDER="openai").llm

    assert (llm.api_key, llm.base_url, llm.model) == ("k", "http://proxy/v1", "m")


def test_what_the_file_says_of_one_provider_is_never_sent_to_another(load: Any) -> None:
    content = {"llm": {"provider": "openai", "apiKey": "openai's", "baseUrl": "http://proxy/v1", "model": "gpt"}}

    llm = load(content, LLM_PROVIDER="anthropic", ANTHROPIC_API_KEY="anthropic's").llm

    assert llm.api_key == "anthropic's"
    assert llm.base_url == ""
    assert llm.model == configuration.DEFAULT_MODELS["anthropic"]


def test_the_shells_key_is_not_sent_to_the_server_that_the_file_has_its_own_key_for(load: Any) -> None:
    content = {"llm": {"provider": "openai", "apiKey": "company's", "baseUrl": "http://company/v1"}}

    assert load(content, OPENAI_API_KEY="personal").llm.api_key == "company's"


def test_what_init_writes_means_the_defaults(load: Any) -> None:
    written, plain = load(configuration.template()), load()

    assert written.problems == ()
    assert written.llm == plain.llm
    assert written.agent.max_steps == plain.agent.max_steps
    assert written.server.port == plain.server.port


def test_a_relative_directory_of_the_file_is_beside_the_file(load: Any, tmp_path: Path) -> None:
    config = load({"server": {"baseDir": "kept"}})

    assert config.server.base_dir == tmp_path / "kept"
    assert config.agent.work_dir == tmp_path / "kept" / "workspaces"


def test_the_configuration_cannot_be_changed_and_shows_no_secret(load: Any) -> None:
    config = load(OPENAI_API_KEY="sk-canary", DATABASE_URL="postgresql://u:canary@h/d", SECRET_KEY="canary-key")

    assert "canary" not in repr(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.server.port = 1


def test_the_signing_key_is_made_once_and_is_its_owners_only(load: Any, tmp_path: Path) -> None:
    base_dir = tmp_path / "data"

    first, second = (load(DATA_DIR=str(base_dir)).server.secret_key for _ in range(2))

    assert first == second
    assert len(first) >= 50
    assert (base_dir / "secret_key").stat().st_mode & 0o777 == 0o600
