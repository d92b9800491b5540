"""Going round the organisations: one's trouble is not the others', and nobody waits for another's heap of work."""

from __future__ import annotations

import pytest
from django.db import connection

from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, take_turns
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


def schema() -> str:
    return str(connection.schema_name)  # type: ignore[attr-defined]


def test_work_is_done_inside_each_organisation(cast: Cast) -> None:
    orgs = [cast.alice.org, cast.charlie.org]
    seen: list[str] = []

    def look(org: Organization) -> int:
        seen.append(schema())
        return 1

    assert in_each(orgs, look, doing="looking") == 2
    assert seen == [org.schema_name for org in orgs]
    assert schema() not in seen


def test_one_that_fails_keeps_no_other_from_it(cast: Cast) -> None:
    orgs = [cast.alice.org, cast.charlie.org]
    for trouble in (OpenInternError("UNAVAILABLE", "It is being upgraded"), ZeroDivisionError()):

        def work(org: Organization, trouble: Exception = trouble) -> int:
            if org == cast.alice.org:
                raise trouble
            return 3

        assert in_each(orgs, work, doing="working") == 3


def test_organisations_take_turns_until_nothing_is_left(cast: Cast) -> None:
    left = {cast.alice.org: 3, cast.charlie.org: 1}
    order: list[str] = []

    def work(org: Organization) -> int:
        if not left[org]:
            return 0
        left[org] -= 1
        order.append(org.slug)
        return 1

    assert take_turns(list(left), work, doing="working") == 4
    assert order == [cast.alice.org.slug, cast.charlie.org.slug, cast.alice.org.slug, cast.alice.org.slug]


def test_whoever_is_told_to_stop_begins_nothing_more(cast: Cast) -> None:
    done: list[Organization] = []

    def work(org: Organization) -> int:
        done.append(org)
        return 1

    take_turns([cast.alice.org, cast.charlie.org], work, doing="working", is_stopping=lambda: len(done) >= 3)

    assert len(done) == 3
