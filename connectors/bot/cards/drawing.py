"""What a card shows: the call as it would run. All of it is plain text: nothing that a model wrote becomes a sign of Feishu's.

Each text is there in both languages; Feishu shows the reader theirs.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from openintern.text import shorten, storable
from runs.approvals import Verdict
from runs.models import Approval

#: In bytes. A card has at most 30 KB, and a byte of this takes up to four of it.
LONGEST_ARGUMENTS: Final = 5_000
_LONGEST: Final = 300
_LANGUAGES: Final = {"en_us": "en", "zh_cn": "zh-hans"}
_COLOURS: Final = {
    Approval.Status.PENDING: "orange",
    Approval.Status.APPROVED: "green",
    Approval.Status.REJECTED: "red",
}
_OUTCOMES: Final = {
    Approval.Status.APPROVED: gettext_noop("Approved by %(who)s"),
    Approval.Status.REJECTED: gettext_noop("Rejected by %(who)s"),
    Approval.Status.EXPIRED: gettext_noop("Nobody decided in time"),
    Approval.Status.WITHDRAWN: gettext_noop("The run has ended; nothing is to be decided any more"),
}


def drawn(approval: Approval, *, card_id: str, four_eyes: bool, at: datetime) -> dict[str, Any]:
    """Return the card of a question as it stands at `at`."""
    status = standing(approval, at=at)
    arguments, is_whole = shown(approval.arguments)
    elements = [
        _line(gettext_noop("%(risk)s risk · asked for %(who)s"), risk=approval.risk, who=approval.run.user.username),
        _plain(arguments),
        _plain(shorten(f"{approval.reason} ({approval.rule})", _LONGEST)),
    ]
    if status != Approval.Status.PENDING:
        elements.append(_line(_OUTCOMES[status], who=approval.decided_by.username if approval.decided_by else ""))
    elif not is_whole:
        elements.append(
            _line(gettext_noop("There is more of it than a card shows: it can be approved on the page only."))
        )
    elif four_eyes:
        elements.append(_line(gettext_noop("Four eyes: it can be approved on the page only, by another admin.")))
    may_approve = is_whole and not four_eyes
    buttons = _buttons(approval, card_id, may_approve=may_approve) if status == Approval.Status.PENDING else []
    if actions := buttons + _link():
        elements.append({"tag": "action", "actions": actions})
    return {
        "config": {"wide_screen_mode": True, "update_multi": True},
        "header": {
            "template": _COLOURS.get(status, "grey"),
            "title": _text(gettext_noop("May the agent run %(tool)s?"), tool=approval.tool),
        },
        "elements": elements,
    }


def standing(approval: Approval, *, at: datetime) -> Approval.Status:
    """Return how it stands, also where its time is over and nobody has written that down yet."""
    status = Approval.Status(approval.status)
    return Approval.Status.EXPIRED if status == Approval.Status.PENDING and approval.expires_at <= at else status


def shown(arguments: dict[str, Any]) -> tuple[str, bool]:
    """Return the arguments as far as a card has room, and whether that is all. What isn't seen whole isn't approved there."""
    text = json.dumps(storable(arguments), ensure_ascii=False, indent=2)
    content = text.encode()
    if len(content) <= LONGEST_ARGUMENTS:
        return text, True
    return content[:LONGEST_ARGUMENTS].decode(errors="ignore") + "…", False


def toast(kind: str, text: str) -> dict[str, Any]:
    """Return what Feishu shows to who has pressed: `success`, `info`, `warning` or `error`."""
    said = _text(text)
    return {"type": kind, "content": said["content"], "i18n": said["i18n"]}


def _plain(text: str) -> dict[str, Any]:
    return {"tag": "div", "text": {"tag": "plain_text", "content": text}}


def _line(text: str, **values: str) -> dict[str, Any]:
    return {"tag": "div", "text": _text(text, **values)}


def _text(text: str, **values: str) -> dict[str, Any]:
    """A text in both languages."""
    told = {}
    for name, language in _LANGUAGES.items():
        with override(language):
            told[name] = _(text) % values if values else _(text)
    return {"tag": "plain_text", "content": told["en_us"], "i18n": told}


def _buttons(approval: Approval, card_id: str, *, may_approve: bool) -> list[dict[str, Any]]:
    """What is pressed says which question it answers, and to which call exactly."""
    offered = [(Verdict.REJECT, gettext_noop("Reject"), "danger")]
    if may_approve:
        offered.insert(0, (Verdict.APPROVE, gettext_noop("Approve once"), "primary"))
    return [
        {
            "tag": "button",
            "text": _text(label),
            "type": kind,
            "value": {"card": card_id, "digest": approval.digest, "verdict": verdict.value},
        }
        for verdict, label, kind in offered
    ]


def _link() -> list[dict[str, Any]]:
    """The way to the page, where the site's own address is known."""
    public = settings.CONFIG.server.public_url
    if not public:
        return []
    url = public + reverse("approvals")
    return [{"tag": "button", "text": _text(gettext_noop("All that waits")), "type": "default", "url": url}]
