"""The platform's admin, for its staff: organisations and people of all, and nothing of what organisations own."""

from __future__ import annotations

import pytest
from django.test import Client

from openintern.sites import platform_admin
from openintern.tenancy import schemas
from openintern.tenancy.models import AuditEntry, Membership, Organization, User
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs.models import Run
from tests.conftest import PASSWORD, Person

LISTS = [f"/platform/{model._meta.app_label}/{model._meta.model_name}/" for model in platform_admin._registry]


@pytest.fixture
def staff(alice: Person) -> Client:
    User.objects.filter(pk=alice.user.pk).update(is_superuser=True)
    return alice.signed_in()


@pytest.mark.parametrize("path", LISTS)
def test_every_list_opens(staff: Client, path: str) -> None:
    assert staff.get(path).status_code == 200
    assert staff.get("/platform/").status_code == 200


def test_nothing_that_an_organisation_owns_is_here() -> None:
    assert not {model._meta.app_label for model in platform_admin._registry} & {"runs"}


def test_an_organisation_is_made_with_its_schema_and_suspended(staff: Client, alice: Person) -> None:
    form = {
        "slug": "harbour",
        "name": "Harbour",
        "is_active": "on",
        "max_concurrent_runs": "3",
        "max_runs_per_minute": "600",
    }

    staff.post("/platform/tenancy/organization/add/", form)
    org = Organization.objects.get(slug="harbour")
    with org_scope(org):
        assert not Run.objects.exists()
    staff.post(f"/platform/tenancy/organization/{org.pk}/change/", {**form, "is_active": ""})

    org.refresh_from_db()
    assert (org.is_active, org.max_concurrent_runs) == (False, 3)
    assert Membership.objects.get(organization=org).user == alice.user
    assert [entry.action for entry in AuditEntry.objects.filter(organization=org).order_by("pk")] == [
        "organization.create",
        "member.add",
        "organization.change",
        "organization.change",
    ]


def test_the_platform_opens_although_ones_own_organisation_is_behind(staff: Client, alice: Person) -> None:
    Organization.objects.filter(pk=alice.org.pk).update(migrated_to="an older one")

    assert staff.get("/platform/tenancy/organization/").status_code == 200
    assert staff.get("/api/me").status_code == 503
    assert schemas.behind() == [alice.org]


def test_a_person_is_made_changed_and_deactivated_with_rows_in_the_audit(staff: Client, alice: Person) -> None:
    staff.post(
        "/platform/tenancy/user/add/",
        {"username": "dora", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD},
    )
    dora = User.objects.get(username="dora")
    staff.post(
        f"/platform/tenancy/user/{dora.pk}/password/",
        {"usable_password": "true", "password1": PASSWORD + "!", "password2": PASSWORD + "!"},
    )
    staff.post(
        f"/platform/tenancy/user/{dora.pk}/change/",
        {"username": "dora", "email": "dora@example.org", "is_active": "on"},
    )
    staff.post("/platform/tenancy/user/", {"action": "deactivate", "_selected_action": [dora.pk]})

    dora.refresh_from_db()
    assert (dora.email, dora.is_active) == ("dora@example.org", False)
    assert dora.check_password(PASSWORD + "!")
    recorded = AuditEntry.objects.filter(object_id="dora", actor=alice.user).order_by("pk")
    assert [entry.action for entry in recorded] == [
        "person.create",
        "person.set_password",
        "person.change",
        "person.deactivate",
    ]
    assert not any(PASSWORD in str(entry.details) for entry in recorded)


def test_no_password_is_shown(staff: Client, bob: Person) -> None:
    page = staff.get(f"/platform/tenancy/user/{bob.user.pk}/change/").content.decode()

    assert bob.user.password not in page


def test_a_membership_is_made_and_changed_by_the_rules_of_organisations(
    staff: Client, alice: Person, charlie: Person
) -> None:
    staff.post(
        "/platform/tenancy/membership/add/", {"user": charlie.user.pk, "organization": alice.org.pk, "role": "viewer"}
    )
    owners = Membership.objects.get(user=alice.user, organization=alice.org)
    stepping_down = staff.post(f"/platform/tenancy/membership/{owners.pk}/change/", {"role": "viewer"})

    assert Membership.objects.get(user=charlie.user, organization=alice.org).role == Role.VIEWER
    assert stepping_down.status_code == 409
    assert AuditEntry.objects.filter(action="member.add", object_id="charlie", organization=alice.org).exists()


def test_nobody_is_deleted(staff: Client, alice: Person, bob: Person) -> None:
    paths = [f"/platform/tenancy/user/{bob.user.pk}/delete/", f"/platform/tenancy/organization/{alice.org.pk}/delete/"]

    assert [staff.post(path, {"post": "yes"}).status_code for path in paths] == [403, 403]
