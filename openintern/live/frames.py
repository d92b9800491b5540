"""What goes over the wire: server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django_eventstream.utils import sse_encode_event


def encode(event: str, data: Any, *, seq: int | None = None) -> bytes:
    """Return one server-sent event. `data` becomes JSON in pure ASCII: nothing in it can end a line or start a field."""
    text: str = sse_encode_event(event, json.dumps(data, separators=(",", ":")), event_id=seq)
    return text.encode("ascii")


def taken_apart(chunk: bytes) -> Iterator[tuple[str, str]]:
    """Yield each event of a stream's bytes: its name, and the message that says the same on a WebSocket.

    `encode` made the bytes, so a field is a line, and `data` is JSON that needs no second look.
    """
    for block in chunk.decode("ascii").split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        yield fields["event"], f'{{"event":"{fields["event"]}","data":{fields["data"]}}}'


def now() -> str:
    """The time as events carry it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Passage:
    """The text of one answer: so far, while it is being written, or whole.

    `key` (attempt, step) says which answer. A client is given what follows its own `offset` (in characters);
    clients at the same place share the bytes.
    """

    def __init__(self, *, key: tuple[int, int], text: str, encode_piece: Callable[[str, int, int], bytes]) -> None:
        self.key = key
        self.text = text
        self._encode_piece = encode_piece
        self._pieces: dict[tuple[int, int], bytes] = {}

    def piece(self, *, offset: int, index: int) -> bytes:
        """Return the event that carries the text from `offset` on, as the client's piece number `index`."""
        place = (offset, index)
        if place not in self._pieces:
            self._pieces[place] = self._encode_piece(self.text[offset:], offset, index)
        return self._pieces[place]


@dataclass(frozen=True, slots=True)
class Frame:
    """One logged event, encoded once for all clients.

    `ends_answer` is the whole text of the answer that the event concludes: whoever follows is given what is missing of
    it first, so that the pieces always add up. Nothing comes after a frame that `is_last`.
    """

    seq: int
    body: bytes
    is_last: bool = False
    ends_answer: Passage | None = None
