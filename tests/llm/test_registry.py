"""Which model a run gets."""

from __future__ import annotations

from typing import Any

import pytest

from openintern.errors import OpenInternError
from runs.llm.mock import MockModel
from runs.llm.registry import default_spec, resolve, validate_choice
from runs.llm.scripted import ScriptedModel
from runs.llm.types import ModelSpec
from tests.llm.conftest import Configure


def test_without_a_choice_it_is_the_operators(configure: Configure) -> None:
    configure(
        provider="anthropic", model="claude-x", api_key="k", base_url="http://llm.test", temperature=0.1, max_tokens=99
    )

    assert default_spec() == ModelSpec("anthropic", "claude-x", base_url="", temperature=0.1, max_tokens=99)
    assert validate_choice({}) == default_spec()


def test_what_a_request_leaves_out_comes_from_the_configuration(configure: Configure) -> None:
    configure(provider="openai", model="gpt-x", api_key="k", temperature=0.1, max_tokens=99)

    assert validate_choice({"temperature": 1}) == ModelSpec("openai", "gpt-x", temperature=1.0, max_tokens=99)
    assert validate_choice({"provider": "gemini"}).model == "gemini-2.5-flash"
    assert validate_choice({"model": "gpt-4o-mini", "max_tokens": 5}).max_tokens == 5


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ({"provider": "bedrock"}, "provider"),
        ({"provider": "scripted", "model": "[]"}, "provider"),
        ({"provider": ["openai"]}, "provider"),
        ({"provider": ""}, "provider"),
        ({"model": ""}, "model"),
        ({"model": "a b"}, "model"),
        ({"model": "a\n"}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"model": None}, "model"),
        ({"model": "replicate/x"}, "model"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": 7}, "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"provider": "demo", "base_url": "https://api.openai.com/v1"}, "base_url"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": float("inf")}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"api_key": "sk-mine"}, "api_key"),
    ],
)
def test_a_request_may_not_choose_everything(configure: Configure, choice: dict[str, Any], field: str) -> None:
    configure(provider="openai", model="gpt-4o", api_key="k")

    with pytest.raises(OpenInternError) as refused:
        validate_choice(choice)

    assert refused.value.code == "VALIDATION_ERROR"
    assert refused.value.details == {"field": f"llm_config.{field}"}


def test_of_a_provider_that_we_do_not_know_a_request_gets_the_operators_model_only(configure: Configure) -> None:
    configure(provider="groq", model="llama-x", api_key="k")

    assert validate_choice({}).model == "llama-x"
    with pytest.raises(OpenInternError, match="must be llama-x"):
        validate_choice({"model": "another"})


def test_the_built_in_models_need_no_key(configure: Configure) -> None:
    configure(provider="scripted", model="[]")

    assert isinstance(resolve(validate_choice({"provider": "mock"})), MockModel)
    assert isinstance(resolve(validate_choice({"model": '[{"text": "Hi."}]'})), ScriptedModel)
    assert validate_choice({"provider": "demo"}) == ModelSpec("demo", "demo")
