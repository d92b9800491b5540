"""Every real provider, through litellm: its idea of an answer is checked, never trusted.

litellm takes seconds to import: workers do it once, before they fork (`load`), everybody else only on a first call.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runs.llm import prices
from runs.llm.collect import Collector
from runs.llm.failures import broken_off, translate
from runs.llm.tool_calls import settle
from runs.llm.types import Answer, ModelError, Request, Usage
from runs.llm.wire import Wire, timeouts

#: litellm's names for providers, where they differ from ours.
LITELLM_NAMES = {"ollama": "ollama_chat"}
#: These are reached through litellm's own HTTP client; the others through OpenAI's.
_HTTPX_PROVIDERS = frozenset({"anthropic", "gemini", "ollama", "mistral", "groq", "deepseek", "xai", "openrouter"})
_OPENAI_PROVIDERS = frozenset({"openai"})
_MAX_MALFORMED = 2_000


@lru_cache(maxsize=1)
def load() -> Any:
    """Import litellm, without its downloads, its retries and its chatter; takes seconds the first time."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", _tokenizers())
    import litellm  # noqa: PLC0415  takes seconds

    litellm.disable_hf_tokenizer_download = True
    litellm.disable_streaming_logging = True
    litellm.suppress_debug_info = True
    litellm.num_retries = 0
    # Its log lines quote requests, now and then with the key. What went wrong, we say ourselves.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # It hands pydantic models of its own to pydantic in forms that pydantic remarks on, once for each kind.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    prices.register(litellm)
    return litellm


def _tokenizers() -> str:
    """Where litellm keeps the tokenizers it ships, found without importing it."""
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("litellm")
    return str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers")


class LiteLLMModel:
    """A model of one provider at one address, with the key for it."""

    def __init__(self, *, provider: str, api_key: str, base_url: str) -> None:
        self._provider = provider
        self._api_key = api_key
        self._base_url = base_url

    def stream(self, request: Request) -> Purchase:
        """See `Model.stream`; nothing leaves before the first item is asked for."""
        load()
        return Purchase(request, provider=self._provider, api_key=self._api_key, base_url=self._base_url)


class Purchase(Iterator[str | Answer]):
    """One call of a provider, as a stream that another thread may end."""

    def __init__(self, request: Request, *, provider: str, api_key: str, base_url: str) -> None:
        self._request = request
        self._provider = provider
        self._name = LITELLM_NAMES.get(provider, provider)
        self._api_key = api_key
        self._base_url = base_url
        self._wire = Wire(base_url=base_url)
        self._collector = Collector()
        self._finish_reason = ""
        self._usage: Any = None
        self._items = self._run()

    def __next__(self) -> str | Answer:
        return next(self._items)

    def hang_up(self) -> None:
        """See `Interruptible.hang_up`."""
        self._wire.hang_up()

    def _run(self) -> Iterator[str | Answer]:
        try:
            litellm = load()
            for chunk in self._chunks(litellm):
                yield self._take(chunk)
                if self._collector.is_full:
                    break
            if rest := self._collector.close():
                yield rest
            yield self._answer(litellm)
        finally:
            self._wire.close()

    def _chunks(self, litellm: Any) -> Iterator[Any]:
        """litellm's chunks, and its many kinds of failure as `ModelError`."""
        try:
            stream = litellm.completion(**self._arguments(litellm))
            yield from stream
        except Exception as error:  # noqa: BLE001  litellm raises anything, also bare Exception
            # `from None`: what a library says in its errors may hold the key, and tracebacks are logged.
            raise translate(error, wire=self._wire, provider=self._provider, key=self._api_key) from None
        if not self._is_whole(stream):
            raise broken_off(self._provider)

    def _arguments(self, litellm: Any) -> dict[str, Any]:
        spec = self._request.spec
        arguments: dict[str, Any] = {
            "model": f"{self._name}/{spec.model}",
            "messages": sendable(self._request.messages),
            "api_key": self._api_key or None,
            "temperature": spec.temperature,
            "max_tokens": spec.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "timeout": timeouts(),
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": True,
        }
        if self._request.tools:
            arguments["tools"] = self._request.tools
        if self._base_url:
            arguments["api_base"] = self._base_url
        if client := self._client(litellm):
            arguments["client"] = client
        return arguments

    def _client(self, litellm: Any) -> Any:
        """Our wire in the clothes that litellm wants for this provider; None where it accepts none."""
        if self._provider in _HTTPX_PROVIDERS or self._speaks_responses(litellm):
            from litellm.llms.custom_httpx.http_handler import HTTPHandler  # noqa: PLC0415

            return HTTPHandler(client=self._wire.client)
        if self._provider in _OPENAI_PROVIDERS:
            import openai  # noqa: PLC0415  comes with litellm, and as slowly

            return openai.OpenAI(
                api_key=self._api_key, base_url=self._base_url, http_client=self._wire.client, max_retries=0
            )
        return None

    def _speaks_responses(self, litellm: Any) -> bool:
        """Whether litellm will take OpenAI's Responses API, as it does for newer models with tools."""
        if self._provider not in _OPENAI_PROVIDERS:
            return False
        route, _ = litellm.main.responses_api_bridge_check(
            model=self._request.spec.model,
            custom_llm_provider=self._name,
            tools=self._request.tools,
            api_base=self._base_url,
        )
        return bool(route.get("mode") == "responses")

    def _take(self, chunk: Any) -> str:
        if usage := getattr(chunk, "usage", None):
            self._usage = usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        return self._collector.take(choice.delta)

    def _is_whole(self, stream: Any) -> bool:
        """Whether the provider itself said that this was all.

        litellm invents a finish reason, and counts tokens itself, when a stream just stops; and it takes every
        piece of Gemini's for a last one. So: the finish reason must have been received, and after it the usage or
        the protocol's own end mark (unknown where litellm uses a connection of its own).
        """
        if self._provider == "gemini":
            return bool(self._wire.finish_reason)
        finish_reason = stream.received_finish_reason or stream.intermittent_finish_reason
        has_usage = any(getattr(chunk, "usage", None) for chunk in stream.chunks)
        return bool(finish_reason) and (has_usage or self._wire.done or not self._wire.answered)

    def _answer(self, litellm: Any) -> Answer:
        spec = self._request.spec
        is_full = self._collector.is_full
        finish_reason = "length" if is_full else self._finish_reason
        usage = self._estimate(litellm) if is_full or self._usage is None else self._usage
        calls = settle(self._collector.drafts, messages=self._request.messages, cut=finish_reason == "length")
        if self._wire.finish_reason == "MALFORMED_FUNCTION_CALL" and not calls:
            raise ModelError("LLM_INCOMPLETE", "gemini broke off a malformed tool call.", retryable=True)
        return Answer(
            text=self._collector.text,
            tool_calls=calls,
            usage=Usage(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cost=prices.cost_of(litellm, provider=self._name, model=spec.model, usage=usage),
                cached_tokens=getattr(usage.prompt_tokens_details, "cached_tokens", None) or 0,
            ),
            model=spec.model,
            finish_reason=finish_reason,
            truncated=finish_reason == "length",
        )

    def _estimate(self, litellm: Any) -> Any:
        """Usage of an answer that we cut ourselves: four bytes are about a token, too many rather than too few."""
        said = self._collector.text + "".join(draft.raw for draft in self._collector.drafts)
        asked = json.dumps([self._request.messages, self._request.tools], ensure_ascii=False, default=str)
        prompt, completion = (len(text.encode()) // 4 + 1 for text in (asked, said))
        return litellm.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def sendable(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`messages` as every provider accepts them.

    Some refuse, and litellm fails on, a history in which a model once sent malformed arguments. They are wrapped:
    the model sees what it wrote, the provider a valid object.
    """
    return [
        message | {"tool_calls": [_sendable_call(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in messages
    ]


def _sendable_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        valid = isinstance(json.loads(function["arguments"]), dict)
    except (ValueError, RecursionError):
        valid = False
    if valid:
        return call
    raw = function["arguments"]
    wrapped = json.dumps({"malformed_arguments": raw[:_MAX_MALFORMED]} if raw.strip() else {})
    return call | {"function": function | {"arguments": wrapped}}
