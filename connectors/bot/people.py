"""Who somebody of Feishu is here, with the rights that they have now."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from connectors.feishu.values import is_token
from connectors.models import Connector, FeishuPerson
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Membership, Organization, User
from openintern.tenancy.policy import allows
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope

VIA: Final = "feishu"
MOST_PEOPLE: Final = 1_000


def scope_of(connector: Connector, open_id: str, *, org: Organization) -> Scope | None:
    """Return in whose name somebody of Feishu acts, with the rights of now, in the connector's project.

    None for whom nobody has named, and for who isn't in the organisation or the project (any more).
    """
    known = FeishuPerson.objects.select_related("user").filter(connector=connector, open_id=open_id).first()
    if known is None:
        return None
    membership = Membership.objects.filter(organization=org, user=known.user, user__is_active=True).first()
    if membership is None:
        return None
    scope = Scope(org=org, user=known.user, role=Role(membership.role), project=connector.project, via=VIA)
    is_in = scope.sees_everything or membership.projects.filter(pk=connector.project_id).exists()
    return scope if is_in else None


def may_ask(scope: Scope) -> bool:
    """Whether this person may give tasks."""
    return allows(scope.role, "run", "create")


def known(connector: Connector) -> QuerySet[FeishuPerson]:
    """Return who is known, by their names here."""
    return FeishuPerson.objects.filter(connector=connector).select_related("user").order_by("user__username", "pk")


@transaction.atomic
def name(scope: Scope, connector: Connector, *, open_id: str, username: str) -> FeishuPerson:
    """Say who somebody of Feishu is here, in place of what was said before. Raises VALIDATION_ERROR, TOO_LARGE."""
    if not is_token(open_id):
        raise Invalid("open_id", "Must be an open id of letters, digits, - and _, such as ou_…")
    user = _member(username, org=scope.org)
    if FeishuPerson.objects.filter(connector=connector).exclude(open_id=open_id).count() >= MOST_PEOPLE:
        raise OpenInternError("TOO_LARGE", f"A connector knows at most {MOST_PEOPLE:,} people")
    person, _ = FeishuPerson.objects.update_or_create(connector=connector, open_id=open_id, defaults={"user": user})
    audit.record_for(scope, "connector.person", object_id=connector.pk, open_id=open_id, user=user.username)
    return person


@transaction.atomic
def forget(scope: Scope, connector: Connector, *, open_id: str) -> None:
    """Have somebody of Feishu be nobody here. Raises NOT_FOUND."""
    if not FeishuPerson.objects.filter(connector=connector, open_id=open_id).delete()[0]:
        raise NotFound("Person")
    audit.record_for(scope, "connector.person", object_id=connector.pk, open_id=open_id, user="")


def _member(username: str, *, org: Organization) -> User:
    found = Membership.objects.select_related("user").filter(organization=org, user__username=username).first()
    if found is None:
        raise Invalid("username", "There is no such person in this organisation")
    return found.user
