"""From a Python signature to the arguments a model may give: one pydantic model for checking and for describing."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Final

from annotated_types import MaxLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from openintern.text import is_storable

MAX_TEXT: Final = 4_000  # characters of a text argument that doesn't state its own bound
MAX_ARGUMENTS: Final = 2_000_000  # characters of all arguments together
MAX_DEPTH: Final = 32


class _Untitled(GenerateJsonSchema):
    """Schemas without a title for each field: a model pays for every token and learns nothing from it."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def arguments_model(function: Callable[..., Any]) -> type[BaseModel]:
    """Return the model of what `function` takes after its context.

    `Annotated[str, "what it means"]` describes an argument to the language model. Types are strict and
    unknown names are refused; a text is bounded even where the signature doesn't say so.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    _, *parameters = inspect.signature(function).parameters.values()
    fields: dict[str, Any] = {one.name: (_annotated(hints[one.name]), _default(one)) for one in parameters}
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    return create_model(getattr(function, "__name__", "tool"), __config__=config, **fields)


@cache
def describe(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, as providers take it. Every caller gets the same: don't change it."""
    schema = model.model_json_schema(schema_generator=_Untitled)
    schema.pop("title", None)
    schema.pop("description", None)
    schema.setdefault("properties", {})
    return schema


def unacceptable(arguments: dict[str, Any]) -> str:
    """Return what is wrong with arguments as a whole, whatever the tool; "" if nothing is."""
    for value, depth in _values(arguments):
        if depth > MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} levels deep"
        if isinstance(value, str) and not is_storable(value):
            return "NUL characters and halves of surrogate pairs can't be used"
    if len(json.dumps(arguments, ensure_ascii=False, default=str)) > MAX_ARGUMENTS:
        return f"more than {MAX_ARGUMENTS} characters in all"
    return ""


def complaint(error: ValidationError) -> str:
    """Return what is wrong, in one line, without repeating what was given."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in problems[:5]
    )


def _annotated(hint: Any) -> Any:
    base, *metadata = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    described = [Field(description=one) if isinstance(one, str) else one for one in metadata]
    if base is str and not any(_bounds_length(one) for one in described):
        described.append(Field(max_length=MAX_TEXT))
    return Annotated[(base, *described)] if described else base


def _bounds_length(metadata: Any) -> bool:
    inner = metadata.metadata if isinstance(metadata, FieldInfo) else [metadata]
    return any(isinstance(one, MaxLen) for one in inner)


def _default(parameter: inspect.Parameter) -> Any:
    return ... if parameter.default is inspect.Parameter.empty else parameter.default


def _values(arguments: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """Yield every value and key with its depth; not recursive, as it is what keeps deep nesting from the rest."""
    waiting: list[tuple[Any, int]] = [(arguments, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, dict):
            waiting += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list | tuple):
            waiting += [(one, depth + 1) for one in value]
