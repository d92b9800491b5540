"""The two WebSockets: a run's console and a person's inbox. `docs/api.md` says what is spoken there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, cast

from django.db.models import Count, Q
from django.http import QueryDict
from django.urls import path
from django.utils import timezone

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.live.bulletin import Bulletins
from openintern.live.feed import Gone
from openintern.live.frames import now, taken_apart
from openintern.live.reading import read
from openintern.live.sockets import ENDED, GONE, NOT_YOU, NotYou, Socket
from openintern.live.stream import PING, Full, Stream
from openintern.paging import whole_number
from openintern.tenancy import audit
from openintern.tenancy.access import access
from openintern.tenancy.renewal import Credential, renew
from openintern.tenancy.scope import Scope, org_scope
from runs import approvals, lifecycle, urls  # noqa: F401  `urls` registers the converters
from runs.approvals import Decision, Verdict
from runs.models import Approval, Run
from runs.stream import hub, organization_of, readable

_MOST_WAITING: Final = 1000  # changes that a slow client is kept; after that it is told to look again


@access("run", GET="read")
class Console(Socket):
    """One run: its events as they come, and a way to speak to it, to decide what it asks, and to stop it."""

    #: What each command does to what, as the policy table names it.
    ACTIONS: ClassVar[dict[str, tuple[str, str]]] = {
        "inject": ("run", "inject"),
        "cancel": ("run", "cancel"),
        "approve": ("approval", "decide"),
        "reject": ("approval", "decide"),
    }

    async def open(self) -> None:
        """Follow the run from `after_seq` on. What can't be seen is refused like what isn't there."""
        after = _after_seq(self.scope)
        try:
            stream = Stream(hub, self._channel, subscriber=self.credential, about={"runId": self._run_id})
            has_more = await stream.open(after)
        except Full as error:
            raise OpenInternError(
                "UNAVAILABLE", "Too many streams are open; try again", details={"retry_after": 5}
            ) from error
        except Gone as error:
            raise NotFound("Run") from error
        await self.accept()
        self.spawn(self._watch(stream) if has_more else self._end())

    def obey(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command, with the rights of this moment."""
        name = str(command.get("command"))
        if name not in self.ACTIONS:
            raise Invalid("command", f"Must be one of: {', '.join(self.ACTIONS)}")
        scope = renew(self.credential, at=timezone.now())
        if scope is None:
            raise NotYou
        with org_scope(scope.org):
            self._require(scope, *self.ACTIONS[name])
            match name:
                case "cancel":
                    lifecycle.cancel_run(scope, self._run_id, at=timezone.now())
                case "inject":
                    lifecycle.inject_message(scope, self._run_id, message=_text(command, "message"))
                case _:
                    call_id, decision = _text(command, "tool_call_id"), _decision(command, Verdict(name))
                    approvals.decide(scope, self._run_id, call_id, decision, at=timezone.now())
        return {"run_id": self._run_id}

    def _require(self, scope: Scope, resource: str, action: str) -> None:
        if not self.credential.allows(scope, resource, action):
            right = f"{resource}.{action}"
            audit.record(right, org=scope.org, actor=scope.user, via=scope.via, object_id=self._run_id, refused=True)
            raise OpenInternError("FORBIDDEN", "Your role doesn't allow this")

    async def _watch(self, stream: Stream) -> None:
        """Tell what the stream tells; when it ends, say by the code why."""
        last = ""
        async for chunk in stream.body():
            for event, message in taken_apart(chunk):
                await self.send(text_data=message)
                last = event
        if last != "gone":
            return await self.part(ENDED)
        return await self.part(GONE if await read(_holds, self.credential) else NOT_YOU)

    async def _end(self) -> None:
        """The run is over, and the client has all of it."""
        await self.tell("connected", {"runId": self._run_id, "ts": now()})
        await self.part(ENDED)

    @property
    def _run_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["run_id"])

    @property
    def _channel(self) -> str:
        return f"{self.credential.scope.org.schema_name}:{self._run_id}"


@access("run", GET="read")
class Inbox(Socket):
    """What changes among the runs that a person may see: which run, how it stands, and what it asks people."""

    async def open(self) -> None:
        """Watch the organisation. What was before is on the pages and in the API."""
        self.subscriber: Hashable = self.credential
        self._waiting: dict[str, RunState] = {}
        self._has_missed = False
        self._something = asyncio.Event()
        self._schema = self.credential.scope.org.schema_name
        await self.accept()
        _bulletins.join(self, self._schema)
        self.spawn(self._watch())

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "_schema"):
            _bulletins.leave(self, self._schema)
        await super().disconnect(code)

    def note(self, changes: Mapping[str, Hashable]) -> None:
        """Keep the newest state of each run until it is sent."""
        self._waiting |= cast(Mapping[str, RunState], changes)
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.clear()
            self._has_missed = True
        self._something.set()

    def miss(self) -> None:
        self._has_missed = True
        self._something.set()

    def end(self) -> None:
        self.spawn(self.part(NOT_YOU))

    async def _watch(self) -> None:
        await self.tell("connected", {"ts": now()})
        while True:
            try:
                async with asyncio.timeout(PING):
                    await self._something.wait()
            except TimeoutError:
                await self.tell("ping", {"ts": now()})
                continue
            await self._send_what_waits()

    async def _send_what_waits(self) -> None:
        self._something.clear()
        waiting, self._waiting = self._waiting, {}
        missed, self._has_missed = self._has_missed, False
        for run_id, state in waiting.items():
            await self.tell("run.changed", {"run_id": run_id, **state._asdict()})
        if missed:
            await self.tell("missed", {"ts": now()})


class RunState(NamedTuple):
    """How a run stands. `approvals` are those of its calls that wait for a person's decision."""

    status: str
    approvals: int


class RunChanges:
    """The states of runs, for the bulletins of `openintern.live`."""

    def states(self, schema: str, ids: Collection[str]) -> Mapping[str, RunState]:
        is_open = Q(approvals__status=Approval.Status.PENDING)
        with org_scope(organization_of(schema)):
            rows = Run.objects.filter(pk__in=ids).annotate(asked=Count("approvals", filter=is_open))
            told = rows.values_list("pk", "status", "asked")
            return {run_id: RunState(status, asked) for run_id, status, asked in told}

    def visible(self, subscriber: Hashable, ids: Collection[str]) -> Collection[str]:
        credential = cast(Credential, subscriber)
        prefix = credential.scope.org.schema_name + ":"
        return {each.removeprefix(prefix) for each in readable(credential, [prefix + run_id for run_id in ids])}

    def holds(self, subscriber: Hashable) -> bool:
        return _holds(cast(Credential, subscriber))


_bulletins = Bulletins(hub.bell, RunChanges(), kind="run_")


def _holds(credential: Credential) -> bool:
    return renew(credential, at=timezone.now()) is not None


def _after_seq(scope: Mapping[str, Any]) -> int:
    query = QueryDict(scope.get("query_string", b""))
    return whole_number(query.get("after_seq"), field="after_seq", default=0, least=0, most=2**31 - 1)


def _text(command: Mapping[str, Any], name: str, *, default: str | None = None) -> str:
    text = command.get(name, default)
    if not isinstance(text, str):
        raise Invalid(name, "Must be a text")
    return text


def _decision(command: Mapping[str, Any], verdict: Verdict) -> Decision:
    """What somebody decided, in the words that the API has for it."""
    if verdict is Verdict.REJECT:
        return Decision(verdict=verdict, note=_text(command, "reason", default=""))
    arguments = command.get("arguments")
    if not isinstance(arguments, dict | None):
        raise Invalid("arguments", "Must be an object")
    covers = _text(command, "covers", default=Approval.Covers.CALL.value)
    return Decision(verdict=verdict, covers=covers, arguments=arguments, note=_text(command, "note", default=""))


urlpatterns = [
    path("ws/runs/<run_id:run_id>", Console.as_asgi()),
    path("ws/inbox", Inbox.as_asgi()),
]
