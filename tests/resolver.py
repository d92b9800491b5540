"""Every URL of the site, with what its view declared: the tests that must miss none are made from this."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from openintern.tenancy.access import Access, access_of

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_ALTERNATIVES = re.compile(r"\^?\(\?P<\w+>(\w+)[^)]*\)")  # the admin's ^(?P<app_label>runs|queue)/$


@dataclass(frozen=True)
class Endpoint:
    """One URL pattern. `model` is the admin's model, where the page is about one."""

    pattern: str
    view: Callable[..., Any]
    model: Any = None

    @property
    def declared(self) -> Access | None:
        return access_of(self.view)

    @property
    def parameters(self) -> list[str]:
        return _PARAMETER.findall(_ALTERNATIVES.sub("", self.pattern))

    def path(self, values: Mapping[str, object]) -> str:
        """The path with `values` in place of its parameters."""
        pattern = _ALTERNATIVES.sub(r"\1", self.pattern).rstrip("$")
        return "/" + _PARAMETER.sub(lambda found: str(values[found[1]]), pattern)

    def __str__(self) -> str:
        return "/" + self.pattern


def endpoints() -> list[Endpoint]:
    """All of them."""
    return list(_walk(get_resolver().url_patterns))


def _walk(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[Endpoint]:
    for each in patterns:
        text = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, text)
        else:
            model_admin = getattr(each.callback, "model_admin", None)
            yield Endpoint(text, each.callback, model_admin and model_admin.model)
