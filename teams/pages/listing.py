"""The list of teams: its two tabs, what is searched in it, and what stands beside the one that is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest

from openintern.pages import address, scope_of
from openintern.tenancy.policy import allows
from teams import groups, roles
from teams.models import Group, Role

Tab = Literal["groups", "roles"]
_ON_A_PAGE: Final = 50
_LEADS: Final = {"yes": True, "no": False}


@dataclass(frozen=True)
class Listing:
    """What a request asks the list for."""

    tab: Tab
    words: str
    lead: str
    page: str

    @classmethod
    def asked(cls, request: HttpRequest, tab: Tab | None = None) -> Listing:
        """Return what the query says; what makes no sense of it says nothing."""
        query = request.GET
        told: Tab = tab or ("roles" if query.get("tab") == "roles" else "groups")
        lead = query.get("lead", "")
        words = query.get("q", "")[:200].strip()
        return cls(told, words, lead if lead in _LEADS else "", query.get("page", ""))

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the list's template shows."""
        scope = scope_of(request)
        rows = self._rows(request)
        page = Paginator(rows, _ON_A_PAGE).get_page(self.page)
        numbers = {"groups": groups.visible(scope).count(), "roles": roles.all_roles().count()}
        return {
            "tab": self.tab,
            "words": self.words,
            "lead": self.lead,
            "page": page,
            "numbers": numbers,
            "is_empty": not any(numbers.values()),
            "may_change": allows(scope.role, "group", "change"),
            "chips": [self._chip(lead) for lead in ("", *_LEADS)],
            "older": self._address(page=str(page.next_page_number())) if page.has_next() else "",
            "newer": self._address(page=str(page.previous_page_number())) if page.has_previous() else "",
        }

    def _rows(self, request: HttpRequest) -> Any:
        lead = _LEADS.get(self.lead)
        if self.tab == "groups":
            found: list[Group] = groups.search(scope_of(request), words=self.words, lead=lead)
            return found
        rows: Any = roles.search(words=self.words, lead=lead)
        counted: Any = rows.annotate(group_count=Count("memberships", distinct=True)).defer("system_prompt")
        return counted

    def _chip(self, lead: str) -> dict[str, Any]:
        return {"lead": lead, "url": self._address(lead=lead), "is_current": lead == self.lead}

    def _address(self, *, lead: str | None = None, page: str = "") -> str:
        return address("teams", tab=self.tab, q=self.words, lead=self.lead if lead is None else lead, page=page)


def names_of_roles() -> list[Role]:
    """Return all roles by name, for a choice among them."""
    return list(Role.objects.only("pk", "name", "is_lead").order_by("name"))
