"""A run's events as they come: `GET /api/runs/<run>/stream`, server-sent events.

`openintern.live` keeps the streams going; here is what it reads and who may read it. A channel is "<schema>:<run id>",
the payload of `runs.log.notify`; clients never name one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping
from functools import partial
from typing import Any, cast

from django.db.models.functions import Length
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django_eventstream.channelmanager import ChannelManagerBase
from django_eventstream.event import Event as LibraryEvent
from django_eventstream.storage import StorageBase

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.ids import span_id
from openintern.live.feed import Gone, News, Position
from openintern.live.frames import Frame, Passage, encode
from openintern.live.hub import Hub
from openintern.live.reading import DATABASE_AWAY
from openintern.live.stream import Full, Stream
from openintern.refusals import refusal
from openintern.tenancy import schemas
from openintern.tenancy.access import access
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.models import Organization
from openintern.tenancy.policy import allows
from openintern.tenancy.renewal import Credential, credential_of, renew
from openintern.tenancy.scope import org_scope
from runs.events import TERMINAL, EventType
from runs.log import CHANNEL
from runs.models import Event, LiveText, Run

PAGE = 100  # events told at once

_CURSOR = re.compile(r"[0-9]{1,18}")


@access("run", GET="read")
async def stream(request: ScopedRequest, run_id: str) -> HttpResponseBase:
    """Stream the run's events after `Last-Event-ID`, else after `?cursor=`, else from the first.

    Ends after the run's terminal event; 204 if the client has that already. Every refusal comes before the first byte.
    """
    try:
        return await _answer(request, run_id)
    except OpenInternError as error:
        return refusal(request, error)
    except DATABASE_AWAY:
        return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))


async def _answer(request: ScopedRequest, run_id: str) -> HttpResponseBase:
    if request.method != "GET":
        raise OpenInternError("METHOD_NOT_ALLOWED", "A stream can only be read: GET")
    credential = credential_of(request, at=timezone.now())
    if credential is None:
        raise NotFound("Run")
    channel = f"{credential.scope.org.schema_name}:{run_id}"
    try:
        live = Stream(hub, channel, subscriber=credential, about={"runId": run_id})
        has_more = await live.open(_cursor(request))
    except Full as error:
        raise OpenInternError(
            "UNAVAILABLE", "Too many streams are open; try again", details={"retry_after": 5}
        ) from error
    except Gone as error:
        raise NotFound("Run") from error
    if not has_more:
        return HttpResponse(status=204)
    return StreamingHttpResponse(
        live.body(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _cursor(request: ScopedRequest) -> int:
    """Return the number of the last event the client has. The header, which a browser sends by itself, wins."""
    if "es-meta" in request.GET:
        raise Invalid("es-meta", "Not understood here")
    header = request.headers.get("Last-Event-ID", "").strip()
    field, text = ("Last-Event-ID", header) if header else ("cursor", request.GET.get("cursor", "").strip())
    if not text:
        return 0
    if not _CURSOR.fullmatch(text):
        raise Invalid(field, "Must be the number of an event")
    return int(text)


class RunChannels(ChannelManagerBase):  # type: ignore[misc]
    """Whoever may see a run may follow it, for as long as they may see it."""

    def can_read_channel(self, user: Credential, channel: str) -> bool:
        return channel in readable(user, [channel])

    def is_channel_reliable(self, channel: str) -> bool:
        """Every event is in the table."""
        return True


class EventTableStorage(StorageBase):  # type: ignore[misc]
    """The event table as the library's storage. It only reads: `runs.log.append` alone writes events."""

    def get_events(self, channel: str, last_id: int, limit: int = PAGE) -> list[LibraryEvent]:
        """Return at most `limit` events after `last_id`; the data of each is its `Frame`."""
        org, run_id = _parse(channel)
        with org_scope(org):
            run = _find(run_id)
            return [
                LibraryEvent(channel, "run.event", frame, id=frame.seq)
                for frame in _frames(run, after=last_id, limit=limit)
            ]

    def get_current_id(self, channel: str) -> int:
        return RunSource().extent(channel)[0]


class RunSource:
    """The news of runs, for the feeds of `openintern.live`."""

    def extent(self, channel: str) -> tuple[int, bool]:
        org, run_id = _parse(channel)
        with org_scope(org):
            run = _find(run_id)
            return run.last_seq, run.is_final

    def news(self, channel: str, after: int) -> News:
        """Text first, events after it: what of an answer is missing then is in the event that concludes it."""
        org, run_id = _parse(channel)
        with org_scope(org):
            run = _find(run_id)
            frames = _frames(run, after=after, limit=PAGE) if run.last_seq > after else ()
            return News(frames, _passage(run), has_more=len(frames) == PAGE)

    def moved(self, positions: Mapping[str, Position]) -> Collection[str]:
        by_schema: dict[str, dict[str, Position]] = defaultdict(dict)
        for channel, position in positions.items():
            schema, _, run_id = channel.partition(":")
            by_schema[schema][run_id] = position
        return {f"{schema}:{run_id}" for schema, runs in by_schema.items() for run_id in _moved_runs(schema, runs)}

    def readable(self, subscriber: Hashable, channels: Collection[str]) -> Collection[str]:
        return readable(cast("Credential", subscriber), channels)


hub = Hub(notify_channel=CHANNEL, source=RunSource())


def readable(credential: Credential, channels: Collection[str]) -> set[str]:
    """Return those of the channels whose run the credential's holder may see at this moment."""
    scope = renew(credential, at=timezone.now())
    if scope is None or not allows(scope.role, "run", "read"):
        return set()
    prefix = scope.org.schema_name + ":"
    run_ids = [channel.removeprefix(prefix) for channel in channels if channel.startswith(prefix)]
    with org_scope(scope.org):
        return {
            prefix + run_id
            for run_id in Run.objects.for_scope(scope).filter(pk__in=run_ids).values_list("pk", flat=True)
        }


def _moved_runs(schema: str, positions: Mapping[str, Position]) -> Collection[str]:
    try:
        with org_scope(organization_of(schema)):
            rows = Run.objects.filter(pk__in=positions).values_list(
                "pk", "last_seq", "live_text__attempt", "live_text__step", Length("live_text__text")
            )
            now = {
                pk: Position(seq, None if attempt is None else (attempt, step), length or 0)
                for pk, seq, attempt, step, length in rows
            }
    except (OpenInternError, Organization.DoesNotExist):
        return positions.keys()  # each feed finds out for itself
    return [run_id for run_id, position in positions.items() if now.get(run_id) != position]


_organizations: dict[str, Organization] = {}


def organization_of(schema: str) -> Organization:
    """Return the organisation of that schema; asked once per process, unless its schema is behind the code."""
    if schema not in _organizations:
        org = Organization.objects.get(schema_name=schema)
        if not schemas.is_current(org):
            return org
        _organizations[schema] = org
    return _organizations[schema]


def _parse(channel: str) -> tuple[Organization, str]:
    schema, _, run_id = channel.partition(":")
    try:
        return organization_of(schema), run_id
    except Organization.DoesNotExist as error:
        raise Gone from error


def _find(run_id: str) -> Run:
    """Return the run with what its events' envelopes need, and the text of the answer that is being written."""
    runs = Run.objects.select_related("session", "live_text").only(
        *("status", "last_seq", "agent_id", "group_id", "root_span_id", "session__key"),
        *("live_text__attempt", "live_text__step", "live_text__agent_id", "live_text__text"),
    )
    run = runs.filter(pk=run_id).first()
    if run is None:
        raise Gone
    return run


def _frames(run: Run, *, after: int, limit: int) -> tuple[Frame, ...]:
    events = Event.objects.filter(run=run, seq__gt=after).order_by("seq")[:limit]
    return tuple(_frame(event, run) for event in events)


def _frame(event: Event, run: Run) -> Frame:
    return Frame(
        seq=event.seq,
        body=encode("run.event", event.envelope(run), seq=event.seq),
        is_last=event.type in TERMINAL,
        ends_answer=_answer_of(event, run) if event.type == EventType.LLM_CALLED else None,
    )


def _answer_of(event: Event, run: Run) -> Passage:
    return _passage_of(run, event, event.payload.get("text") or "")


def _passage(run: Run) -> Passage | None:
    live: LiveText | None = getattr(run, "live_text", None)
    return _passage_of(run, live, live.text) if live else None


def _passage_of(run: Run, said: Event | LiveText, text: str) -> Passage:
    return Passage(key=(said.attempt, said.step), text=text, encode_piece=partial(_token, run, said))


def _token(run: Run, said: Event | LiveText, piece: str, offset: int, index: int) -> bytes:
    """Encode a piece of an answer. It is no logged event: it has no number, and a reconnecting client gets it anew."""
    payload: dict[str, Any] = {"token": piece, "tokenIndex": index, "offset": offset, "stepNumber": said.step}
    event = Event(
        run=run, seq=0, at=timezone.now(), type=EventType.LLM_TOKEN, step=said.step, attempt=said.attempt,
        agent_id=said.agent_id or run.agent_id, span_id=span_id(), payload=payload,
    )  # fmt: skip
    envelope = event.envelope(run)
    del envelope["seq"]
    return encode("run.event", envelope)
