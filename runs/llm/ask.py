"""Ask a model one question, whatever happens on the way."""

from __future__ import annotations

import contextvars
import itertools
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runs.llm.registry import resolve
from runs.llm.types import Answer, Interruptible, Model, ModelError, Request, Retry
from runs.stop import Stop

#: How long a stop may go unnoticed while a provider is silent.
LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Patience:
    """How long to wait for a provider, in seconds, and how often to buy.

    `idle` and `total` bound one purchase: without any progress, and altogether. No further purchase begins after
    `purchases` of them, or later than `retry_window` after the first.
    """

    idle: float = 60.0
    total: float = 300.0
    purchases: int = 4
    retry_window: float = 120.0
    longest_retry_after: float = 60.0
    first_delay: float = 1.0


def ask(
    request: Request,
    *,
    stop: Stop,
    on_text: Callable[[str], None],
    on_retry: Callable[[Retry], None],
    on_silence: Callable[[], None] = lambda: None,
    patience: Patience = Patience(),
) -> Answer:
    """Return the model's whole answer; `on_text` gets its text as it arrives, in this thread.

    `on_silence` is called about ten times a second while nothing arrives, for a listener that collects before it acts.

    A purchase that fails for a passing reason is repeated; `on_retry` is called before each repetition, and what
    `on_text` got until then is void. Raises ModelError when there is no answer to be had, and Stopped within a
    quarter of a second after `stop` was set, also while the provider is silent.
    """
    model = resolve(request.spec)
    began_at = time.monotonic()
    for attempt in range(1, patience.purchases + 1):
        stop.check()
        try:
            return _buy(model, request, stop=stop, on_text=on_text, on_silence=on_silence, patience=patience)
        except ModelError as error:
            delay = _delay(error, attempt=attempt, patience=patience)
            too_late = time.monotonic() - began_at + delay > patience.retry_window
            if not error.retryable or attempt == patience.purchases or too_late:
                raise _last(error, attempt=attempt) from None
            on_retry(Retry(attempt, error.code, round(delay * 1000), error.message))
        if stop.wait(delay):
            stop.check()
    raise AssertionError("the last purchase either returns or raises")


def _delay(error: ModelError, *, attempt: int, patience: Patience) -> float:
    """What the provider asked for, within reason, else twice as long each time, and never all runs at once."""
    if error.retry_after is not None:
        return min(error.retry_after, patience.longest_retry_after)
    return float(patience.first_delay * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))  # noqa: S311  no secret


def _last(error: ModelError, *, attempt: int) -> ModelError:
    if attempt == 1:
        return error
    message = f"{error.message.rstrip('.')}. Tried {attempt} times."
    return ModelError(error.code, message, retryable=error.retryable, retry_after=error.retry_after)


def _buy(
    model: Model,
    request: Request,
    *,
    stop: Stop,
    on_text: Callable[[str], None],
    on_silence: Callable[[], None],
    patience: Patience,
) -> Answer:
    """One purchase. The provider is read in a thread of its own, so that its silence can't hold us."""
    reader = _Reader(lambda: model.stream(request))
    reader.start()
    try:
        for item in _in_time(reader.items, stop=stop, patience=patience):
            match item:
                case None:
                    on_silence()
                case str():
                    if item:
                        on_text(item)
                case Answer():
                    return item
                case BaseException():
                    raise item
    finally:
        reader.abandon()
    raise AssertionError("a stream ends with an answer or an error")


def _in_time(
    items: queue.SimpleQueue[str | Answer | BaseException], *, stop: Stop, patience: Patience
) -> Iterator[str | Answer | BaseException | None]:
    """What arrives, as long as it arrives in time and nobody says stop; None for each look that found nothing.

    Time counts from the first item.
    """
    ends_at = idle_until = math.inf
    while True:
        stop.check()
        now = time.monotonic()
        if now >= ends_at:
            raise _too_slow(f"did not finish within {patience.total:g} s")
        try:
            item = items.get(timeout=max(0, min(LOOK_EVERY_SECONDS, ends_at - now, idle_until - now)))
        except queue.Empty:
            # Only now: what arrived while the listener was busy was no silence.
            if time.monotonic() >= idle_until:
                raise _too_slow(f"was silent for {patience.idle:g} s") from None
            yield None
            continue
        now = time.monotonic()
        ends_at = min(ends_at, now + patience.total)
        idle_until = now + patience.idle
        yield item


def _too_slow(said: str) -> ModelError:
    return ModelError("LLM_TIMEOUT", f"The model {said}.", retryable=True)


class _Reader:
    """Feeds a stream into a queue from a daemon thread, until it ends or nobody wants it any more.

    The first item, an empty fragment, says that the stream is open: opening may take seconds, for a library is loaded
    then, and must not count as the provider's silence.
    """

    def __init__(self, open_stream: Callable[[], Iterator[str | Answer]]) -> None:
        self.items: queue.SimpleQueue[str | Answer | BaseException] = queue.SimpleQueue()
        self._open = open_stream
        self._stream: Iterator[str | Answer] = iter(())
        self._abandoned = threading.Event()

    def start(self) -> None:
        # The context carries the log tags of the run that asks.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._read,), name="llm-reader", daemon=True).start()

    def abandon(self) -> None:
        """Want no more; a connection that can be interrupted is."""
        self._abandoned.set()
        if isinstance(self._stream, Interruptible):
            self._stream.hang_up()

    def _read(self) -> None:
        try:
            self._stream = self._open()
            for item in itertools.chain([""], self._stream):
                if self._abandoned.is_set():
                    return
                self.items.put(item)
            self.items.put(ModelError("LLM_INCOMPLETE", "The model ended without an answer.", retryable=True))
        except BaseException as error:  # noqa: BLE001  lost in a thread, else: the one who asks raises it
            self.items.put(error)
