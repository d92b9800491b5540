"""What templates need to write figures, times, icons and untrusted text."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from openintern import markdown as markdown_text
from openintern.text import shorten

register = template.Library()

LONGEST_JSON = 20_000


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw one of our icons; without a label it is decoration and screen readers pass over it."""
    told = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html('<svg class="icon" {}><use href="{}#{}"></use></svg>', told, static("icons.svg"), name)


@register.simple_tag
def icon_url(name: str) -> str:
    """Return the address of one of our icons, for a drawing that needs classes of its own."""
    return f"{static('icons.svg')}#{name}"


@register.filter
def markdown(text: str | None) -> SafeString:
    """Render Markdown that nobody vouches for."""
    return markdown_text.render(text or "")


@register.filter
def duration(milliseconds: float | None) -> str:
    """Write a duration the way one would say it: 340 ms, 4.2 s, 3 min 05 s, 2 h 10 min."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return _("%(number)d ms") % {"number": milliseconds}
    seconds = milliseconds / 1000
    if 10 <= seconds < 60 and seconds.is_integer():
        return _("%(number)d s") % {"number": seconds}
    if seconds < 60:
        return _("%(number).1f s") % {"number": seconds}
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)d h %(minutes)02d min") % {"hours": hours, "minutes": minutes}


@register.filter
def money(amount: Decimal | float | str | None) -> str:
    """Write US dollars with as many decimals as a small amount needs; nothing spent is nothing shown."""
    if amount in (None, ""):
        return "–"
    value = Decimal(str(amount))
    if value == 0:
        return "$0"
    return f"${value:.2f}" if value >= 1 else f"${value:.4f}"


@register.filter
def count(number: int | None) -> str:
    """Write a whole number with its thousands apart."""
    return "–" if number is None else str(intcomma(number, use_l10n=False))


@register.filter
def pretty_json(value: Any) -> SafeString:
    """Write a value as indented JSON in colours, cut where nobody reads on."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return mark_safe(markdown_text.highlight_code(shorten(text, LONGEST_JSON), "json"))  # noqa: S308  escaped by the formatter


@register.simple_tag
def moment(at: datetime | None, style: str = "time") -> SafeString:
    """Write a point in time; the browser puts it into the reader's own zone and words (`time`, `date`, `ago`)."""
    if at is None:
        return mark_safe("–")
    shown = at.strftime("%Y-%m-%d %H:%M") if style != "time" else at.strftime("%H:%M:%S")
    return format_html('<time datetime="{}" data-moment="{}">{} UTC</time>', at.isoformat(), style, shown)
