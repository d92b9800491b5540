"""Which models there are, who may choose them, and where keys may go.

A key goes to its provider's own address or to one that the operator listed, and nowhere else: addresses and keys are
looked up when a model is called, by provider; a run's record holds neither.
"""

from __future__ import annotations

import os
import re
from typing import Any

from django.conf import settings

from openintern.configuration import DEFAULT_MODELS, KEY_VARIABLES, LLM, OWN_BASE_URLS
from openintern.errors import Invalid
from runs.llm.mock import MockModel
from runs.llm.scripted import ScriptedModel
from runs.llm.types import Model, ModelError, ModelSpec

#: The address of each provider that a request may name.
ADDRESSES = OWN_BASE_URLS | {"ollama": "http://127.0.0.1:11434"}
#: Models that live in this program and need neither a key nor a network.
BUILT_IN = frozenset({"demo", "mock", "scripted"})
#: Some libraries insist on a key where the server wants none.
NO_KEY = "none"

_FIELDS = frozenset({"provider", "model", "base_url", "temperature", "max_tokens"})
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")
#: Words in a model's name for which litellm leaves the provider it was told to use, and takes the key along.
_MISLEADING = re.compile(r"replicate|clarifai|ft:gpt-3\.5|^huggingface/", re.I)
_MAX_TOKENS = 1_000_000


def default_spec() -> ModelSpec:
    """The model that the operator configured; its address stays with the configuration."""
    llm = _configured()
    return ModelSpec(
        provider=llm.provider,
        model=_default_model(llm.provider),
        temperature=llm.temperature,
        max_tokens=llm.max_tokens,
    )


def validate_choice(llm_config: dict[str, Any]) -> ModelSpec:
    """The model that a request asks for; what it leaves out comes from the configuration.

    Raises VALIDATION_ERROR for a provider, model, address or number that a request may not choose.
    """
    for name in llm_config:
        if name not in _FIELDS:
            raise _invalid(name, "is not a setting that a request may choose")
    provider = _chosen_provider(llm_config)
    return ModelSpec(
        provider=provider,
        model=_chosen_model(llm_config, provider),
        base_url=_chosen_address(llm_config, provider),
        temperature=_chosen_number(llm_config, "temperature", _configured().temperature, low=0, high=2),
        max_tokens=int(_chosen_number(llm_config, "max_tokens", _configured().max_tokens, low=1, high=_MAX_TOKENS)),
    )


def resolve(spec: ModelSpec) -> Model:
    """The model that answers for `spec`.

    Raises ModelError LLM_NOT_CONFIGURED when there is no key for it, or its address is no longer on the list.
    """
    match spec.provider:
        case "demo":
            from runs.llm.demo import DemoModel  # noqa: PLC0415  loads its dictionaries

            return DemoModel()
        case "mock":
            return MockModel()
        case "scripted":
            return ScriptedModel()
    if not is_allowed_address(spec.base_url, provider=spec.provider):
        raise ModelError("LLM_NOT_CONFIGURED", f"{spec.base_url} is not on the operator's list of model servers.")
    if spec.provider in ADDRESSES and _MISLEADING.search(spec.model):
        raise ModelError("LLM_BAD_REQUEST", f"{spec.provider} has no model {spec.model}.")
    from runs.llm.litellm_adapter import LiteLLMModel  # noqa: PLC0415  web processes never need it

    base_url = spec.base_url or _own_address(spec.provider)
    return LiteLLMModel(provider=spec.provider, api_key=_key(spec.provider, base_url), base_url=base_url)


def load_ahead() -> None:
    """Load now what the configured model needs: for workers before they fork, since litellm takes seconds."""
    if _configured().provider not in BUILT_IN:
        from runs.llm.litellm_adapter import load  # noqa: PLC0415  web processes never need it

        load()


def is_allowed_address(base_url: str, *, provider: str) -> bool:
    """Whether the key of `provider` may be sent to `base_url`; an empty one means the provider's own."""
    allowed = [*_configured().allowed_base_urls, _own_address(provider)]
    return not base_url or _plain(base_url) in {_plain(address) for address in allowed if address}


def _configured() -> LLM:
    llm: LLM = settings.CONFIG.llm
    return llm


def _own_address(provider: str) -> str:
    """Where the operator says the provider is, else where everybody finds it."""
    llm = _configured()
    told = llm.base_url if provider == llm.provider else os.environ.get(f"{provider.upper()}_BASE_URL", "")
    return told or ADDRESSES.get(provider, "")


def _default_model(provider: str) -> str:
    llm = _configured()
    return llm.model if provider == llm.provider and llm.model else DEFAULT_MODELS.get(provider, "")


def _key(provider: str, base_url: str) -> str:
    """The configuration holds the key of its own provider; those of the others stay where people keep them."""
    llm = _configured()
    variable = KEY_VARIABLES.get(provider, "")
    if key := llm.api_key if provider == llm.provider else os.environ.get(variable, ""):
        return key
    # What litellm knows and we don't may have credentials of another kind in the environment.
    if provider not in ADDRESSES:
        return ""
    # A server of the operator's own may want no key; a provider's public address always does.
    if provider == "ollama" or _plain(base_url) != ADDRESSES[provider]:
        return NO_KEY
    raise ModelError("LLM_NOT_CONFIGURED", f"There is no API key for {provider}: set {variable}.")


def _chosen_provider(llm_config: dict[str, Any]) -> str:
    """A request may name the well-known providers, and the one that the operator configured, whatever it is.

    A script can be asked for only where no provider is configured that costs money: there it is a test.
    """
    own = _configured().provider
    choosable = {*ADDRESSES, "demo", "mock", own} | (BUILT_IN if own in BUILT_IN else set())
    provider = llm_config.get("provider", own)
    if not isinstance(provider, str) or provider not in choosable:
        raise _invalid("provider", f"must be one of {', '.join(sorted(choosable))}")
    return provider


def _chosen_model(llm_config: dict[str, Any], provider: str) -> str:
    default = _default_model(provider)
    model = llm_config.get("model", default)
    if provider == "scripted" and isinstance(model, str) and model:
        return model
    if not isinstance(model, str) or not _MODEL_NAME.fullmatch(model) or _MISLEADING.search(model):
        raise _invalid("model", "must be a model's name")
    # Where we don't know the address, the name could lead litellm, and the key with it, to another one.
    if provider not in ADDRESSES and provider not in BUILT_IN and model != default:
        raise _invalid("model", f"must be {default}")
    return model


def _chosen_address(llm_config: dict[str, Any], provider: str) -> str:
    base_url = llm_config.get("base_url", "")
    if not isinstance(base_url, str) or ("base_url" in llm_config and not base_url):
        raise _invalid("base_url", "must be an address")
    if base_url and (provider in BUILT_IN or not is_allowed_address(base_url, provider=provider)):
        raise _invalid("base_url", "is not on the operator's list of model servers")
    return base_url


def _chosen_number(llm_config: dict[str, Any], name: str, default: float, *, low: float, high: float) -> float:
    value = llm_config.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (name == "max_tokens" and value != int(value)):
        raise _invalid(name, f"must be a number from {low:g} to {high:g}")
    return float(value)


def _invalid(name: str, complaint: str) -> Invalid:
    return Invalid(f"llm_config.{name}", f"llm_config.{name} {complaint}")


def _plain(url: str) -> str:
    """`url` for comparison: only a slash at the end and the case of scheme and host make no difference."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}".rstrip("/")
