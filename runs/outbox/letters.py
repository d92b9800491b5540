"""What is sent, and how: the body of a message, one attempt to deliver it, and when to try again."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from openintern.outgoing import Unreachable, check_url, client
from runs.models import Delivery, Event
from runs.outbox import signing

#: Seconds before each further attempt at a message; after the last it is given up. About a day in all.
PAUSES: Final = (5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
#: Seconds that one attempt may take, and all that a webhook is sent in one go.
ATTEMPT_SECONDS: Final = 15.0
VISIT_SECONDS: Final = 45.0
LONGEST_BODY: Final = 256 * 1024
_GONE: Final = 410


@dataclass(frozen=True)
class Letter:
    """A message as it goes out."""

    delivery_id: int
    message_id: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: the status that was answered, or why there is none."""

    delivery_id: int
    status: int | None = None
    error: str = ""

    @property
    def is_delivered(self) -> bool:
        """Only 2xx says that it was taken; a redirect leads nowhere."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """The receiver wants nothing more."""
        return self.status == _GONE

    @property
    def is_down(self) -> bool:
        """Whether it says something of the receiver, rather than of this one message."""
        return self.status is None or self.status >= 500 or self.status == 429


def letters(org_slug: str, deliveries: Sequence[Delivery]) -> dict[int, Letter | None]:
    """Write the messages; None for one whose run is gone. One question for all their events."""
    wanted = {(each.run_id, each.seq) for each in deliveries if each.run_id}
    events = Event.objects.filter(run_id__in={run for run, _ in wanted}, seq__in={seq for _, seq in wanted})
    found = (
        {(event.run_id, event.seq): event.envelope(event.run) for event in events.select_related("run__session")}
        if wanted
        else {}
    )
    return {each.pk: _letter(org_slug, each, found) for each in deliveries}


def _letter(org_slug: str, delivery: Delivery, events: dict[tuple[str, int], dict[str, Any]]) -> Letter | None:
    data = events.get((delivery.run_id, delivery.seq or 0)) if delivery.run_id else delivery.payload
    if data is None:
        return None
    told = {"type": delivery.type, "timestamp": delivery.created_at.isoformat(), "org_id": org_slug, "data": data}
    body = json.dumps(told, ensure_ascii=False).encode()
    if len(body) > LONGEST_BODY:
        told["data"] = {**{name: value for name, value in data.items() if name != "payload"}, "payload_omitted": True}
        body = json.dumps(told, ensure_ascii=False).encode()
    return Letter(delivery.pk, delivery.message_id, body)


def send(url: str, letters: Sequence[Letter], *, keys: Sequence[str]) -> list[Outcome]:
    """Send messages one after the other; stop at the first that says that the receiver is down. Never raises for its faults."""
    outcomes: list[Outcome] = []
    ends_at = time.monotonic() + VISIT_SECONDS
    for letter in letters:
        if time.monotonic() > ends_at:
            break
        outcomes.append(_attempt(url, letter, keys=keys))
        if outcomes[-1].is_down or outcomes[-1].is_gone:
            break
    return outcomes


def _attempt(url: str, letter: Letter, *, keys: Sequence[str]) -> Outcome:
    headers = signing.headers(letter.message_id, letter.body, keys=keys, timestamp=int(time.time()))
    host = urlsplit(url).hostname
    try:
        with (
            client(within=ATTEMPT_SECONDS) as session,
            session.stream(
                "POST", check_url(url), content=letter.body, headers={**headers, "Content-Type": "application/json"}
            ) as response,
        ):  # what it says besides its status isn't read
            status = response.status_code
    except httpx.TimeoutException:
        return Outcome(letter.delivery_id, error=f"{host} did not answer in time")
    except (httpx.HTTPError, httpx.InvalidURL, Unreachable, UnicodeError) as error:
        return Outcome(letter.delivery_id, error=f"{host} can't be reached: {error}"[:300])
    return Outcome(letter.delivery_id, status, "" if 200 <= status < 300 else f"answered {status}")


def pause_after(attempts: int) -> float | None:
    """Return the seconds until the next attempt, some more or less so that not all come at once; None: there is none."""
    if attempts > len(PAUSES):
        return None
    return PAUSES[attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311  nothing to guess


def pause_of_webhook(failures: int) -> float:
    """Return the seconds that a receiver which is down is left alone."""
    return float(min(5 * 2 ** min(failures - 1, 10), 300)) * random.uniform(0.8, 1.2)  # noqa: S311  nothing to guess
