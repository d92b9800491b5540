"""Whether what somebody was allowed a while ago they are still allowed: for connections that outlive their request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from openintern.errors import OpenInternError
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.keys import find_api_key
from openintern.tenancy.models import ApiKey, Membership, User
from openintern.tenancy.policy import allows, key_allows
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope

_FRESH = timedelta(seconds=1)  # what was looked up in this very request isn't looked up again


@dataclass(frozen=True)
class Credential:
    """By what somebody got their scope: an API key, else a session."""

    scope: Scope
    settled_at: datetime = field(compare=False)
    api_key_id: int | None = None
    session_key: str = ""
    key_scopes: tuple[str, ...] = ()

    def allows(self, scope: Scope, resource: str, action: str) -> bool:
        """Whether `scope`, renewed from this credential, may take the action: by role and, for a key, by its scopes."""
        has_key = self.api_key_id is not None
        return allows(scope.role, resource, action) and (not has_key or key_allows([*self.key_scopes], action))


def credential_of(request: ScopedRequest, *, at: datetime) -> Credential | None:
    """Return what the request's identity, settled a moment ago, rests on; None for nobody."""
    if request.asker is None:
        return None
    if request.api_key is not None:
        return Credential(request.asker, at, api_key_id=request.api_key.pk, key_scopes=tuple(request.api_key.scopes))
    return Credential(request.asker, at, session_key=request.session.session_key or "")


def credential_by_key(text: str, *, at: datetime) -> Credential:
    """Return what a key, known outside of a request, rests on. Raises UNAUTHENTICATED."""
    key = find_api_key(text, at=at)
    members = Membership.objects.select_related("organization", "user")
    membership = members.filter(user=key.user, organization=key.organization).first() if key else None
    if key is None or membership is None or not membership.user.is_active or not membership.organization.is_active:
        raise OpenInternError("UNAUTHENTICATED", "This key isn't valid")
    scope = Scope(org=membership.organization, user=membership.user, role=Role(membership.role), via=key.prefix)
    return Credential(scope, at, api_key_id=key.pk, key_scopes=tuple(key.scopes))


def renew(credential: Credential, *, at: datetime) -> Scope | None:
    """Return the scope with the role of now, or None if anything it rests on has ended.

    That is: the key or the session, the organisation, the person, the membership, the place in the project.
    """
    scope = credential.scope
    if at - credential.settled_at < _FRESH:
        return scope
    if not _holds(credential, at=at):
        return None
    members = Membership.objects.select_related("organization", "user")
    membership = members.filter(
        user=scope.user, user__is_active=True, organization=scope.org, organization__is_active=True
    ).first()
    if membership is None:
        return None
    role = Role(membership.role)
    if scope.project and not role.includes(Role.ADMIN) and not membership.projects.filter(pk=scope.project.pk).exists():
        return None
    return replace(scope, org=membership.organization, user=membership.user, role=role)


def _holds(credential: Credential, *, at: datetime) -> bool:
    if credential.api_key_id is None:
        return _session_holds(credential.session_key, credential.scope.user)
    return _key_holds(credential.api_key_id, credential.scope, at=at)


def _key_holds(key_id: int, scope: Scope, *, at: datetime) -> bool:
    """Whether the key may still be used in the name of the scope's person: its owner's, or a gateway's for anybody."""
    key = ApiKey.objects.select_related("user").filter(pk=key_id, organization=scope.org).first()
    if key is None or not key.is_usable(at=at) or not key.user.is_active:
        return False
    if key.user == scope.user:
        return True
    return "act_as" in key.scopes and Membership.objects.filter(user=key.user, organization=scope.org).exists()


def _session_holds(session_key: str, user: User) -> bool:
    """Whether somebody is signed in with that session still, and hasn't changed the password since."""
    data = import_module(settings.SESSION_ENGINE).SessionStore(session_key).load()
    if data.get(SESSION_KEY) != str(user.pk):
        return False
    current = User.objects.get(pk=user.pk)
    return constant_time_compare(data.get(HASH_SESSION_KEY, ""), current.get_session_auth_hash())
