"""What every API view shares: identity that is settled already, errors in one form, bodies in bounds."""

from __future__ import annotations

import logging
from typing import Any, cast

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from openintern.errors import Invalid, OpenInternError
from openintern.refusals import error_body
from openintern.tenancy.identity import CLAIMS, ScopedRequest
from openintern.tenancy.models import ApiKey, User
from openintern.tenancy.scope import Scope
from openintern.text import storable

logger = logging.getLogger(__name__)

_CODES = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "THROTTLED",
}


class SettledIdentity(SessionAuthentication):
    """Hand DRF what `IdentityMiddleware` found out; a cookie needs a CSRF token, a key needs none."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey | None] | None:
        settled = cast(ScopedRequest, request)
        if settled.asker is None:
            return None
        if settled.api_key is None:
            self.enforce_csrf(request)
        return settled.asker.user, settled.api_key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IdentityScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names the two: an API key, or the cookie of somebody who is signed in."""

    target_class = SettledIdentity
    name = ["ApiKey", "Session"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        """Either is enough."""
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "oi_…"},
            {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        ]


def scope_of(request: Request) -> Scope:
    """Return in whose name an API request is made. Only for views that aren't public."""
    return cast(Scope, cast(ScopedRequest, request).asker)


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent; {} for an empty body. Raises VALIDATION_ERROR for anything else."""
    body = request.data
    if not isinstance(body, dict):
        raise Invalid("body", "Must be a JSON object")
    for name, value in body.items():
        if storable(value) != value:
            raise Invalid(storable(name), "Must not hold NUL characters or lone surrogates")
    return body


def query_of(request: Request, *known: str) -> dict[str, str]:
    """Return the query parameters. Raises VALIDATION_ERROR for an unknown one, and for one that is given twice.

    A filter with a typing mistake would filter nothing, and of two values somebody would have meant the other.
    """
    for name, values in request.GET.lists():
        if name not in {*known, *CLAIMS}:
            raise Invalid(name, "Unknown parameter")
        if len(values) > 1:
            raise Invalid(name, "Given more than once")
    query: dict[str, str] = request.GET.dict()
    return query


def number_parameter(name: str, *, least: int, most: int, default: int, about: str = "") -> OpenApiParameter:
    """Describe a query parameter that `openintern.paging.whole_number` reads, with its bounds."""
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return OpenApiParameter(name, schema, description=about)


def limit_parameter(*, most: int = 100, default: int = 20) -> OpenApiParameter:
    """Describe how many rows a page of a list has at most."""
    return number_parameter("limit", least=1, most=most, default=default)


class Choice(serializers.ChoiceField):
    """One of a few words. A refusal says which there are."""

    def __init__(self, choices: Any, **options: Any) -> None:
        super().__init__(choices, **options)
        self.error_messages["invalid_choice"] = f"Must be one of {', '.join(map(str, self.choices))}"


class Text(serializers.CharField):
    """A string, and nothing that could be made into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class TextSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document describes a text that is sent: what may not be empty has a character."""

    target_class = Text

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Add the least length to what any text is."""
        schema: dict[str, Any] = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)  # noqa: SLF001  the extension's own way
        return schema if self.target.allow_blank else {**schema, "minLength": 1}


class Number(serializers.FloatField):
    """A number, and neither a text nor a truth value that could be made into one."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumber(serializers.IntegerField):
    """A whole number; see Number."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class YesNo(serializers.BooleanField):
    """True or false, and nothing else that could be meant so."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


def answer_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every refusal has the public error body; a bug rises to the 500 page."""
    from rest_framework.views import set_rollback  # noqa: PLC0415  that module reads the setting that names this one

    refusal = _as_refusal(error)
    if refusal is None:
        return None
    set_rollback()
    response = Response(error_body(refusal), status=refusal.status)
    if refusal.status in {429, 503}:
        response["Retry-After"] = str((refusal.details or {}).get("retry_after", 5))
    return response


def _as_refusal(error: Exception) -> OpenInternError | None:  # noqa: PLR0911  one for each kind of error
    match error:
        case OpenInternError():
            return error
        case Http404():
            return OpenInternError("NOT_FOUND", "Not found")
        case RequestDataTooBig():
            return OpenInternError("TOO_LARGE", "The request's body is too large")
        case OperationalError() | InterfaceError():
            logger.error("The database went away", exc_info=error)
            return OpenInternError("UNAVAILABLE", "The database can't be reached")
        case exceptions.ValidationError():
            field, message = _first_problem(error.detail)
            return Invalid(field, message)
        case exceptions.ParseError() | RecursionError():
            return OpenInternError("VALIDATION_ERROR", "The body is not valid JSON")
        case exceptions.APIException():
            return OpenInternError(_CODES.get(error.status_code, "VALIDATION_ERROR"), str(error.detail))
    return None


def _first_problem(detail: Any, path: str = "") -> tuple[str, str]:
    """Return the dotted path and the words of the first of a serializer's complaints."""
    match detail:
        case dict() if detail:
            name, inner = next(iter(detail.items()))
            own = "" if name == "non_field_errors" else str(name)
            return _first_problem(inner, ".".join(part for part in (path, own) if part))
        case list() if detail:
            return _first_problem(detail[0], path)
    return path or "body", str(detail)
