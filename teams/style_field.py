"""How people write a role's style: a line for each wish, in place of JSON."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


class StyleField(forms.CharField):
    """`tone: dry`, one a line. What comes in is what went out: a value that isn't plain text is written as JSON."""

    widget = forms.Textarea({"rows": 3, "placeholder": "tone: dry"})

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", _("One wish a line, as “tone: dry”"))
        super().__init__(required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the lines of a style; what was written wrongly comes back as it was."""
        if not isinstance(value, dict):
            return value
        lines = "\n".join(f"{name}: {_told(wish)}" for name, wish in value.items())
        return lines if _told_by(lines) == value else json.dumps(value, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        """Return the style that lines tell. JSON as a whole is understood too."""
        if isinstance(value, dict):
            return value
        return _style(super().to_python(value) or "")

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether another style was written, however it was put."""
        try:
            return bool(self.to_python(data) != (initial or {}))
        except ValidationError:
            return True


def _style(text: str) -> dict[str, Any]:
    """What is written, in lines or as JSON. Raises ValidationError."""
    text = text.strip()
    if text.startswith("{"):
        return _whole(text)
    return dict(_wish(line) for line in text.splitlines() if line.strip())


def _told_by(text: str) -> dict[str, Any] | None:
    """What would be read in it, None where it would be refused."""
    try:
        return _style(text)
    except ValidationError:
        return None


def _told(wish: Any) -> str:
    """A text as it is, where it would be read as the same text."""
    return wish if isinstance(wish, str) and wish and _read(wish) == wish else json.dumps(wish, ensure_ascii=False)


def _read(text: str) -> Any:
    text = " ".join(text.splitlines()).strip()
    try:
        return json.loads(text)
    except ValueError:
        return text


def _wish(line: str) -> tuple[str, Any]:
    name, colon, wish = line.replace("：", ":").partition(":") if ":" not in line else line.partition(":")
    if not colon or not name.strip() or not wish.strip():
        raise ValidationError(_("Write each wish as a name, a colon and what is wished, as “tone: dry”"))
    return name.strip(), _read(wish)


def _whole(text: str) -> dict[str, Any]:
    try:
        style = json.loads(text)
    except ValueError as error:
        raise ValidationError(_("Write each wish as a name, a colon and what is wished, as “tone: dry”")) from error
    return dict(style)
