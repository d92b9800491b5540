"""The first organisation and its first person."""

from __future__ import annotations

from dataclasses import dataclass

from openintern.tenancy import people
from openintern.tenancy.models import Membership, Organization, User
from openintern.tenancy.roles import Role

FIRST_ORGANIZATION = "org_default"
FIRST_PERSON = "user_default"


@dataclass(frozen=True)
class FirstSteps:
    """What a first start made; `password` is None on every later one."""

    org: Organization
    user: User
    password: str | None


def ensure_first_organization() -> FirstSteps:
    """Make `org_default` with `user_default` as owner and platform staff, unless there is an organisation.

    May be repeated after a start that was cut short: it goes on with what is missing.
    """
    org = Organization.objects.order_by("pk").first() or people.create_organization(
        FIRST_ORGANIZATION, name="Default organisation"
    )
    membership = (
        Membership.objects.filter(organization=org, role=Role.OWNER).select_related("user").order_by("pk").first()
    )
    if membership is not None:
        return FirstSteps(org, membership.user, None)
    user, password = people.create_person(FIRST_PERSON, org=org, role=Role.OWNER, platform_staff=True)
    return FirstSteps(org, user, password)
