"""Errors meant for the person who asked."""

from __future__ import annotations

from typing import Any

#: HTTP status by error code; a code that is not listed is a bad request.
STATUS: dict[str, int] = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "APPROVAL_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "CONFLICT": 409,
    "TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "IDEMPOTENCY_MISMATCH": 422,
    "UNKNOWN_FIELD": 422,
    "THROTTLED": 429,
    "MINERU_EMPTY_CONTENT": 422,
    "INTERNAL_ERROR": 500,
    "LLM_ERROR": 502,
    "MINERU_RESULT_MISSING": 502,
    "MINERU_ZIP_EMPTY": 502,
    "MINERU_ZIP_REFUSED": 502,
    "MINERU_FAILED": 502,
    "MINERU_UNREACHABLE": 502,
    "MINERU_TIMEOUT": 504,
    "UNAVAILABLE": 503,
}


class OpenInternError(Exception):
    """A refusal whose message is fit for the person who asked.

    `code` is part of the public interface; `details` is JSON-able and optional.
    Pages, API and commands all show the same message.
    """

    def __init__(self, code: str, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def status(self) -> int:
        """The HTTP status this error is answered with."""
        return STATUS.get(self.code, 400)


class NotFound(OpenInternError):
    """It does not exist, or it is not for this person to know that it does."""

    def __init__(self, what: str = "Resource") -> None:
        super().__init__("NOT_FOUND", f"{what} not found")


class Invalid(OpenInternError):
    """A value that was sent is not acceptable; `field` is its dotted path."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("VALIDATION_ERROR", message, details={"field": field})
