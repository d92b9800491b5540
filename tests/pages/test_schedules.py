"""The pages and the API of schedules: one's own, the organisation's for its admins, nobody else's."""

from __future__ import annotations

import pytest
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs.models import Schedule
from runs.scheduling import keeping
from tests.conftest import Person

TOLD = {"name": "Morning news", "input": "What is new?", "cron": "0 8 * * MON-FRI", "time_zone": "Asia/Shanghai"}


def kept(person: Person, **told: object) -> Schedule:
    with org_scope(person.org):
        return keeping.create(person.scope, {**TOLD, **told}, at=timezone.now())


def test_a_member_schedules_a_task_and_sees_the_next_five_times(bob: Person) -> None:
    client = bob.signed_in()

    answer = client.post("/schedules", TOLD)
    page = client.get("/schedules").content.decode()

    assert answer.status_code == 302
    assert "Morning news" in page
    assert page.count('class="due"') == 5
    assert "08:00</time>" in page


def test_what_is_wrong_is_said_beside_the_form(bob: Person) -> None:
    answer = bob.signed_in().post("/schedules", {**TOLD, "cron": "soon"})

    assert answer.status_code == 400
    assert "cron: Must be five fields" in answer.content.decode()
    assert 'value="soon"' in answer.content.decode()


def test_ones_own_is_changed_paused_continued_and_removed(bob: Person) -> None:
    one, client = kept(bob), bob.signed_in()

    client.post(f"/schedules/{one.pk}", {**TOLD, "cron": "5 9 * * *"})
    page = client.get(f"/schedules/{one.pk}").content.decode()
    client.post(f"/schedules/{one.pk}/pause")
    paused = client.get("/schedules").content.decode()
    client.post(f"/schedules/{one.pk}/go-on")

    assert page.count("09:05 CST</time>") == 5
    assert "paused" in paused
    assert client.get(f"/api/schedules/{one.pk}").json()["paused"] == ""
    client.post(f"/schedules/{one.pk}/remove")
    assert client.get(f"/schedules/{one.pk}").status_code == 404


def test_others_see_nothing_of_it_and_an_admin_may_pause_it(alice: Person, bob: Person, victor: Person) -> None:
    one = kept(bob)

    assert victor.signed_in().get(f"/schedules/{one.pk}").status_code == 404
    assert victor.signed_in().post("/schedules", TOLD).status_code == 403
    assert alice.signed_in().post(f"/schedules/{one.pk}", {**TOLD, "input": "mine"}).status_code == 400
    assert alice.signed_in().post(f"/schedules/{one.pk}/pause").status_code == 302
    assert alice.with_key().get(f"/api/schedules/{one.pk}").json()["paused"] == "by_hand"


def test_only_an_admin_sets_the_organisations_zone(alice: Person, bob: Person) -> None:
    assert bob.signed_in().post("/schedules/time-zone", {"time_zone": "Asia/Tokyo"}).status_code == 403
    assert alice.signed_in().post("/schedules/time-zone", {"time_zone": "Asia/Tokyo"}).status_code == 302
    assert bob.with_key().get("/api/time-zone").json() == {"time_zone": "Asia/Tokyo"}
    refused = alice.with_key().put("/api/time-zone", {"time_zone": "nowhere"}, content_type="application/json")
    assert refused.json()["error"]["details"] == {"field": "time_zone"}


def test_the_api_keeps_schedules(bob: Person) -> None:
    client = bob.with_key()

    made = client.post("/api/schedules", TOLD, content_type="application/json", headers={"Idempotency-Key": "k-sch"})
    again = client.post("/api/schedules", TOLD, content_type="application/json", headers={"Idempotency-Key": "k-sch"})
    schedule_id = made.json()["schedule_id"]
    changed = client.patch(f"/api/schedules/{schedule_id}", {"time_zone": ""}, content_type="application/json").json()

    assert made.status_code == 201
    assert again.json()["schedule_id"] == schedule_id
    assert made.json()["next"][0].endswith("T08:00:00+08:00")
    assert (made.json()["session_key"], made.json()["user_id"]) == (f"s_{schedule_id}", "bob")
    assert changed["zone"] == bob.org.time_zone
    assert [each["schedule_id"] for each in client.get("/api/schedules").json()["schedules"]] == [schedule_id]
    assert client.delete(f"/api/schedules/{schedule_id}").status_code == 204
    assert client.get(f"/api/schedules/{schedule_id}").status_code == 404


@pytest.mark.parametrize("path", ["/admin/runs/schedule/", "/admin/runs/firing/"])
def test_the_admin_shows_them(alice: Person, path: str) -> None:
    kept(alice)

    assert alice.signed_in().get(path).status_code == 200


def test_the_admin_pauses_them(alice: Person, bob: Person) -> None:
    one = kept(bob)

    alice.signed_in().post("/admin/runs/schedule/", {"action": "pause", "_selected_action": [one.pk]})

    with org_scope(alice.org):
        assert Schedule.objects.get(pk=one.pk).paused == "by_hand"
