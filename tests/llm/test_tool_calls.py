"""Arguments, from well-formed to anything at all."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openintern.text import is_storable
from runs.llm.tool_calls import Draft, parse_arguments, settle

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_an_object_comes_through_unchanged_but_for_what_can_not_be_stored(value: dict[str, Any]) -> None:
    arguments, error = parse_arguments(json.dumps(value))

    assert error == ""
    assert arguments is not None
    assert is_storable(json.dumps(arguments, ensure_ascii=False))
    if is_storable(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0")):
        assert arguments == value


@given(st.text())
def test_any_text_gives_either_arguments_or_an_error(raw: str) -> None:
    arguments, error = parse_arguments(raw)

    assert (arguments is None) == bool(error)
    if arguments == {}:
        assert raw.strip() in ("", "{}") or json.loads(raw) == {}


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=70))
def test_every_call_has_an_id_of_its_own(calls: list[tuple[str, str, str]]) -> None:
    drafts = [Draft(id=identity, name=name, parts=[raw]) for identity, name, raw in calls]

    settled = settle(drafts, messages=[], cut=False)

    assert len({call.id for call in settled}) == len(settled)
    assert settled == settle(drafts, messages=[], cut=False)
    assert all(is_storable(call.id + call.name + call.raw + call.error) for call in settled)
