"""In whose name a foreign program calls, and what it may do: asked anew for each call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.policy import allows
from openintern.tenancy.renewal import Credential, renew
from openintern.tenancy.scope import Scope


class Caller(ABC):
    """Somebody who calls."""

    @abstractmethod
    def scope(self) -> Scope:
        """Return the scope with the rights of this moment. Raises UNAUTHENTICATED when they have ended."""

    @abstractmethod
    def may(self, scope: Scope, resource: str, action: str) -> bool:
        """Whether the action may be taken."""

    def require(self, resource: str, action: str) -> Scope:
        """Return the scope, or raise FORBIDDEN and audit it."""
        scope = self.scope()
        if not self.may(scope, resource, action):
            audit.record(f"{resource}.{action}", org=scope.org, actor=scope.user, via=scope.via, refused=True)
            raise OpenInternError("FORBIDDEN", "Your role or your key doesn't allow this")
        return scope


@dataclass(frozen=True)
class KeyHolder(Caller):
    """Whoever sent an API key."""

    credential: Credential

    def scope(self) -> Scope:
        """See `Caller`."""
        scope = renew(self.credential, at=timezone.now())
        if scope is None:
            raise OpenInternError("UNAUTHENTICATED", "This key isn't valid")
        return scope

    def may(self, scope: Scope, resource: str, action: str) -> bool:
        """By role, and by the key's scopes."""
        return self.credential.allows(scope, resource, action)


@dataclass(frozen=True)
class AtTheTerminal(Caller):
    """Whoever may run commands on the server's machine, in the name of a person that they chose."""

    chosen: Scope

    def scope(self) -> Scope:
        """See `Caller`."""
        return self.chosen

    def may(self, scope: Scope, resource: str, action: str) -> bool:
        """By the person's role."""
        return allows(scope.role, resource, action)
