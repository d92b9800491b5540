"""What the admin pages of roles and groups have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import asker
from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope
from teams import history
from teams.pages.wording import told

Row = TypeVar("Row", bound=Model)

_SHOWN = 30


def is_new(row: Model) -> bool:
    """Whether the row hasn't been saved yet; it has its id already."""
    return row._state.adding  # noqa: SLF001  Django's public name for it


def asked_by(request: HttpRequest, row: Row | None) -> Row | None:
    """Note on a row who looks at it. The page itself serves many people at once and can't remember one."""
    if row is not None:
        row.asked_by = asker(request)  # type: ignore[attr-defined]
    return row


def asker_of(row: Model) -> Scope:
    """Return who looks at a row."""
    return cast(Scope, row.asked_by)  # type: ignore[attr-defined]


def runs_of(came: Mapping[str, Any], *, page: str) -> SafeString:
    """Return what came of runs in a sentence, with the way to the page that shows more."""
    about = _("%(run_count)s runs: %(completed_count)s completed, %(failed_count)s failed") % came
    return format_html('{} · <a href="{}">{}</a>', about, page, _("page"))


def history_of(scope: Scope, object_id: str) -> SafeString:
    """Return the newest of what was done to a role or a group, as a list."""
    entries = told(history.of(scope, object_id, limit=_SHOWN))
    rows = [(f"{one['at']:%Y-%m-%d %H:%M}", one["by"], one["said"], one["about"]) for one in entries]
    return format_html("<ul>{}</ul>", format_html_join("", "<li>{} {} {} {}</li>", rows))


def tell(request: HttpRequest, do: Callable[[], Any]) -> bool:
    """Do something; say so to the person where it is refused, and return whether it was done."""
    try:
        do()
    except OpenInternError as error:
        messages.set_level(request, messages.ERROR)
        messages.error(request, error.message)
        return False
    return True
