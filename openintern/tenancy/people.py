"""Organisations and their people: made, let in, let go."""

from __future__ import annotations

import secrets

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit, schemas
from openintern.tenancy.models import Membership, Organization, Project, User, slug_validator
from openintern.tenancy.roles import Role

#: Folders that aren't a project's.
RESERVED_PROJECTS = frozenset({"shared"})


def create_organization(slug: str, *, name: str = "", by: User | None = None, via: str = "command") -> Organization:
    """Make an organisation with its schema. A schema that couldn't be finished is taken up by the next migration.

    Raises VALIDATION_ERROR for an illegal slug, CONFLICT for one that is taken.
    """
    _require_slug(slug, field="slug")
    try:
        with transaction.atomic():
            org = Organization.objects.create(slug=slug, name=name or slug)
            audit.record("organization.create", org=org, actor=by, via=via, object_id=slug)
    except IntegrityError as error:
        raise OpenInternError("CONFLICT", f"There is an organisation '{slug}' already") from error
    schemas.create(org)
    return org


@transaction.atomic
def create_person(
    username: str,
    *,
    org: Organization,
    role: Role,
    password: str | None = None,
    platform_staff: bool = False,
    by: User | None = None,
    via: str = "command",
) -> tuple[User, str | None]:
    """Make a person, or take the one of that name, and let them into `org`.

    Returns the person and the password that was generated for a new one (None where one was given or the
    person existed: an existing password is never replaced). Raises CONFLICT if they are a member already.
    """
    user = User.objects.filter(username__iexact=username).first()
    generated = None
    if user is None:
        user, generated = _new_user(username, password=password, platform_staff=platform_staff)
    add_member(user, org=org, role=role, by=by, via=via)
    return user, generated


@transaction.atomic
def add_member(
    user: User, *, org: Organization, role: Role, by: User | None = None, via: str = "command"
) -> Membership:
    """Let a person into an organisation. Raises CONFLICT if they are in it."""
    membership, created = Membership.objects.get_or_create(user=user, organization=org, defaults={"role": role})
    if not created:
        raise OpenInternError("CONFLICT", f"{user.username} is a member of {org.slug} already")
    audit.record("member.add", org=org, actor=by or user, via=via, object_id=user.username, details={"role": role})
    return membership


@transaction.atomic
def change_role(membership: Membership, *, role: Role, by: User, via: str = "session") -> None:
    """Give a member another role. Raises CONFLICT rather than leave an organisation without an owner."""
    before = membership.role
    _require_another_owner(membership, after=role)
    Membership.objects.filter(pk=membership.pk).update(role=role)
    membership.role = role
    audit.record(
        "member.change",
        org=membership.organization,
        actor=by,
        via=via,
        object_id=membership.user.username,
        details={"from": before, "to": role},
    )


@transaction.atomic
def remove_member(membership: Membership, *, by: User, via: str = "session") -> None:
    """End a membership, the person's keys for this organisation with it. Sessions notice at their next request."""
    _require_another_owner(membership, after=None)
    membership.organization.api_keys.filter(user=membership.user).delete()
    audit.record("member.remove", org=membership.organization, actor=by, via=via, object_id=membership.user.username)
    membership.delete()


@transaction.atomic
def deactivate(user: User, *, by: User, via: str = "session") -> None:
    """Lock a person out of everything at once. Their rows stay, so that history keeps its names."""
    User.objects.filter(pk=user.pk).update(is_active=False)
    user.is_active = False
    audit.record("person.deactivate", actor=by, via=via, object_id=user.username)


@transaction.atomic
def create_project(
    slug: str, *, org: Organization, name: str = "", by: User | None = None, via: str = "command"
) -> Project:
    """Make a project. Raises VALIDATION_ERROR for an illegal slug, CONFLICT for one that is taken."""
    _require_slug(slug, field="slug")
    if slug in RESERVED_PROJECTS:
        raise Invalid("slug", f"'{slug}' is the name of what belongs to no project")
    project, created = Project.objects.get_or_create(organization=org, slug=slug, defaults={"name": name or slug})
    if not created:
        raise OpenInternError("CONFLICT", f"There is a project '{slug}' already")
    audit.record("project.create", org=org, actor=by, via=via, object_id=slug)
    return project


def find_organization(slug: str) -> Organization:
    """Return the active organisation of that slug, or raise NOT_FOUND."""
    org = Organization.objects.filter(slug=slug, is_active=True).first()
    if org is None:
        raise NotFound("Organisation")
    return org


def find_member(org: Organization, username: str) -> Membership:
    """Return the active person's membership, or raise NOT_FOUND."""
    members = Membership.objects.select_related("user").filter(organization=org, user__is_active=True)
    membership = members.filter(user__username=username).first()
    if membership is None:
        raise NotFound("Person")
    return membership


def _new_user(username: str, *, password: str | None, platform_staff: bool) -> tuple[User, str | None]:
    generated = None if password else secrets.token_urlsafe(12)
    user = User(username=username, is_staff=platform_staff, is_superuser=platform_staff)
    user.set_password(password or generated)
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise Invalid("username", "; ".join(error.messages)) from error
    user.save()
    return user, generated


def _require_slug(slug: str, *, field: str) -> None:
    try:
        slug_validator(slug)
    except ValidationError as error:
        raise Invalid(field, "; ".join(error.messages)) from error


def _require_another_owner(membership: Membership, *, after: Role | None) -> None:
    """Lock the owners and refuse if `membership` ceases to be one and nobody who can sign in would be left."""
    if membership.role != Role.OWNER or after == Role.OWNER:
        return
    owners = Membership.objects.select_for_update(of=("self",)).filter(
        organization=membership.organization, role=Role.OWNER
    )
    if not any(owner.user.is_active for owner in owners.select_related("user") if owner.pk != membership.pk):
        raise OpenInternError("CONFLICT", "An organisation must keep one owner")
