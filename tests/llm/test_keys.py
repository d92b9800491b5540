"""Where a key may go, and that it never shows up anywhere else."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings

from openintern.errors import OpenInternError
from runs.llm.registry import resolve, validate_choice
from runs.llm.types import ModelError, ModelSpec
from runs.llm.wire import AddressRefused, Wire
from tests.llm.conftest import KEY, MODELS, ONCE, PATHS, Asker, Configure
from tests.peers.llm import Peer, llm_peer


@pytest.fixture
def thief() -> Iterator[Peer]:
    """Somebody else's server."""
    with llm_peer() as running:
        yield running


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all hosts that anybody tries to reach."""
    seen: set[str] = set()
    look_up = socket.getaddrinfo

    def watch(host: Any, *args: Any, **kwargs: Any) -> Any:
        seen.add(str(host))
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", watch)
    return seen


def test_a_request_can_not_send_the_key_to_an_address_of_its_own(asker: Asker, thief: Peer) -> None:
    address = thief.url + PATHS[asker.dialect]

    with pytest.raises(OpenInternError) as refused:
        validate_choice({"provider": asker.provider, "model": MODELS[asker.dialect], "base_url": address})
    error = asker.fail(base_url=address)

    assert (refused.value.code, refused.value.status) == ("VALIDATION_ERROR", 400)
    assert error.code == "LLM_NOT_CONFIGURED"
    assert thief.requests == []
    assert asker.peer.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "{peer}.evil.test/v1",
        "{peer}@127.0.0.1:9/v1",
        "{peer}/v1/../../x",
        "{peer}/v1#",
        "{peer}/v1?x",
        "{peer}/V1",
        "http:\\\\127.0.0.1/v1",
    ],
)
def test_an_address_that_only_looks_like_a_listed_one_is_refused(openai: Asker, address: str) -> None:
    with pytest.raises(OpenInternError, match="base_url"):
        validate_choice({"base_url": address.format(peer=openai.peer.url)})


def test_a_listed_address_gets_the_key(asker: Asker, configure: Configure, thief: Peer) -> None:
    friend = thief
    address = friend.url + PATHS[asker.dialect]
    configure(
        provider=asker.provider,
        model=MODELS[asker.dialect],
        api_key=KEY,
        base_url=asker.peer.url,
        allowed_base_urls=(address + "/",),
    )
    friend.script({"text": "ok"})

    spec = validate_choice(
        {"provider": asker.provider, "base_url": address.upper().replace("/V1", "/v1").replace("BETA", "beta")}
    )
    answer = asker.ask(base_url=spec.base_url)

    assert answer.text == "ok"
    assert KEY in str(friend.requests[0].headers)
    assert asker.peer.requests == []


def test_an_address_taken_off_the_list_is_no_longer_used(thief: Peer, configure: Configure) -> None:
    configure(provider="openai", model="gpt-4o", api_key=KEY, allowed_base_urls=(thief.url,))
    pinned = validate_choice({"base_url": thief.url})
    configure(provider="openai", model="gpt-4o", api_key=KEY)

    with pytest.raises(ModelError) as refused:
        resolve(pinned)

    assert refused.value.code == "LLM_NOT_CONFIGURED"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(asker: Asker, thief: Peer, status: int) -> None:
    asker.peer.script({"status": status, "headers": {"Location": f"{thief.url}/v1/messages"}})

    error = asker.fail(patience=ONCE)

    assert error.code == "LLM_BAD_REQUEST"
    assert thief.requests == []


@pytest.mark.parametrize(
    "model",
    ["replicate/meta/llama", "my-replicate-model", "clarifai/x", "ft:gpt-3.5-turbo:x", "huggingface/a/b", "groq/llama",
     "openrouter/x", "azure/x", "bedrock/x", "litellm_proxy/x", "vertex_ai/gemini-pro", "petals/x", "text-davinci-003"],
)  # fmt: skip
def test_the_name_of_a_model_leads_nowhere_else(asker: Asker, hosts: set[str], model: str) -> None:
    asker.peer.script({"text": "ok"})

    with suppress(ModelError):
        asker.ask(model=model, patience=ONCE)

    assert hosts <= {"127.0.0.1", "localhost"}


def test_the_wire_itself_refuses_a_second_address(openai: Asker, thief: Peer) -> None:
    wire = Wire(base_url=openai.peer.url)

    with pytest.raises(AddressRefused):
        wire.client.post(f"{thief.url}/v1/chat/completions", json={}, headers={"Authorization": KEY})

    wire.close()
    assert thief.requests == []


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_provider_without_a_key_fails_before_anything_leaves(
    provider: str, configure: Configure, hosts: set[str]
) -> None:
    configure(provider="demo", model="demo")
    spec = validate_choice({"provider": provider})

    with pytest.raises(ModelError) as refused:
        resolve(spec)

    assert (refused.value.code, refused.value.retryable) == ("LLM_NOT_CONFIGURED", False)
    assert f"{provider.upper()}_API_KEY" in refused.value.message
    assert hosts == set()


def test_the_key_of_one_provider_is_not_sent_to_another(
    peer: Peer, thief: Peer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(provider="openai", model="gpt-4o", api_key=KEY, base_url=thief.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-anthropic")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", peer.url)
    peer.script({"text": "ok"})

    answer = Asker(peer, "anthropic").ask()

    assert answer.text == "ok"
    assert peer.requests[0].headers["x-api-key"] == "sk-ant-of-anthropic"
    assert KEY not in str(peer.requests[0].headers)
    assert thief.requests == []


def test_a_server_of_ones_own_needs_no_key(peer: Peer, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(provider="openai", model="local", base_url=peer.url + "/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    peer.script({"text": "ok"})

    answer = Asker(peer, "openai").ask(model="local")

    assert answer.text == "ok"
    assert KEY not in str(peer.requests[0].headers)


def test_the_key_is_in_no_log_line_and_no_traceback(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asker.peer.script({"status": 400, "body": {"error": {"message": f"no good: {KEY}"}}})

    error = asker.fail()
    logging.getLogger(__name__).error("The run failed", exc_info=error)

    assert KEY not in caplog.text
    assert "no good: [key]" in error.message


def test_a_spec_and_its_configuration_print_no_key(openai: Asker) -> None:
    assert KEY not in f"{openai.request()!r} {settings.CONFIG!r} {ModelSpec('openai', 'gpt-4o')!r}"
