"""The most that a model call may cost, known before it is made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runs.llm import prices
from runs.llm.litellm_adapter import LITELLM_NAMES, load
from runs.llm.registry import BUILT_IN
from runs.llm.types import Request

#: Of what providers bill, this is too little text for a token rather than too much: English has four bytes, code and
#: Chinese three.
BYTES_PER_TOKEN = 3
#: An image is billed by its size in pixels, not in bytes; no provider takes more for one.
IMAGE_TOKENS = 3000


@dataclass(frozen=True)
class Estimate:
    """Tokens of prompt and answer together; `cost` is in USD, None when the price isn't known."""

    tokens: int
    cost: Decimal | None


def estimate(request: Request) -> Estimate:
    """Return the most that the request may use: the whole prompt at its full price, and the longest answer allowed."""
    prompt, completion = _prompt_tokens(request), request.spec.max_tokens
    return Estimate(prompt + completion, _cost(request, prompt=prompt, completion=completion))


def _prompt_tokens(request: Request) -> int:
    images = 0

    def without_images(part: Any) -> Any:
        nonlocal images
        match part:
            case {"type": "image_url" | "image"}:
                images += 1
                return None
            case dict():
                return {name: without_images(value) for name, value in part.items()}
            case list():
                return [without_images(value) for value in part]
        return part

    text = json.dumps([without_images(request.messages), request.tools], ensure_ascii=False)
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1 + images * IMAGE_TOKENS


def _cost(request: Request, *, prompt: int, completion: int) -> Decimal | None:
    spec = request.spec
    if spec.provider in BUILT_IN:
        return Decimal(0)
    litellm = load()
    usage = litellm.Usage(prompt_tokens=prompt, completion_tokens=completion)
    name = LITELLM_NAMES.get(spec.provider, spec.provider)
    return prices.cost_of(litellm, provider=name, model=spec.model, usage=usage)
