"""A provider on loopback, a configuration that points to it, and a way to ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.conf import settings

from openintern.configuration import LLM
from runs.llm.ask import Patience, ask
from runs.llm.types import Answer, ModelError, ModelSpec, Request, Retry
from runs.stop import Stop
from tests.peers.llm import Peer, llm_peer

Configure = Callable[..., None]

KEY = "sk-canary-0123456789abcdef"
#: What is spoken on the wire; `responses` is OpenAI's newer dialect.
DIALECTS = ("openai", "responses", "anthropic", "gemini", "ollama")
MODELS = {
    "openai": "gpt-4o",
    "responses": "responses/gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2",
}
PATHS = {"openai": "/v1", "responses": "/v1", "anthropic": "", "gemini": "/v1beta", "ollama": ""}
HASTY = Patience(idle=10, total=20, first_delay=0.01)
ONCE = replace(HASTY, purchases=1)
READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}


@pytest.fixture
def peer() -> Iterator[Peer]:
    with llm_peer() as running:
        yield running


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Make `LLM(**fields)` the operator's choice; no key comes from the environment of the tests."""
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.replace("API_KEY", "BASE_URL"), raising=False)

    def choose(**fields: Any) -> None:
        monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, llm=LLM(**fields)))

    return choose


@dataclass
class Asker:
    """Asks one provider of the peer, and keeps what was streamed."""

    peer: Peer
    dialect: str
    said: list[str] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    @property
    def provider(self) -> str:
        return "openai" if self.dialect == "responses" else self.dialect

    def request(self, *, messages: list[dict[str, Any]] | None = None, tools: bool = True, **spec: Any) -> Request:
        return Request(
            spec=ModelSpec(self.provider, spec.pop("model", MODELS.get(self.dialect, "")), **spec),
            messages=messages or [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            tools=[READ_FILE] if tools else [],
        )

    def ask(self, *, patience: Patience = HASTY, **request: Any) -> Answer:
        return ask(
            self.request(**request),
            stop=self.stop,
            on_text=self.said.append,
            on_retry=self.retries.append,
            patience=patience,
        )

    def fail(self, *, patience: Patience = HASTY, **request: Any) -> ModelError:
        """The error that the question ends in; it never holds the key."""
        with pytest.raises(ModelError) as caught:
            self.ask(patience=patience, **request)
        assert KEY not in f"{caught.value!r} {caught.value.message} {[retry.message for retry in self.retries]}"
        return caught.value


@pytest.fixture
def asker(peer: Peer, dialect: str, configure: Configure) -> Asker:
    """An asker in each dialect in turn, with a key, at the peer's address."""
    asker = Asker(peer, dialect)
    configure(provider=asker.provider, model=MODELS[dialect], api_key=KEY, base_url=peer.url + PATHS[dialect])
    return asker


@pytest.fixture
def openai(peer: Peer, configure: Configure) -> Asker:
    """An asker of OpenAI alone, for what doesn't depend on the provider."""
    configure(provider="openai", model=MODELS["openai"], api_key=KEY, base_url=peer.url + PATHS["openai"])
    return Asker(peer, "openai")


def body_text(peer: Peer, number: int = -1) -> str:
    """The body of a logged request, as text."""
    return json.dumps(peer.requests[number].body, ensure_ascii=False)
