"""A role's style, as people write it."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from hypothesis import example, given
from hypothesis import strategies as st

from teams.style_field import StyleField

#: What PostgreSQL keeps: no NUL, no half of a pair.
LETTERS = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(LETTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("written", "style"),
    [
        ("", {}),
        ("{}", {}),
        ("tone: dry", {"tone": "dry"}),
        ("tone: dry\n\nlength: 3\nlists: true", {"tone": "dry", "length": 3, "lists": True}),
        ("语气：简练", {"语气": "简练"}),
        ("see: https://example.org/a", {"see": "https://example.org/a"}),
        ('{"tone": {"of": "voice"}}', {"tone": {"of": "voice"}}),
    ],
)
def test_a_style_is_written_in_lines(written: str, style: dict[str, Any]) -> None:
    assert StyleField().clean(written) == style


@pytest.mark.parametrize("written", ["dry", "tone:", ": dry", "{broken"])
def test_what_is_no_wish_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(forms.ValidationError, match="tone: dry"):
        StyleField().clean(written)


@example({"{": ""})  # a line that begins as JSON does
@example({"{a": "b"})
@given(st.dictionaries(st.text(LETTERS, max_size=12), JSON, max_size=4))
def test_whatever_style_there_is_comes_back_as_it_was(style: dict[str, Any]) -> None:
    field = StyleField()

    assert field.clean(field.prepare_value(style)) == style
    assert not field.has_changed(style, field.prepare_value(style))
