"""How a view says who may call it. Every URL says it; one that doesn't is refused to everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.urls import URLPattern, URLResolver

View = TypeVar("View", bound=Callable[..., Any] | type)


@dataclass(frozen=True)
class Access:
    """Which resource a view is about and which action each HTTP method takes on it."""

    resource: str = ""
    actions: Mapping[str, str] | None = None
    is_public: bool = False
    is_platform: bool = False

    def action(self, method: str) -> str:
        """Return the action that `method` takes; "" if the view doesn't answer that method."""
        actions = self.actions or {}
        return actions.get("GET" if method in {"HEAD", "OPTIONS"} else method, "")

    @property
    def methods(self) -> str:
        """The methods that the view answers, as an `Allow` header names them."""
        read = ("HEAD", "OPTIONS") if "GET" in (self.actions or {}) else ()
        return ", ".join((*(self.actions or {}), *read))


def access(resource: str, **actions: str) -> Callable[[View], View]:
    """Declare a view's access: `@access("run", GET="read", POST="create")`."""
    return _declare(Access(resource, actions))


def public(view: View) -> View:
    """Declare that a view is for everybody, signed in or not."""
    return _declare(Access(is_public=True))(view)


def platform(view: View) -> View:
    """Declare that a view is for the platform's staff alone."""
    return _declare(Access(is_platform=True))(view)


def declare_all(patterns: Iterable[URLPattern | URLResolver], declared: Access) -> None:
    """Declare the access of every view below `patterns` that says nothing itself, as an admin site's don't."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            declare_all(pattern.url_patterns, declared)
        elif access_of(pattern.callback) is None:
            pattern.callback.access = declared  # type: ignore[attr-defined]


def _declare(declared: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.access = declared  # type: ignore[union-attr]
        return view

    return mark


def access_of(view: Callable[..., Any]) -> Access | None:
    """Return what a view (a function, a Django or a DRF class-based view) declared."""
    for candidate in (view, getattr(view, "cls", None), getattr(view, "view_class", None)):
        declared = getattr(candidate, "access", None)
        if isinstance(declared, Access):
            return declared
    return None
