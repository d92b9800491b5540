"""What a tool is made of, which arguments it takes, and what its results may be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from runs.tools import registry, results
from runs.tools.registry import Tool, ToolContext, ToolError, build, register, tool, tools

from .conftest import Agent


def order(
    context: ToolContext,
    title: Annotated[str, "What to order"],
    count: Annotated[int, "How many", Field(ge=1, le=9)] = 1,
    tags: Annotated[list[str] | None, "Words for it"] = None,
    urgent: bool = False,
) -> dict[str, Any]:
    """Order something."""
    return {"title": title, "count": count, "tags": tags, "urgent": urgent}


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    return


def test_a_tool_is_described_as_providers_want_it() -> None:
    assert build(order, risk="low").definition() == {
        "type": "function",
        "function": {
            "name": "order",
            "description": "Order something.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "required": ["title"],
                "properties": {
                    "title": {"type": "string", "description": "What to order", "maxLength": 4000},
                    "count": {"type": "integer", "description": "How many", "default": 1, "minimum": 1, "maximum": 9},
                    "tags": {
                        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                        "description": "Words for it",
                        "default": None,
                    },
                    "urgent": {"type": "boolean", "default": False},
                },
            },
        },
    }


def test_every_known_tool_explains_itself_and_each_of_its_arguments() -> None:
    assert {"read_file", "write_file", "edit_file", "list_files", "glob_files", "grep_files", "export_trace"} <= set(
        tools()
    )
    for one in tools().values():
        assert len(one.description) > 40, one.name
        for name, schema in one.parameters["properties"].items():
            assert schema.get("description"), f"{one.name}.{name}"
        json.dumps(one.definition())


def test_arguments_are_filled_in_with_their_defaults() -> None:
    assert build(order, risk="low").validate({"title": "tea"}) == {
        "title": "tea",
        "count": 1,
        "tags": None,
        "urgent": False,
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "title: Field required"),
        ({"title": "tea", "colour": "green"}, "colour: Extra inputs are not permitted"),
        ({"title": 5}, "title: Input should be a valid string"),
        ({"title": None}, "title: Input should be a valid string"),
        ({"title": "tea", "count": "3"}, "count: Input should be a valid integer"),
        ({"title": "tea", "count": 3.0}, "count: Input should be a valid integer"),
        ({"title": "tea", "count": True}, "count: Input should be a valid integer"),
        ({"title": "tea", "count": 0}, "count: Input should be greater than or equal to 1"),
        ({"title": "tea", "count": 10**30}, "count: Input should be less than or equal to 9"),
        ({"title": "tea", "urgent": "yes"}, "urgent: Input should be a valid boolean"),
        ({"title": "tea", "tags": ["a", 1]}, "tags"),
        ({"title": "x" * 4001}, "title: String should have at most 4000 characters"),
        ({"title": "tea", "tags": ["x" * 1000] * 2001}, "more than 2000000 characters"),
        ({"title": "a\0b"}, "NUL"),
        ({"title": "a\ud800b"}, "surrogate"),
        ({"title": "tea", "a\0": 1}, "NUL"),
        ({"title": "tea", "context": {}}, "context: Extra inputs are not permitted"),
    ],
)
def test_arguments_outside_the_schema_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ToolError) as refused:
        build(order, risk="low").validate(arguments)

    assert str(refused.value).startswith("Invalid tool arguments: ")
    assert complaint in str(refused.value)


def test_arguments_nested_without_end_are_refused() -> None:
    nested = json.loads("[" * 500 + "]" * 500)

    with pytest.raises(ToolError, match="nested more than 32 levels"):
        build(order, risk="low").validate({"title": nested})


def test_a_refusal_does_not_repeat_what_was_given() -> None:
    with pytest.raises(ToolError) as refused:
        build(order, risk="low").validate({"title": ["sk-secret"]})

    assert "sk-secret" not in str(refused.value)


def test_calling_checks_the_arguments_too(agent: Agent) -> None:
    with pytest.raises(ToolError, match="Invalid tool arguments"):
        build(order, risk="low").call(agent.context, {"title": "tea", "colour": "green"})


def test_no_tool_takes_anothers_name() -> None:
    register(build(order, risk="low"))

    with pytest.raises(ValueError, match="There is a tool 'order' already"):
        register(build(order, risk="high"))
    assert tools()["order"].risk == "low"


def test_the_known_tools_can_not_be_changed_from_outside() -> None:
    with pytest.raises(TypeError):
        tools()["order"] = build(order, risk="low")  # type: ignore[index]


def test_a_decorated_function_stays_a_function(agent: Agent) -> None:
    same = tool(risk="medium", mutating=True)(order)

    assert same(agent.context, "tea") == {"title": "tea", "count": 1, "tags": None, "urgent": False}
    assert (tools()["order"].mutating, tools()["order"].recovery) == (True, "unsure")


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"risk": "low", "recovery": "checkable"}, "belong together"),
        ({"risk": "low", "check": lambda context: None}, "belong together"),
        ({"risk": "low", "mutating": True, "recovery": "pure"}, "not pure"),
        ({"risk": "none"}, "unknown risk"),
        ({"risk": "low", "recovery": "maybe"}, "unknown risk"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declared: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build(order, **declared)


@pytest.mark.parametrize("name", ["", "memory.write", "a b", "x" * 65, "读", "1st", "a\n"])
def test_a_name_that_providers_refuse_is_refused(name: str) -> None:
    made = build(order, risk="low")

    with pytest.raises(ValueError, match="providers accept"):
        Tool(name=name, description="x", function=order, arguments=made.arguments)


def test_a_tool_without_a_docstring_is_refused() -> None:
    def silent(context: ToolContext) -> dict[str, Any]:
        return {}

    with pytest.raises(ValueError, match="docstring"):
        build(silent, risk="low")


def test_a_bug_in_a_tool_is_not_taken_for_a_refusal(agent: Agent) -> None:
    def broken(context: ToolContext) -> dict[str, Any]:
        """Break."""
        raise KeyError("oops")

    with pytest.raises(KeyError):
        build(broken, risk="low").call(agent.context, {})


def test_what_can_not_be_checked_says_so(agent: Agent) -> None:
    with pytest.raises(TypeError, match="can't tell"):
        build(order, risk="low").check_landed(agent.context, {"title": "tea"})


def test_a_result_that_fits_stays_as_it_is() -> None:
    result = {"a": [1, 2.5, None, True, "文"], "b": {"c": "x" * 30_000}}

    assert results.bounded(result) == result


def test_what_is_cut_from_a_result_is_said() -> None:
    result = results.bounded(
        {"path": "a.txt", "content": "x" * 100_000, "lines": list(range(5000)), "sha256": "f" * 64}
    )

    assert result["path"] == "a.txt"
    assert result["sha256"] == "f" * 64
    assert result["cut"] == ["content: 16000 of 100000 characters", "lines: 400 of 5000 items"]
    assert results.json_size(result) <= results.MAX_BYTES


def test_what_json_does_not_have_becomes_text() -> None:
    odd = {
        "bytes": b"\xffa",
        "nan": float("nan"),
        "set": {1},
        5: "five",
        "object": SimpleNamespace(a=1),
        "nul": "a\0\ud800b",
    }

    assert results.bounded(odd) == {
        "bytes": "\ufffda",
        "nan": "nan",
        "set": [1],
        "5": "five",
        "object": "namespace(a=1)",
        "nul": "a\ufffd\ufffdb",
    }


def test_a_result_nested_without_end_ends() -> None:
    nested: dict[str, Any] = {}
    nested["again"] = nested

    assert "nested too deep" in json.dumps(results.bounded(nested))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=20,
)


@settings(max_examples=50)
@given(result=st.dictionaries(st.text(), json_values, max_size=8), repeated=st.integers(1, 300))
def test_whatever_a_tool_returns_can_be_stored_and_is_bounded(result: dict[str, Any], repeated: int) -> None:
    bounded = results.bounded(
        {**result, "more": [result] * repeated, "text": json.dumps(result) * repeated}, limit=4000
    )
    text = json.dumps(bounded, ensure_ascii=False, allow_nan=False)

    assert len(text.encode("utf-8")) <= 4000 * 1.3  # blanks between the parts
    assert "\0" not in json.dumps(bounded, ensure_ascii=False)
    assert results.bounded(bounded, limit=4000) == bounded
