"""What went wrong with a provider, said in one of our codes and without the key."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from openintern.text import shorten, storable
from runs.llm.types import ModelError
from runs.llm.wire import AddressRefused, Refusal, TooMuch, Wire

_MAX_DETAIL = 300
_SECRETS = re.compile(r"(?:sk-|AIza|gsk_|xai-)[\w*-]{6,}|(?i:bearer\s+)\S+|(?i:(?:api[_-]?)?key=)[^\s&\"']+")
_TOO_LONG = re.compile(
    r"context[ _](?:length|window)|maximum context|prompt is too long|input token count|too many (?:input )?tokens",
    re.I,
)
_BAD_KEY = re.compile(r"API key not valid|API_KEY_INVALID|invalid x-api-key", re.I)
_NO_MONEY = re.compile(r"insufficient_quota|credit balance is too low|exceeded your current quota", re.I)
_CUT = re.compile(r"stream before any terminal event")
_LIBRARY_ADVICE = re.compile(r"\s*(?:Original exception:|Handle with `litellm|Traceback \(most recent).*", re.S)
_LIBRARY_PREFIX = re.compile(r"^(?:[\w.]*(?:Error|Exception)\s*[:-]\s*)+")


def translate(error: Exception, *, wire: Wire, provider: str, key: str) -> ModelError:
    """The `ModelError` for `error`, which litellm raised during a purchase over `wire`.

    What the wire saw counts more than what the library made of it.
    """
    if wire.refusal is not None:
        return from_refusal(wire.refusal, provider=provider, key=key)
    causes = _causes(error)
    detail = redact(_said(error), key=key)
    status = next((found for cause in causes if (found := _status(cause))), 0)
    if any(isinstance(cause, AddressRefused) for cause in causes):
        return ModelError("LLM_NOT_CONFIGURED", f"The model's name leads to an address that is not {provider}'s.")
    if any(isinstance(cause, TooMuch) for cause in causes):
        return ModelError("LLM_BAD_REQUEST", f"{provider} sent more data than can be accepted.")
    if wire.broke or _CUT.search(detail):
        return broken_off(provider)
    if any(isinstance(cause, httpx.TimeoutException | TimeoutError) for cause in causes):
        status = 408
    if wire.answered and status == 400 and not _TOO_LONG.search(detail):
        status = 500  # the request was accepted: what broke later is theirs
    if status >= 400 and (status < 500 or wire.answered or not _is_about_the_network(causes)):
        return _by_status(status, provider=provider, detail=detail, retry_after=None)
    return ModelError("LLM_UNAVAILABLE", f"{provider} can't be reached: {detail}", retryable=True)


def from_refusal(refusal: Refusal, *, provider: str, key: str) -> ModelError:
    """The `ModelError` for an answer with an error status."""
    detail = redact(_message_in(refusal.text), key=key)
    return _by_status(refusal.status, provider=provider, detail=detail, retry_after=retry_after(refusal.headers))


def broken_off(provider: str) -> ModelError:
    """The `ModelError` for a stream that ended before its end."""
    return ModelError("LLM_INCOMPLETE", f"The answer of {provider} broke off.", retryable=True)


def redact(text: str, *, key: str) -> str:
    """`text` in one short line, with `key` and all that looks like a key taken out."""
    if key:
        text = text.replace(key, "[key]")
    text = _SECRETS.sub("[key]", text)
    return shorten(" ".join(str(storable(text)).split()), _MAX_DETAIL)


def retry_after(headers: httpx.Headers) -> float | None:
    """The seconds a provider asks to be left alone; the header may hold a number or a date."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass  # not a number: maybe a date
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _by_status(status: int, *, provider: str, detail: str, retry_after: float | None) -> ModelError:
    said = f" ({status}): {detail}" if detail else f" ({status})."
    if status in (401, 403) or _BAD_KEY.search(detail):
        # Not a word of theirs here: providers like to repeat parts of the key.
        return ModelError("LLM_AUTH", f"{provider} refused the API key ({status}).")
    if status == 413 or (400 <= status < 500 and _TOO_LONG.search(detail)):
        return ModelError("LLM_CONTEXT_TOO_LONG", f"The conversation is too long for {provider}{said}")
    if status == 429:
        retryable = not _NO_MONEY.search(detail)
        return ModelError(
            "LLM_RATE_LIMITED", f"{provider} limits requests{said}", retryable=retryable, retry_after=retry_after
        )
    if status in (408, 504):
        return ModelError("LLM_TIMEOUT", f"{provider} took too long{said}", retryable=True, retry_after=retry_after)
    if status >= 500:
        return ModelError("LLM_UNAVAILABLE", f"{provider} failed{said}", retryable=True, retry_after=retry_after)
    return ModelError("LLM_BAD_REQUEST", f"{provider} refused the request{said}")


def _message_in(body: str) -> str:
    """The message in a provider's error body, or the body itself."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return str(error)
    words = [str(error[name]) for name in ("message", "code", "type") if isinstance(error.get(name), str)]
    return f"{words[0]} [{', '.join(words[1:])}]" if len(words) > 1 else "".join(words) or body


def _said(error: Exception) -> str:
    """The error's text without the library's own words around it."""
    text = str(getattr(error, "message", "") or error)
    return _LIBRARY_PREFIX.sub("", _LIBRARY_ADVICE.sub("", text))


def _is_about_the_network(causes: list[BaseException]) -> bool:
    """litellm gives a connection that failed the status 500, as if somebody had answered."""
    return any(isinstance(cause, httpx.TransportError) for cause in causes)


def _causes(error: BaseException | None) -> list[BaseException]:
    """`error` and all that is behind it."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    return found


def _status(error: BaseException) -> int:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else 0
