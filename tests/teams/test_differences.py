"""How two texts are set against each other."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from teams.pages import differences as module
from teams.pages.differences import Piece, differences

texts = st.text(st.sampled_from("ab 的确\n,"), max_size=60) | st.text(max_size=40)


def told(before: str, after: str) -> list[tuple[str, str]]:
    return [(piece.how, piece.text) for piece in differences(before, after)]


def test_a_changed_word_stands_between_what_stayed() -> None:
    assert told("Ask Ops on Monday.", "Ask Legal on Monday, early.") == [
        ("same", "Ask "), ("removed", "Ops "), ("added", "Legal "), ("same", "on Monday"), ("added", ", early"), ("same", "."),
    ]  # fmt: skip


def test_texts_without_spaces_differ_by_characters() -> None:
    assert told("端口是八零八零", "端口是九零九零。") == [
        ("same", "端口是"), ("removed", "八"), ("added", "九"), ("same", "零"), ("removed", "八"), ("added", "九"),
        ("same", "零"), ("added", "。"),
    ]  # fmt: skip


def test_what_is_new_or_gone_or_the_same_is_one_piece() -> None:
    assert told("", "New") == [("added", "New")]
    assert told("Gone", "") == [("removed", "Gone")]
    assert told("It is so", "It is so") == [("same", "It is so")]
    assert told("", "") == []


@given(texts, texts)
@settings(max_examples=300)
def test_the_pieces_make_up_both_texts(before: str, after: str) -> None:
    pieces = differences(before, after)

    assert "".join(piece.text for piece in pieces if piece.how != "added") == before
    assert "".join(piece.text for piece in pieces if piece.how != "removed") == after
    assert all(one.how != other.how for one, other in itertools.pairwise(pieces))


def test_texts_made_to_take_long_are_given_up_in_time() -> None:
    before, after = "".join(f"a{number} " for number in range(1_000)), "".join(f"b{number} " for number in range(1_000))

    assert differences(before, after) == [Piece("removed", before), Piece("added", after)]
    assert sum(range(2_000)) > module._MOST_STEPS  # or it was never in question
