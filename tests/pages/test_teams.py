"""The pages of teams: admins make them, members set them to work, who is elsewhere doesn't find them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.models import Project
from openintern.tenancy.roles import Role as Standing
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.models import Run
from teams import groups, members, roles
from teams.models import Group, Role
from tests.conftest import Person, admit

GROUP_SETTINGS = {"mode": "serial", "max_rounds": "2", "on_member_failure": "continue"}


@pytest.fixture
def make_role() -> Callable[..., Role]:
    def make(person: Person, **told: Any) -> Role:
        with org_scope(person.org):
            return roles.create(person.scope, **{"name": f"role {random_text(8)}", "system_prompt": "You.", **told})

    return make


@pytest.fixture
def make_group(make_role: Callable[..., Role]) -> Callable[..., Group]:
    def make(person: Person, *, size: int = 0, **told: Any) -> Group:
        joining = [make_role(person) for _ in range(size)]
        with org_scope(person.org):
            group = groups.create(person.scope, **{"name": f"group {random_text(8)}", **told})
            for role in joining:
                members.add(person.scope, group.pk, role_id=role.pk)
            return groups.find(person.scope, group.pk)

    return make


def page_of(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.content.decode()[:500]
    return answer.content.decode()


def members_of(person: Person, group_id: str) -> list[str]:
    with org_scope(person.org):
        return [member.role.name for member in groups.members_of(groups.find(person.scope, group_id))]


def test_a_team_is_made_and_set_to_work_by_forms_alone(alice: Person) -> None:
    client, mark = alice.signed_in(check_csrf=False), random_text(6)
    made = [
        client.post(
            "/orchestrator/roles/new",
            {"name": f"{name} {mark}", "system_prompt": "You are here.", "style_constraints": "{}", **more},
        )
        for name, more in (("Reader", {"denied_tools": ["write_file"]}), ("Chief", {"is_lead": "on"}))
    ]
    reader, chief = (answer["Location"].rsplit("/", 1)[1] for answer in made)
    path = client.post("/orchestrator/groups/new", {"name": f"Desk {mark}", **GROUP_SETTINGS})["Location"]
    assert "Nobody is in it yet: take in a role first." in page_of(client, path)

    for role_id in (chief, reader):
        assert client.post(f"{path}/members", {"role_id": role_id}).status_code == 302
    group_id = path.rsplit("/", 1)[1]
    assert members_of(alice, group_id) == [f"Chief {mark}", f"Reader {mark}"]
    last = re.findall(r"members/(mbr_\w+)", page_of(client, path))[-1]
    client.post(f"{path}/members/{last}", {"act": "up"})
    assert members_of(alice, group_id) == [f"Reader {mark}", f"Chief {mark}"]
    client.post(f"{path}/members/{last}", {"act": "lead"})
    page = page_of(client, path)
    assert "Doesn’t lead any more" in page
    assert f"You are Reader {mark} in the team &quot;Desk {mark}&quot;" in page
    assert page.count("You lead this team.") == 1
    assert '<code class="tool-tag">write_file</code>' in page_of(client, f"/orchestrator/roles/{reader}")

    started = client.post(f"{path}/run", {"input": "Count the boats", "session_key": f"s_{mark}"})

    assert started["Location"].startswith("/trace/run_")
    with org_scope(alice.org):
        run = lifecycle.find_run(alice.scope, started["Location"].rsplit("/", 1)[1])
    assert (run.group_id, run.session.key, run.agent_id) == (group_id, f"s_{mark}", f"group:{group_id}")
    page = page_of(client, path)
    assert f'<a href="/trace/{run.pk}"' in page
    assert '<svg viewBox="0 0 280 64" role="img" aria-label="Runs in the last 14 days"' in page
    client.post(f"{path}/members/{last}", {"act": "remove"})
    assert members_of(alice, group_id) == [f"Chief {mark}"]
    assert "took out a member" in page_of(client, path)


def test_what_cannot_be_stands_beside_its_field(
    alice: Person, make_group: Callable[..., Group], make_role: Callable[..., Role]
) -> None:
    client, group, other, role = alice.signed_in(), make_group(alice), make_group(alice), make_role(alice)
    written = {"name": role.name, "system_prompt": "You.", "style_constraints": "{}"}

    answers = [
        client.post("/orchestrator/groups/new", {"name": group.name, **GROUP_SETTINGS}),
        client.post(f"/orchestrator/groups/{other.pk}", {"name": group.name, "version": "1", **GROUP_SETTINGS}),
        client.post("/orchestrator/groups/new", {"name": "", **GROUP_SETTINGS}),
        client.post("/orchestrator/groups/new", {"name": "x", **GROUP_SETTINGS, "max_rounds": "9"}),
        client.post("/orchestrator/roles/new", written),
        client.post("/orchestrator/roles/new", {**written, "name": "x", "style_constraints": "{broken"}),
        client.post("/orchestrator/roles/new", {**written, "name": "x", "model": "nobody/knows"}),
        client.post(f"/orchestrator/groups/{group.pk}/run", {"input": " "}),
        client.post(f"/orchestrator/groups/{group.pk}/run", {"input": "x"}),
    ]

    assert [answer.status_code for answer in answers] == [400] * len(answers)
    assert all('class="errors"' in one.content.decode() or "notice bad" in one.content.decode() for one in answers[:7])


def test_a_change_on_top_of_an_outdated_page_is_refused(alice: Person, make_group: Callable[..., Group]) -> None:
    client, group = alice.signed_in(), make_group(alice)
    path, written = f"/orchestrator/groups/{group.pk}", {"name": group.name, "version": "1", **GROUP_SETTINGS}

    first = client.post(path, {**written, "description": "mine"})
    late = client.post(path, {**written, "description": "theirs"})

    assert (first.status_code, late.status_code) == (302, 400)
    assert "Somebody has changed this group meanwhile" in late.content.decode()
    assert "mine" in page_of(client, path)


def test_members_of_the_organisation_see_teams_and_start_them_and_change_nothing(
    alice: Person, bob: Person, victor: Person, make_group: Callable[..., Group]
) -> None:
    group = make_group(alice, size=2)
    path = f"/orchestrator/groups/{group.pk}"
    with org_scope(alice.org):
        first, second = groups.members_of(group)
    client = bob.signed_in()

    page, watching = page_of(client, path), page_of(victor.signed_in(), path)
    refused = [
        client.get("/orchestrator/groups/new"),
        client.post("/orchestrator/groups/new", {"name": "mine", **GROUP_SETTINGS}),
        client.post(path, {"name": "mine", **GROUP_SETTINGS}),
        client.post(f"{path}/members", {"role_id": first.role_id}),
        client.post(f"{path}/members/{second.pk}", {"act": "up"}),
        client.post(f"{path}/copy"),
        client.post(f"{path}/delete"),
        client.post("/orchestrator/groups/delete", {"ids": [group.pk]}),
        client.post(f"/orchestrator/roles/{first.role_id}", {"name": "mine"}),
        client.post("/orchestrator/templates/research"),
        client.post("/orchestrator/import", {"text": "format: openintern/teams"}),
        victor.signed_in().post(f"{path}/run", {"input": "x"}),
    ]
    started = client.post(f"{path}/run", {"input": "Count the boats"})

    assert "Give the team a task" in page
    assert "Give the team a task" not in watching
    assert all(word not in page for word in ("Shall lead", "Take out", "Yes, remove", "Save"))
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert started["Location"].startswith("/trace/run_")
    assert members_of(alice, group.pk) == [first.role.name, second.role.name]


def test_charlie_and_who_is_not_in_the_project_find_no_group(
    alice: Person, bob: Person, charlie: Person, make_group: Callable[..., Group]
) -> None:
    project: Project = people.create_project(f"p{random_text(8).lower()}", org=alice.org, by=alice.user)
    group = make_group(alice, size=1, project=project)
    path = f"/orchestrator/groups/{group.pk}"
    with org_scope(alice.org):
        (member,) = groups.members_of(group)

    for person in (bob, charlie):
        client = person.signed_in()
        assert group.name not in page_of(client, "/orchestrator")
        assert client.get(path).status_code == 404
        assert client.post(f"{path}/run", {"input": "x"}).status_code == 404
    client = charlie.signed_in()
    for below in ("", "/copy", "/delete", "/members", f"/members/{member.pk}"):
        data = {"act": "up", "role_id": member.role_id, "name": "mine", **GROUP_SETTINGS}
        assert client.post(path + below, data).status_code == 404, below
    assert client.post("/orchestrator/groups/delete", {"ids": [group.pk]}).status_code == 302
    assert client.get(f"/orchestrator/roles/{member.role_id}").status_code == 404
    with org_scope(alice.org):
        assert not Run.objects.filter(group_id=group.pk).exists()
    assert members_of(alice, group.pk) == [member.role.name]
    assert client.get(f"/api/teams/export?ids={group.pk}").content.decode().count(group.name) == 0


def test_the_list_is_searched_and_filtered(
    alice: Person, make_group: Callable[..., Group], make_role: Callable[..., Role]
) -> None:
    client, mark = alice.signed_in(), random_text(8)
    lead = make_role(alice, name=f"{mark} lead", is_lead=True)
    plain = make_role(alice, name=f"{mark} plain", description="counts boats")
    led, unled = make_group(alice, name=f"{mark} led"), make_group(alice, name=f"{mark} unled")
    with org_scope(alice.org):
        members.add(alice.scope, led.pk, role_id=lead.pk)

    def seen(query: str) -> set[str]:
        page = page_of(client, f"/orchestrator?{query}")
        return {row.pk for row in (lead, plain, led, unled) if f"/{row.pk}" in page}

    assert seen(f"q={mark}") == {led.pk, unled.pk}
    assert seen(f"q={mark}&lead=yes") == {led.pk}
    assert seen(f"q={mark}&lead=no") == {unled.pk}
    assert seen(f"tab=roles&q={mark}") == {lead.pk, plain.pk}
    assert seen(f"tab=roles&q={mark}&lead=yes") == {lead.pk}
    assert seen("tab=roles&q=counts+boats&lead=no") >= {plain.pk}
    assert "Nothing fits" in page_of(client, f"/orchestrator?q={mark}nothing")
    for nonsense in ("tab=x&lead=x&page=x", "page=-1", "page=99999999999", "q=" + "x" * 5000, "q=%25_%27"):
        assert client.get(f"/orchestrator?{nonsense}").status_code == 200


def test_a_long_list_is_leafed_through(alice: Person, monkeypatch: pytest.MonkeyPatch, make_role: Any) -> None:
    from teams.pages import listing

    monkeypatch.setattr(listing, "_ON_A_PAGE", 2)
    mark = random_text(8)
    first, second, third = (make_role(alice, name=f"{mark} {number}").pk for number in range(3))
    client = alice.signed_in()

    newest, oldest = (page_of(client, f"/orchestrator?tab=roles&q={mark}&page={page}") for page in (1, 2))

    assert [f"/{pk}" in newest for pk in (first, second, third)] == [False, True, True]
    assert [f"/{pk}" in oldest for pk in (first, second, third)] == [True, False, False]
    assert 'rel="next"' in newest
    assert 'rel="prev"' in oldest


def test_the_ticked_ones_are_removed(alice: Person, make_group: Callable[..., Group]) -> None:
    gone, also, stays = (make_group(alice, size=1) for _ in range(3))
    client = alice.signed_in()
    with org_scope(alice.org):
        (member,) = groups.members_of(stays)

    client.post("/orchestrator/groups/delete", {"ids": [gone.pk, also.pk]})
    client.post("/orchestrator/roles/delete", {"ids": [member.role_id]})
    client.post(f"/orchestrator/groups/{stays.pk}/delete")
    nothing = client.post("/orchestrator/groups/delete")

    with org_scope(alice.org):
        assert not Group.objects.filter(pk__in=[gone.pk, also.pk, stays.pk]).exists()
        assert not Role.objects.filter(pk=member.role_id).exists()
    assert nothing.status_code == 400


def test_a_copy_stands_beside_what_it_was_made_of(alice: Person, make_group: Callable[..., Group]) -> None:
    group, client = make_group(alice, size=2), alice.signed_in()
    with org_scope(alice.org):
        first = groups.members_of(group)[0]
        groups.change(alice.scope, group.pk, lead_id=first.pk, max_rounds=1)

    copied = client.post(f"/orchestrator/groups/{group.pk}/copy")["Location"].rsplit("/", 1)[1]
    role = client.post(f"/orchestrator/roles/{first.role_id}/copy")["Location"].rsplit("/", 1)[1]

    with org_scope(alice.org):
        copy = groups.find(alice.scope, copied)
        there = groups.members_of(copy)
        lead = groups.lead_of(copy, there)
        assert (copy.name, copy.max_rounds) == (f"{group.name} (2)", 1)
        assert (lead is not None and lead.role_id == first.role_id, len(there)) == (True, 2)
        assert Role.objects.get(pk=role).name == f"{first.role.name} (2)"


def test_an_empty_organisation_installs_a_team_and_can_set_it_to_work(alice: Person) -> None:
    org = people.create_organization(f"new{random_text(8).lower()}")
    dora = admit(f"dora{random_text(6).lower()}", org, Standing.OWNER)
    client = dora.signed_in()
    page = page_of(client, "/orchestrator")
    assert "No groups yet" in page
    assert 'class="button small solid"' in page

    path = client.post("/orchestrator/templates/review")["Location"]
    page = page_of(client, path)

    assert "Done: 5 of 5 made or changed." in page
    assert "Review lead · 评审主管" in page
    assert client.post("/orchestrator/templates/review")["Location"] == path
    assert client.post("/orchestrator/templates/never").status_code == 404
    assert client.post(f"{path}/run", {"input": "Review this"})["Location"].startswith("/trace/run_")


def test_a_document_is_looked_at_before_it_is_imported(alice: Person) -> None:
    client, mark = alice.signed_in(), random_text(8)
    text = (
        "format: openintern/teams\n"
        f"roles: [{{name: '<b>{mark}</b>', system_prompt: You., denied_tools: ['skill:skill_gone']}}]\n"
        f"groups: [{{name: Desk {mark}, members: ['<b>{mark}</b>']}}]\n"
    )
    file = SimpleUploadedFile("team.yaml", text.encode())

    looked = client.post("/orchestrator/import", {"file": file, "existing": "skip"})
    page = looked.content.decode()
    assert "Nothing has been done yet." in page
    assert f"&lt;b&gt;{mark}&lt;/b&gt;" in page
    assert "Names skills that aren&#x27;t here" in page
    with org_scope(alice.org):
        assert not Group.objects.filter(name=f"Desk {mark}").exists()
    done = client.post("/orchestrator/import", {"text": text, "existing": "skip", "confirmed": "yes"})

    assert f"Desk {mark}" in page_of(client, done["Location"])
    broken = [
        ({"text": "format: x", "existing": "skip"}, 400),
        ({"text": text + "extra: 1\n", "existing": "skip"}, 422),
        ({"existing": "skip"}, 400),
        ({"file": SimpleUploadedFile("x.yaml", b"\xff\xfe\x00"), "existing": "skip"}, 400),
    ]
    for data, status in broken:
        answer = client.post("/orchestrator/import", data)
        assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (status, True)


def test_what_people_wrote_is_shown_as_text(alice: Person, make_group: Callable[..., Group]) -> None:
    script = "<script>alert(1)</script>"
    group = make_group(alice, size=1, name=f"{script}{random_text(4)}", description=script)
    with org_scope(alice.org):
        (member,) = groups.members_of(group)
        roles.change(alice.scope, member.role_id, name=f"{script}{random_text(4)}", system_prompt=script)
    client = alice.signed_in()
    client.post(f"/orchestrator/groups/{group.pk}/run", {"input": script})

    for path in (f"groups/{group.pk}", f"roles/{member.role_id}", "", "?tab=roles"):
        page = page_of(client, f"/orchestrator/{path}".rstrip("/").replace("/?", "?"))
        assert script not in page
        assert "&lt;script&gt;" in page


def test_the_charts_say_what_they_show(alice: Person, make_group: Callable[..., Group]) -> None:
    from teams import figures
    from teams.pages.charts import days_chart, durations_chart

    group, at = make_group(alice, size=1), timezone.now()
    with org_scope(alice.org):
        for number, status in enumerate(["completed", "completed", "failed", "pending"]):
            run = lifecycle.create_run(
                alice.scope, text="x", group_id=group.pk, session_key=f"s_{random_text(8)}", at=at
            )
            ended = {"started_at": at, "ended_at": at + timezone.timedelta(seconds=number + 1)}
            Run.objects.filter(pk=run.pk).update(status=status, **(ended if status != "pending" else {}))
        rows = Run.objects.filter(group_id=group.pk).order_by("-created_at", "-pk")

        days, durations = days_chart(figures.by_day(rows, at=at)), durations_chart(list(rows))

    assert sorted(bar.title.split(": ")[1] for bar in days.bars) == ["1 failed", "1 other", "2 completed"]
    assert (days.most, sum(bar.height for bar in days.bars)) == (4, 64)
    assert [bar.kind for bar in durations.bars] == ["completed", "completed", "failed"]
    assert durations.bars[-1].height == 64
    assert (days_chart([]).bars, durations_chart([]).bars) == ([], [])
