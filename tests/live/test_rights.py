"""Who loses the right to see a run loses the stream, within ten seconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import httpx
import pytest
from django.test import Client
from django.utils import timezone

from openintern.live import hub
from openintern.tenancy import keys, people
from openintern.tenancy.identity import CURRENT_ORG
from openintern.tenancy.models import ApiKey, Membership, Organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs.models import Run
from tests.conftest import Cast, Person, admit
from tests.live.conftest import Script, Server
from tests.live.sse import Tap

Browse = Callable[..., Tap]
_number = itertools.count()


@pytest.fixture
def dora(committed: Cast) -> Person:
    """A member for one test."""
    return admit(f"live-dora-{next(_number)}", committed.alice.org, Role.MEMBER)


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ROUND", 0.1)


@pytest.fixture
def open_stream(browse: Browse, dora: Person) -> tuple[Tap, Script]:
    """Dora's stream of her own run."""
    script = Script(dora)
    script.begin()
    return browse(script.url, by=dora).wait_for(lambda tap: tap.seqs == [1]), script


def test_a_removed_member_is_out_within_ten_seconds_and_hears_nothing_more(
    committed: Cast, dora: Person, open_stream: tuple[Tap, Script], server: Server
) -> None:
    tap, script = open_stream
    started = time.monotonic()

    people.remove_member(Membership.objects.get(user=dora.user), by=committed.alice.user)
    tap.to_the_end(seconds=10)

    assert time.monotonic() - started < 10
    assert tap.sent[-1].event == "gone"
    script.note("a secret")
    assert b"a secret" not in tap.raw
    assert httpx.get(server.url + script.url, headers=dora.headers).status_code == 401


@pytest.mark.usefixtures("quick_rounds")
class TestEverythingThatARightRestsOn:
    def test_a_deactivated_person(self, committed: Cast, dora: Person, open_stream: tuple[Tap, Script]) -> None:
        people.deactivate(dora.user, by=committed.alice.user)

        assert open_stream[0].to_the_end(seconds=3).sent[-1].event == "gone"

    def test_a_revoked_key(self, committed: Cast, dora: Person, open_stream: tuple[Tap, Script]) -> None:
        keys.revoke_api_key(ApiKey.objects.get(user=dora.user), by=committed.alice.user, at=timezone.now())

        assert open_stream[0].to_the_end(seconds=3).sent[-1].event == "gone"

    def test_a_suspended_organisation(self, committed: Cast, open_stream: tuple[Tap, Script]) -> None:
        Organization.objects.filter(pk=committed.alice.org.pk).update(is_active=False)
        try:
            assert open_stream[0].to_the_end(seconds=3).sent[-1].event == "gone"
        finally:
            Organization.objects.filter(pk=committed.alice.org.pk).update(is_active=True)

    def test_a_run_that_was_deleted(self, open_stream: tuple[Tap, Script]) -> None:
        tap, script = open_stream
        with org_scope(script.org):
            Run.objects.filter(pk=script.run.pk).delete()

        assert tap.to_the_end(seconds=3).sent[-1].event == "gone"

    def test_a_project_one_has_left(self, committed: Cast, dora: Person, browse: Browse) -> None:
        project = people.create_project(f"live-p{next(_number)}", org=committed.alice.org)
        membership = Membership.objects.get(user=dora.user)
        membership.projects.add(project)
        script = Script(committed.alice)
        with org_scope(script.org):
            Run.objects.filter(pk=script.run.pk).update(project=project)
        script.begin()
        tap = browse(script.url, by=dora).wait_for(lambda tap: tap.seqs == [1])

        membership.projects.clear()

        assert tap.to_the_end(seconds=3).sent[-1].event == "gone"

    @pytest.mark.parametrize("ends", ["logout", "password"])
    def test_a_session_that_has_ended(self, ends: str, dora: Person, browse: Browse) -> None:
        script = Script(dora)
        script.begin()
        browser = Client()
        browser.force_login(dora.user)
        cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}", "Authorization": ""}
        tap = browse(script.url, **cookie).wait_for(lambda tap: tap.seqs == [1])

        if ends == "logout":
            browser.logout()
        else:
            dora.user.set_password("another battery staple")
            dora.user.save(update_fields=["password"])

        assert tap.to_the_end(seconds=3).sent[-1].event == "gone"

    def test_a_person_who_has_gone_on_in_another_organisation(
        self, committed: Cast, dora: Person, browse: Browse, server: Server
    ) -> None:
        """A stream tells of the organisation that it was opened in, and rests on the right in that one alone."""
        Membership.objects.create(user=dora.user, organization=committed.charlie.org, role=Role.MEMBER)
        there, other = Script(dora), Script(committed.charlie)
        there.begin()
        other.begin()
        browser = Client()
        browser.force_login(dora.user)
        session = browser.session
        session[CURRENT_ORG] = dora.org.pk
        session.save()
        cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}", "Authorization": ""}
        tap = browse(there.url, **cookie).wait_for(lambda tap: tap.seqs == [1])

        assert browser.post("/organization", {"organization": committed.charlie.org.slug}).status_code == 302
        other.note("a word of rival's")
        there.note("a word of acme's")

        assert tap.wait_for(lambda tap: tap.seqs == [1, 2]).sent[-1].event != "gone"
        assert b"of acme's" in tap.raw
        assert b"of rival's" not in tap.raw
        assert httpx.get(server.url + there.url, headers=cookie).status_code == 404
        people.remove_member(Membership.objects.get(user=dora.user, organization=dora.org), by=committed.alice.user)
        assert tap.to_the_end(seconds=3).sent[-1].event == "gone"

    def test_whoever_keeps_the_right_keeps_the_stream(
        self, committed: Cast, dora: Person, open_stream: tuple[Tap, Script], browse: Browse
    ) -> None:
        ended, script = open_stream
        kept = browse(script.url, by=committed.alice).wait_for(lambda tap: tap.seqs == [1])

        keys.revoke_api_key(ApiKey.objects.get(user=dora.user), by=committed.alice.user, at=timezone.now())
        ended.to_the_end(seconds=3)
        script.finish()

        assert kept.to_the_end().seqs == [1, 2]
