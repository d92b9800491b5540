"""`/v1`: an API key in `Authorization`, a run for each call, its answer streamed or whole. `docs/api.md` says the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from openintern.errors import NotFound, OpenInternError
from openintern.live.feed import Gone
from openintern.live.reading import DATABASE_AWAY, act, read
from openintern.live.stream import Full, Stream
from openintern.refusals import refusal
from openintern.tenancy.access import access
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.renewal import Credential, credential_of
from openintern.tenancy.scope import Scope, org_scope
from runs import lifecycle
from runs.chat_completions import answers, conversations
from runs.chat_completions.requests import Asked, parse
from runs.chat_completions.telling import Ended, tell
from runs.models import Run
from runs.stream import hub

_leaving: set[asyncio.Task[None]] = set()  # what is still to be done for clients that have gone


@access("run", GET="read")
def models(request: ScopedRequest) -> HttpResponse:
    """The agents that can be talked to, as models."""
    scope = _scope(request)
    listed = [
        {"id": agent, "object": "model", "created": 0, "owned_by": scope.org.slug}
        for agent in conversations.agents(scope)
    ]
    return JsonResponse({"object": "list", "data": listed})


@csrf_exempt  # a session's cookie opens nothing here
@access("run", POST="create")
async def chat_completions(request: ScopedRequest) -> HttpResponseBase:
    """Answer the last message of a talk. Whoever hangs up before the end cancels the run."""
    try:
        return await _answer(request)
    except conversations.Busy as busy:
        response = refusal(request, OpenInternError("CONFLICT", _busy_note(request, busy.run)))
        response["x-should-retry"] = "false"  # a person may take days
        return response
    except OpenInternError as error:
        return refusal(request, error)
    except DATABASE_AWAY:
        return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))


async def _answer(request: ScopedRequest) -> HttpResponseBase:
    if request.api_key is None:
        raise OpenInternError("FORBIDDEN", "Send an API key as 'Authorization: Bearer oi_…'")
    if request.content_type != "application/json":
        raise OpenInternError("UNSUPPORTED_MEDIA_TYPE", "Send JSON")
    asked = parse(request.body)
    credential = credential_of(request, at=timezone.now())
    if credential is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    run = await act(_begin, credential.scope, asked, request)
    call = _Call(request, credential, run)
    stream = await call.follow()
    headers = {"X-Run-Id": run.pk, "X-Session-Key": run.session.key}
    if not asked.is_streamed:
        response = await call.whole(stream)
        for name, value in headers.items():
            response[name] = value
        return response
    headers |= {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(
        call.pieces(stream, wants_usage=asked.wants_usage), content_type="text/event-stream", headers=headers
    )


def _begin(scope: Scope, asked: Asked, request: ScopedRequest) -> Run:
    with org_scope(scope.org):
        return conversations.begin(
            scope,
            asked,
            session_key=request.headers.get("X-Session-Key", ""),
            idempotency_key=request.headers.get("Idempotency-Key"),
            at=timezone.now(),
        )


class _Call:
    """One call under way: its run, and whoever listens."""

    def __init__(self, request: ScopedRequest, credential: Credential, run: Run) -> None:
        self._request = request
        self._credential = credential
        self._run_id = run.pk
        self._form = answers.Form.of(run)
        self._note = _waiting_note(request, run)

    async def follow(self) -> Stream:
        """Begin to listen. Raises UNAVAILABLE, and ends the run, where there is no room for another listener."""
        channel = f"{self._credential.scope.org.schema_name}:{self._run_id}"
        try:
            stream = Stream(hub, channel, subscriber=self._credential, about={"runId": self._run_id})
            await stream.open(0)
        except Full as error:
            await act(self._cancel)
            raise OpenInternError(
                "UNAVAILABLE", "Too many streams are open; try again", details={"retry_after": 5}
            ) from error
        except Gone as error:
            raise NotFound("Run") from error
        return stream

    async def whole(self, stream: Stream) -> HttpResponse:
        """Wait for the end, and answer in one piece."""
        text = ""
        async with aclosing(self._tell(stream)) as talk:
            async for told in talk:
                if isinstance(told, str):
                    text += told
                    continue
                if told.error:
                    return _failed(self._request, told)
                usage = await read(self._usage)
                return JsonResponse(self._form.whole(text, finish_reason=told.finish_reason, usage=usage))
        raise NotFound("Run")

    async def pieces(self, stream: Stream, *, wants_usage: bool) -> AsyncIterator[bytes]:
        """The body of a streamed answer. A comment now and then keeps the line open in a long silence."""
        async with aclosing(self._tell(stream)) as talk:
            yield self._form.chunk({"role": "assistant", "content": ""})
            async for told in talk:
                if isinstance(told, str):
                    yield self._form.chunk({"content": told}) if told else b": working\n\n"
                elif told.error:
                    yield answers.failure(told.error)
                else:
                    yield self._form.chunk({}, finish_reason=told.finish_reason)
                    if wants_usage:
                        yield self._form.usage(await read(self._usage))
        yield b"data: [DONE]\n\n"

    async def _tell(self, stream: Stream) -> AsyncGenerator[str | Ended]:
        """As `tell`; a run that waits for a person says so. A listener that leaves before the end takes the run along."""
        has_ended = has_spoken = False
        try:
            async with aclosing(tell(stream)) as talk:
                async for told in talk:
                    has_ended = isinstance(told, Ended)
                    if isinstance(told, Ended) and told.waits:
                        yield ("\n\n" if has_spoken else "") + self._note
                    has_spoken = has_spoken or bool(told)
                    yield told
        finally:
            if not has_ended:
                _see_to(act(self._cancel))

    def _cancel(self) -> None:
        scope = self._credential.scope
        with org_scope(scope.org):
            try:
                lifecycle.cancel_run(scope, self._run_id, at=timezone.now())
            except OpenInternError as error:
                if error.code not in {"RUN_ALREADY_FINISHED", "NOT_FOUND"}:
                    raise

    def _usage(self) -> dict[str, int]:
        scope = self._credential.scope
        with org_scope(scope.org):
            return answers.usage_of(lifecycle.find_run(scope, self._run_id))


def _see_to(work: Coroutine[Any, Any, None]) -> None:
    """Do something although the request that it was for has been cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    _leaving.add(task)
    task.add_done_callback(_leaving.discard)


def _failed(request: ScopedRequest, ended: Ended) -> HttpResponse:
    """A run that failed. To send it again would do all of it again, so clients that repeat by themselves are told not to."""
    error = ended.error or {}
    response = refusal(request, OpenInternError(error["code"], error["message"]))
    response.status_code = 422
    response["x-should-retry"] = "false"
    return response


def _waiting_note(request: ScopedRequest, run: Run) -> str:
    where = request.build_absolute_uri(f"/trace/{run.pk}")
    return _("This task waits for a person to decide: %(where)s") % {"where": where}


def _busy_note(request: ScopedRequest, run: Run) -> str:
    where = request.build_absolute_uri(f"/trace/{run.pk}")
    if run.status == Run.Status.WAITING:
        return _("The conversation's last task waits for a person to decide: %(where)s") % {"where": where}
    return _("The conversation's last task is still under way: %(where)s") % {"where": where}


def _scope(request: ScopedRequest) -> Scope:
    if request.asker is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    return request.asker
