"""What the bot says, in the language it was spoken to, as Feishu's rich text: what a model wrote is a text in it and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import override

from connectors.models import BotMessage
from openintern.text import shorten, storable
from runs.models import Run

#: In characters. A rich text has at most 30 KB, and a character takes up to seven bytes of it.
LONGEST: Final = 4_000
_HAN: Final = re.compile("[\u3400-\u9fff]")
#: How a client would be told to call somebody, or everybody.
_CALL: Final = re.compile(r"<(?=/?\s*at\b)", re.IGNORECASE)


@contextmanager
def in_the_language_of(text: str) -> Iterator[None]:
    """Speak Chinese to who writes Chinese, and English to others."""
    with override("zh-hans" if _HAN.search(text) else "en"):
        yield


def session_key(message: BotMessage) -> str:
    """Return the conversation that a message belongs to; of each person it is another one."""
    about = f"{message.connector_id} {message.conversation}"
    return "s_feishu_" + hashlib.sha256(about.encode()).hexdigest()[:32]


def post(text: str, *, link: str = "", label: str = "") -> dict[str, Any]:
    """Return a rich text: one text, and a link below it."""
    said = _CALL.sub("<\u200b", shorten(str(storable(text)), LONGEST))
    lines: list[list[dict[str, str]]] = [[{"tag": "text", "text": said}]]
    if link:
        lines.append([{"tag": "a", "text": label, "href": link}])
    return {"zh_cn": {"content": lines}}


def outcome(run: Run) -> dict[str, Any]:
    """Say how a run ended: its answer, or why there is none."""
    match run.status:
        case Run.Status.COMPLETED if run.output and len(run.output) <= LONGEST:
            return post(run.output)
        case Run.Status.COMPLETED if run.output:
            return _with_trace(run.output, run, label=_("The whole answer"))
        case Run.Status.COMPLETED:
            return _with_trace(_("It is done, without an answer in words."), run)
        case Run.Status.CANCELLED:
            return _with_trace(_("The run was cancelled."), run)
    error = run.error or {}
    told = _("The run failed: %(message)s (%(code)s)") % {
        "message": error.get("message", ""), "code": error.get("code", ""),
    }  # fmt: skip
    return _with_trace(told, run)


def waits(run: Run) -> dict[str, Any]:
    """Say that a run goes on when a person has decided."""
    return _with_trace(_("I need a decision before I can go on."), run, label=_("Decide it"))


def unknown(open_id: str) -> str:
    """Say to whom nobody here corresponds how that can change."""
    return _("I don’t know you here yet. An admin can say who you are, with this id: %(id)s") % {"id": open_id}


def _with_trace(text: str, run: Run, *, label: str = "") -> dict[str, Any]:
    """Say it with a link to the run; where the site's own address isn't known, with the run's id."""
    public = settings.CONFIG.server.public_url
    if public:
        return post(text, link=public + reverse("trace", args=[run.pk]), label=label or _("The run"))
    id_line = f"\n{run.pk}"
    return post(shorten(text, LONGEST - len(id_line)) + id_line)
