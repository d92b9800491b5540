"""What a call cost, in USD."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

logger = logging.getLogger(__name__)

#: Models that litellm's table no longer has but people still run: USD per million tokens, (prompt, completion).
OWN_PRICES: dict[str, dict[str, tuple[str, str]]] = {
    "anthropic": {
        "claude-3-5-haiku-20241022": ("0.80", "4"),
        "claude-3-5-sonnet-20241022": ("3", "15"),
        "claude-3-7-sonnet-20250219": ("3", "15"),
        "claude-3-haiku-20240307": ("0.25", "1.25"),
        "claude-3-opus-20240229": ("15", "75"),
        "claude-opus-4-20250514": ("15", "75"),
        "claude-sonnet-4-20250514": ("3", "15"),
    },
    "gemini": {
        "gemini-1.5-flash": ("0.075", "0.30"),
        "gemini-1.5-pro": ("1.25", "5"),
        "gemini-2.0-flash": ("0.10", "0.40"),
        "gemini-2.0-flash-lite": ("0.075", "0.30"),
    },
}
#: What a prompt token costs when it is read from, or written to, the provider's cache: parts of its price.
CACHED = {"anthropic": Decimal("0.1"), "gemini": Decimal("0.25")}
WRITTEN = {"anthropic": Decimal("1.25"), "gemini": Decimal(1)}


def register(litellm: Any) -> None:
    """Teach litellm the prices it doesn't know; those that it knows stay."""
    missing = {
        _entry(provider, model): {
            "litellm_provider": provider,
            "mode": "chat",
            "input_cost_per_token": float(Decimal(prompt) / 1_000_000),
            "output_cost_per_token": float(Decimal(completion) / 1_000_000),
            "cache_read_input_token_cost": float(Decimal(prompt) * CACHED[provider] / 1_000_000),
            "cache_creation_input_token_cost": float(Decimal(prompt) * WRITTEN[provider] / 1_000_000),
        }
        for provider, models in OWN_PRICES.items()
        for model, (prompt, completion) in models.items()
        if _entry(provider, model) not in litellm.model_cost
    }
    litellm.register_model(missing)


def cost_of(litellm: Any, *, provider: str, model: str, usage: Any) -> Decimal | None:
    """The price of `usage` (litellm's own, with its cached tokens), or None when it isn't known.

    Retired models stay in litellm's table at a price of zero: zero is no price. Nobody sells Ollama's models, and
    litellm would ask a local server for them.
    """
    if provider == "ollama_chat":
        return None
    try:
        prompt, completion = litellm.cost_per_token(
            model=model,
            custom_llm_provider=provider,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            usage_object=usage,
        )
    except Exception as error:  # noqa: BLE001  what litellm raises for a model without a price
        logger.info("No price for %s/%s: %s", provider, model, type(error).__name__)
        return None
    total = Decimal(str(prompt)) + Decimal(str(completion))
    return total.quantize(Decimal("1e-10")) if total else None


def _entry(provider: str, model: str) -> str:
    return model if provider == "anthropic" else f"{provider}/{model}"
