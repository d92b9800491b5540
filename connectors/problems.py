"""Why a list or a source can't be had, for people: the codes that rows keep."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

SENTENCES: Final = {
    "GONE": gettext_noop("It isn’t there any more."),
    "FORBIDDEN": gettext_noop("The app may not see it. Share it with the app at Feishu."),
    "BAD_ANSWER": gettext_noop("Feishu’s answer makes no sense."),
    "PAGES_REPEAT": gettext_noop("Its list comes back to where it was; it was not seen to its end."),
    "TOO_MANY_PAGES": gettext_noop("Its list doesn’t end."),
    "TOO_LARGE": gettext_noop("It is too large for one memory. Split it."),
    "SECRETS": gettext_noop("It holds what looks like a secret, and this organisation keeps none."),
    "NO_ROOM": gettext_noop("The project remembers as much as one can."),
    "GIVEN_UP": gettext_noop("Reading it was interrupted three times. It is tried again when it changes."),
}


def sentence(problem: str) -> str:
    """Return the sentence for a problem; an unknown one is a code of Feishu's, which says itself."""
    known = SENTENCES.get(problem)
    return _(known) if known else _("Feishu refuses it (%(code)s).") % {"code": problem}
