"""Who a request is, settled once, before any view: session or key, organisation, project, right.

One rule where both come: an `Authorization` header decides, the cookie beside it counts for nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NoReturn, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils import timezone

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.refusals import refusal, wants_json
from openintern.tenancy import audit
from openintern.tenancy.access import Access, access_of
from openintern.tenancy.keys import find_api_key, recognise
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Organization, User
from openintern.tenancy.policy import allows, key_allows
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope, org_scope
from openintern.text import is_storable

logger = logging.getLogger(__name__)

CLAIMS = (
    "org_id",
    "user_id",
    "project_id",
)  # what a request may say about itself: as header, in the body, as parameter
FILES = "/api/uploads"  # what is sent here is a file: it says nothing about the request, be it JSON
DEAD_KEY = "api_key.use"  # what the audit calls the use of one that has ended
CURRENT_ORG = "organization"  # the session's key for the organisation somebody chose last


class ScopedRequest(HttpRequest):
    """A request after the middleware: `asker` is None for somebody who isn't signed in to an organisation."""

    asker: Scope | None
    api_key: ApiKey | None
    doors: ExitStack  # what the request has entered, and will leave when it is answered


class IdentityMiddleware(AuthenticationMiddleware):
    """Settle identity, enter the organisation's schema, check the view's declared access."""

    async_capable = False  # it asks the database: under ASGI it has to run in the request's thread

    def __call__(self, request: HttpRequest) -> HttpResponse:
        scoped = cast(ScopedRequest, request)
        scoped.asker, scoped.api_key = None, None
        scoped.user = AnonymousUser()
        try:
            settle(scoped)
            with ExitStack() as scoped.doors:
                return cast(Callable[[HttpRequest], HttpResponse], self.get_response)(request)
        except OpenInternError as error:
            undeclared = _undeclared(request) if error.code == "NOT_FOUND" else None
            return undeclared or refusal(request, error)
        except RequestDataTooBig:
            return refusal(request, OpenInternError("TOO_LARGE", "The request's body is too large"))
        except (OperationalError, InterfaceError):
            logger.exception("The database can't be asked")
            return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Let the view answer inside its organisation, or answer in its place.

        Public and platform pages belong to no organisation and are answered in `public`.
        """
        scoped, declared = cast(ScopedRequest, request), access_of(view)
        if declared is None:
            return refusal(request, OpenInternError("FORBIDDEN", "Nobody may use this page"))
        try:
            if (instead := _check(scoped, declared)) is not None:
                return instead
            if scoped.asker is not None and declared.resource:
                scoped.doors.enter_context(org_scope(scoped.asker.org))
        except OpenInternError as error:
            return refusal(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that a page's view raised, and a database that went away; everything else is a bug and rises."""
        match exception:
            case OpenInternError():
                return refusal(request, exception)
            case OperationalError() | InterfaceError():
                logger.error("The database went away", exc_info=exception)
                return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))
        return None


def _check(request: ScopedRequest, declared: Access) -> HttpResponse | None:
    if declared.is_public:
        return None
    if not request.user.is_authenticated:
        return _ask_to_sign_in(request)
    if declared.is_platform:
        _check_platform(request)
        return None
    if request.asker is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    if not declared.action(request.method or ""):
        return _refuse_method(request, declared)
    require_access(request, declared)
    return None


def require_access(request: ScopedRequest, declared: Access | None) -> None:
    """Raise FORBIDDEN, and audit it, unless whoever sent the request may do what was declared; undeclared is for nobody."""
    if declared is None or not declared.resource:
        raise OpenInternError("FORBIDDEN", "Nobody may use this page")
    if request.asker is None:
        raise OpenInternError("FORBIDDEN", "You belong to no organisation")
    action = declared.action(request.method or "")
    if not may(request, declared.resource, action):
        _refuse(request, f"{declared.resource}.{action}")


def _undeclared(request: HttpRequest) -> HttpResponse | None:
    """Answer a method that no view has declared, whatever the request says of itself; None for one that has been."""
    try:
        declared = access_of(resolve(request.path_info).func)
    except Resolver404:
        return None
    if declared is None or not declared.resource or declared.action(request.method or ""):
        return None
    return _refuse_method(request, declared)


def _refuse_method(request: HttpRequest, declared: Access) -> HttpResponse:
    """Answer here what no view has declared: a view of somebody else's might take any method for GET."""
    response = refusal(request, OpenInternError("METHOD_NOT_ALLOWED", f"{request.method} is not possible here"))
    response["Allow"] = declared.methods
    return response


def may(request: ScopedRequest, resource: str, action: str) -> bool:
    """Whether whoever sent the request may take the action, by role and, for a key, by its scopes."""
    scope, key = request.asker, request.api_key
    if scope is None:
        return False
    return allows(scope.role, resource, action) and (key is None or key_allows(key.scopes, action))


def _check_platform(request: ScopedRequest) -> None:
    if request.api_key is not None or not cast(User, request.user).is_superuser:
        _record_refusal(
            request, "platform.enter", object_id=request.path, org=request.asker.org if request.asker else None
        )
        raise NotFound("Page")


def _refuse(request: ScopedRequest, action: str) -> None:
    _record_refusal(request, action, object_id=request.path, org=cast(Scope, request.asker).org)
    raise OpenInternError("FORBIDDEN", "Your role doesn't allow this")


def _record_refusal(request: ScopedRequest, action: str, *, object_id: str, org: Organization | None) -> None:
    """Write down who was refused what, in their own organisation's audit: not in that of whose it is."""
    via = request.api_key.prefix if request.api_key else "session"
    actor = cast(User, request.user)
    audit.record(action, org=org, actor=actor, via=via, object_id=object_id, address=address_of(request), refused=True)


def _ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    if wants_json(request):
        return refusal(
            request, OpenInternError("UNAUTHENTICATED", "Sign in, or send an API key as 'Authorization: Bearer oi_…'")
        )
    return redirect_to_login(request.get_full_path())


def settle(request: ScopedRequest) -> None:
    """Set `user`, `api_key` and `asker`. Raises what the sender may know about a wrong claim."""
    header = request.headers.get("Authorization", "")
    if header:
        membership = _membership_by_key(request, header)
    else:
        request.user = get_user(request)
        membership = _membership_by_session(request) if request.user.is_authenticated else None
    if membership is not None:
        request.asker = _narrow(request, membership)
        request.user = request.asker.user


def _membership_by_key(request: ScopedRequest, header: str) -> Membership | None:
    kind, _, text = header.partition(" ")
    key = find_api_key(text.strip(), at=timezone.now()) if kind.lower() == "bearer" else None
    is_alive = key is not None and key.user.is_active and key.organization.is_active
    membership = _membership(key.user, key.organization) if key and is_alive else None
    if key is None or membership is None:
        _note_dead_key(request, text.strip())
        raise OpenInternError("UNAUTHENTICATED", "This key isn't valid")
    request.api_key, request.user = key, key.user
    claimed = _claim(request, "org_id")
    if claimed and claimed != key.organization.slug:
        _deny_claim(request, "Organisation", claimed, org=key.organization)
    return membership


def _note_dead_key(request: ScopedRequest, text: str) -> None:
    """Write down that somebody still uses a key that has ended: once a minute, for it may be tried without end."""
    key = recognise(text)
    if key is None:
        return
    of_late = AuditEntry.objects.filter(
        action=DEAD_KEY, object_id=key.prefix, at__gt=timezone.now() - timedelta(minutes=1)
    )
    if not of_late.exists():
        audit.record(
            DEAD_KEY,
            org=key.organization,
            actor=key.user,
            via=key.prefix,
            object_id=key.prefix,
            address=address_of(request),
            refused=True,
        )


def _membership_by_session(request: ScopedRequest) -> Membership | None:
    """The membership in the organisation that the request names, else the one chosen last, else the first."""
    memberships = Membership.objects.select_related("organization", "user").filter(
        user=cast(User, request.user), organization__is_active=True
    )
    if claimed := _claim(request, "org_id"):
        membership = memberships.filter(organization__slug=claimed).first()
        if membership is None:
            _deny_claim(request, "Organisation", claimed, org=None)
        return membership
    chosen = request.session.get(CURRENT_ORG)
    return (memberships.filter(organization_id=chosen).first() if chosen else None) or memberships.order_by(
        "pk"
    ).first()


def _membership(user: User, org: Organization) -> Membership | None:
    return Membership.objects.select_related("organization", "user").filter(user=user, organization=org).first()


def _narrow(request: ScopedRequest, membership: Membership) -> Scope:
    """Apply `user_id` and `project_id`: they may select within what the identity sees, never widen it."""
    membership = _acting_as(request, membership)
    org = membership.organization
    role = Role(membership.role)
    project = None
    if slug := _claim(request, "project_id"):
        projects = org.projects.all() if role.includes(Role.ADMIN) else membership.projects.all()
        project = projects.filter(slug=slug).first()
        if project is None:
            _deny_claim(request, "Project", slug, org=org)
    via = request.api_key.prefix if request.api_key else "session"
    return Scope(org=org, user=membership.user, role=role, project=project, via=via)


def _acting_as(request: ScopedRequest, membership: Membership) -> Membership:
    """Return the membership of the person named by `user_id`: one's own, or anybody's for a gateway's key."""
    claimed = _claim(request, "user_id")
    if not claimed or claimed == membership.user.username:
        return membership
    trusted = request.api_key is not None and "act_as" in request.api_key.scopes
    named = _membership_by_name(membership.organization, claimed) if trusted else None
    if named is None:
        _deny_claim(request, "Person", claimed, org=membership.organization)
    return named


def _membership_by_name(org: Organization, username: str) -> Membership | None:
    return (
        Membership.objects.select_related("organization", "user")
        .filter(organization=org, user__username=username, user__is_active=True)
        .first()
    )


def _deny_claim(request: ScopedRequest, what: str, claimed: str, *, org: Organization | None) -> NoReturn:
    """Say of what is out of sight the same as of what isn't there."""
    _record_refusal(request, f"{what.lower()}.claim", object_id=claimed, org=org)
    raise NotFound(what)


def _claim(request: HttpRequest, name: str) -> str:
    """Return what header, JSON body and query say of `org_id`, `user_id` or `project_id`; "" if nothing.

    Raises SCOPE_CONFLICT where they disagree: guessing which one was meant would be a hole.
    """
    said = [request.headers.get("x-" + name.replace("_", "-")), _body_value(request, name), *request.GET.getlist(name)]
    if not all(value is None or isinstance(value, str) for value in said):
        raise Invalid(name, "Must be a text")
    values = {value.strip() for value in said if value and value.strip()}
    if len(values) > 1:
        raise OpenInternError(
            "SCOPE_CONFLICT", f"Header, body and query disagree about {name}", details={"field": name}
        )
    claimed = values.pop() if values else ""
    if len(claimed) > 150 or not is_storable(claimed):
        raise Invalid(name, "Not a valid identifier")
    return claimed


def _body_value(request: HttpRequest, name: str) -> Any:
    if (
        request.method not in {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # no view takes a body by another one
        or request.content_type != "application/json"
        or request.path == FILES
    ):
        return None
    if len(request.body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:  # Django asks only what the header says
        raise RequestDataTooBig
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None  # the view will say what is wrong with it
    return body.get(name) if isinstance(body, dict) else None


def address_of(request: HttpRequest) -> str | None:
    """Return the peer's address as the server saw it; a proxy's header counts only where the server trusts it."""
    return request.META.get("REMOTE_ADDR") or None
