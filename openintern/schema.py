"""What the OpenAPI document says of every endpoint alike: how a refusal looks."""

from __future__ import annotations

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "example": "VALIDATION_ERROR"},
                "message": {"type": "string", "description": "fit for the person who asked"},
                "details": {
                    "type": "object",
                    "description": "`field` is the dotted path of what is wrong",
                    "additionalProperties": True,
                },
            },
        }
    },
}
_REFUSED = {
    "description": "Refused",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_METHODS = {"get", "post", "put", "patch", "delete"}


def describe_refusals(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Give every operation the error body as its default response."""
    result["components"]["schemas"]["Error"] = ERROR
    for path in result["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                operation["responses"].setdefault("default", _REFUSED)
    return result
