"""The work: a message becomes a run, and what comes of the run is told. Whoever goes on finds everything in the database.

A claim is a lease, and its end is the number that fences it: who has lost it writes nothing. A reply is sent under an id that
is the message's own, so that Feishu knows a second sending for an hour; after that we don't send it again by ourselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from connectors.bot import happenings, people, saying
from connectors.feishu import requests
from connectors.feishu.answers import Busy, Denied, Refusal
from connectors.feishu.asking import Asker, asker
from connectors.feishu.values import is_token
from connectors.models import BotMessage, Connector
from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from openintern.tenancy.scope import Scope
from runs import lifecycle
from runs.models import Run

logger = structlog.get_logger(__name__)

#: How long a message belongs to who claimed it without a word.
LEASE: Final = timedelta(seconds=60)
#: How often it is tried to get on with it. All tries lie within the hour in which Feishu knows a reply again.
MOST_TRIES: Final = 12
LONGEST_PAUSE: Final = 600.0
#: For how long a reply may be sent again whose arrival isn't known.
REPEATABLE: Final = timedelta(minutes=50)
#: How often somebody hears that nothing comes of what they say.
REFUSED_EVERY: Final = timedelta(hours=1)
_NOT_KNOWN: Final = "It isn't known whether the answer arrived, and Feishu wouldn't know it again"
State = BotMessage.State


class Lost(Exception):
    """The message is somebody else's by now, or its connector is gone."""


@dataclass
class Talk:
    """A claimed message, as long as it is ours: until `lease`, which is also how we know it."""

    message: BotMessage
    org: Organization
    lease: datetime

    @property
    def connector(self) -> Connector:
        """Whose bot it is for."""
        return self.message.connector

    def keep(self) -> None:
        """Renew the lease. Raises Lost."""
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, [LEASE.total_seconds(), self.message.pk, self.lease])
            row = cursor.fetchone()
        if row is None:
            raise Lost
        self.lease = row[0]

    def move(self, **changes: Any) -> None:
        """Write to the message. Raises Lost."""
        if not BotMessage.objects.filter(pk=self.message.pk, available_at=self.lease).update(**changes):
            raise Lost

    def end(self, state: State, *, problem: str = "") -> None:
        """Let nothing more happen to it. Raises Lost."""
        self.move(state=state, problem=problem[:300], ended_at=Now())

    def wait(self, *, seconds: float, problem: str) -> None:
        """Leave it alone for a while. Raises Lost."""
        pause = timedelta(seconds=pause_after(self.message.tries, least=seconds))
        self.move(available_at=Now() + pause, problem=problem[:300])


def pause_after(tries: int, *, least: float) -> float:
    """Return for how many seconds a message is left alone after so many tries."""
    return min(max(least, 2.0**tries), LONGEST_PAUSE)


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a message waits to be got on with, or its run is under way."""
    condition = "state IN ('received', 'running') AND available_at <= clock_timestamp()"
    return organizations_where(table="connectors_botmessage", condition=condition, values={})


def work_round(orgs: Sequence[Organization], is_stopping: Callable[[], bool]) -> int:
    """Get on with a message in each organisation; return how many there were to get on with."""
    return in_each(orgs, lambda org: not is_stopping() and work_next(org) is not None, doing="answering messages")


def work_next(org: Organization) -> BotMessage | None:
    """Get on with the message that waits longest; None if none can be got on with. Inside the organisation."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE.total_seconds()])
        row = cursor.fetchone()
    if row is None:
        return None
    message: BotMessage = BotMessage.objects.select_related("connector__project").get(pk=row[0])
    talk = Talk(message, org, row[1])
    try:
        with saying.in_the_language_of(message.text):
            _get_on(talk)
    except Lost:
        logger.info("a message was taken from its worker", message=message.pk)
    return message


def _get_on(talk: Talk) -> None:
    if talk.message.tries > MOST_TRIES:
        talk.end(State.FAILED, problem=talk.message.problem or "It was tried too often")
        return
    try:
        with asker(talk.connector, before_each=talk.keep) as asking:
            _begin(talk, asking) if talk.message.state == State.RECEIVED else _tell(talk, asking)
    except Refusal as refusal:
        talk.end(State.FAILED, problem=str(refusal))
    except Denied as denied:  # it may be set right meanwhile
        talk.wait(seconds=0, problem=str(denied))
    except Busy as busy:
        talk.wait(seconds=busy.after, problem=str(busy))


def _begin(talk: Talk, asking: Asker) -> None:
    """Make a task of a message that is for the bot, in the name of whoever its sender is here."""
    message = talk.message
    if not message.is_private and _own_id(talk, asking) not in message.mentions:
        talk.end(State.IGNORED)
        return
    scope = people.scope_of(talk.connector, message.sender, org=talk.org)
    if scope is None:
        _refuse(talk, asking, saying.unknown(message.sender))
    elif not people.may_ask(scope):
        _refuse(talk, asking, _("Your role here doesn’t allow you to give tasks."))
    elif not message.text:
        _refuse(talk, asking, _("I read text only. What may I do for you?"))
    else:
        try:
            _start(talk, scope)
        except OpenInternError as refusal:
            if refusal.status in (429, 503):
                raise Busy(refusal.message, after=float((refusal.details or {}).get("retry_after", 10))) from refusal
            _refuse(talk, asking, _(refusal.message))


@transaction.atomic
def _start(talk: Talk, scope: Scope) -> None:
    """The run and the note that it was started commit together. Raises what `create_run` does, and Lost."""
    message = talk.message
    mine = BotMessage.objects.filter(pk=message.pk, state=State.RECEIVED, available_at=talk.lease)
    if mine.select_for_update().first() is None:
        raise Lost
    run = lifecycle.create_run(scope, text=message.text, session_key=saying.session_key(message), at=timezone.now())
    talk.move(state=State.RUNNING, run_id=run.pk, tries=0, problem="", available_at=Now(), told_at=Now())


def _tell(talk: Talk, asking: Asker) -> None:
    """Tell how the run ended, or that it waits for a person."""
    run = Run.objects.filter(pk=talk.message.run_id).first()
    if run is None:
        talk.end(State.FAILED, problem="The run is gone")
    elif run.is_final:
        _reply(talk, asking, saying.outcome(run), once=talk.message.pk)
        talk.end(State.ANSWERED)
    elif (latest := happenings.latest_question(run)) is not None:
        told = round(talk.message.told_at.timestamp() * 1_000_000)
        _reply(talk, asking, saying.waits(run), once=f"{talk.message.pk}-{told}")
        talk.move(told_at=latest, reply_begun_at=None, tries=0, problem="", available_at=Now())
    else:  # it was answered just now
        talk.move(tries=F("tries") - 1, available_at=Now())


def _refuse(talk: Talk, asking: Asker, text: str) -> None:
    """Say why nothing comes of it, once an hour to each."""
    told = BotMessage.objects.filter(
        connector=talk.connector, sender=talk.message.sender, state=State.ANSWERED, run_id="",
        ended_at__gt=Now() - REFUSED_EVERY,
    )  # fmt: skip
    if told.exists():
        talk.end(State.IGNORED, problem=text)
        return
    _reply(talk, asking, saying.post(text), once=talk.message.pk)
    talk.end(State.ANSWERED, problem=text)


def _reply(talk: Talk, asking: Asker, content: dict[str, Any], *, once: str) -> None:
    """Answer the message. Raises Refusal where it isn't known whether an earlier try arrived, and Feishu has forgotten it."""
    begun = talk.message.reply_begun_at
    if begun is None:
        talk.move(reply_begun_at=Now())
    elif timezone.now() - begun > REPEATABLE:
        raise Refusal("IN_DOUBT", _NOT_KNOWN)
    message = talk.message
    asking.ask(requests.reply(message.message_id, content, kind="post", once=once, in_thread=message.in_thread))


def _own_id(talk: Talk, asking: Asker) -> str:
    """The bot's own id, by which others mention it; asked for once."""
    if talk.connector.bot_open_id:
        return talk.connector.bot_open_id
    bot = asking.ask(requests.bot()).get("bot")
    own = bot.get("open_id") if isinstance(bot, dict) else None
    if not is_token(own):
        raise Refusal("NO_BOT", "The app has no bot: turn it on at Feishu")
    Connector.objects.filter(pk=talk.connector.pk, app_id=talk.connector.app_id).update(bot_open_id=own)
    return own


_RENEW: Final = """
    UPDATE connectors_botmessage SET available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = %s AND available_at = %s RETURNING available_at
"""
_CLAIM: Final = f"""
    UPDATE connectors_botmessage SET tries = tries + 1, available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT message.id FROM connectors_botmessage AS message LEFT JOIN runs_run AS run ON run.id = message.run_id
        WHERE message.state IN ('received', 'running') AND message.available_at <= clock_timestamp()
          AND (message.state = 'received' OR run.id IS NULL OR run.ended_at IS NOT NULL
               OR (run.status = 'waiting' AND {happenings.ASKS_SINCE}))
        ORDER BY message.available_at, message.id LIMIT 1 FOR UPDATE OF message SKIP LOCKED)
    RETURNING id, available_at
"""  # noqa: S608  ours
