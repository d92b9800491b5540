"""Nothing of a text is lost by cutting it, and what belongs together stays together."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory.chunking import Block, blocks_of, split
from memory.chunking.pieces import tokens

TEXTS = st.one_of(
    st.text(max_size=800),
    st.lists(
        st.sampled_from(
            ["# A", "## B c", "Title\n=====", "text.", "Two. Sentences!", "```\ncode\n```", "~~~", "| a | b |",
             "|---|---|", "", "   ", "部署之前先备份。回滚要快！", "x" * 300, "一" * 300, "- item", "1. one", "\t", "\r\n"]
        ),
        max_size=30,
    ).map("\n".join),
)  # fmt: skip


@given(TEXTS, st.integers(1, 300))
@example("   ", 5)
@example("\n\n# x", 1)
@example("```\nnever closed\n\n# no heading", 4)
def test_the_pieces_joined_are_the_text(text: str, limit: int) -> None:
    pieces = split(text, limit=limit)

    assert "".join(piece.text for piece in pieces) == text
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces)][: len(pieces)]
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    assert all(piece.text.strip() for piece in pieces) or not text.strip()


@given(TEXTS)
def test_blocks_cover_a_text_without_a_gap(text: str) -> None:
    blocks = blocks_of(text)

    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert all(block.start < block.end for block in blocks)


@given(TEXTS, st.integers(8, 300))
def test_no_piece_is_much_larger_than_asked_for(text: str, limit: int) -> None:
    sizes = [tokens(piece.text.strip()) for piece in split(text, limit=limit)]

    assert all(size <= limit + 1 for size in sizes)


def test_a_piece_knows_the_section_it_is_in() -> None:
    text = "# Guide\n\nIntro.\n\n## Install\n\n" + "Run it. " * 60 + "\n\n## Use\n\n" + "Press it. " * 60

    pieces = split(text, limit=80)

    assert pieces[0].heading == "Guide"
    assert {piece.heading for piece in pieces} == {"Guide", "Guide › Install", "Guide › Use"}
    assert next(piece for piece in pieces if piece.heading == "Guide › Use").text.startswith("## Use")


def test_code_and_tables_that_fit_stay_whole() -> None:
    code = "```python\n" + "\n".join(f"line_{number} = {number}" for number in range(12)) + "\n```\n"
    table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 8
    text = "Words before. " * 12 + "\n\n" + code + "\n" + "Words between. " * 12 + "\n\n" + table

    pieces = split(text, limit=90)

    assert any(code.strip() in piece.text for piece in pieces)
    assert any(table.strip() in piece.text for piece in pieces)


def test_signs_inside_code_are_no_headings() -> None:
    blocks = blocks_of("```sh\n# a comment\n\n| not a table\n```\n\n# A heading\n")

    assert [block.kind for block in blocks] == ["code", "heading"]


def test_chinese_is_cut_between_sentences() -> None:
    text = "数据库在升级之前必须备份。" * 30

    pieces = split(text, limit=60)

    assert len(pieces) > 1
    assert all(piece.text.endswith("。") for piece in pieces)


def test_pages_begin_pieces() -> None:
    text = "First page. Second page."
    blocks = [Block("paragraph", 0, 12, page=1), Block("paragraph", 12, 24, page=2)]

    pieces = split(text, blocks=blocks)

    assert [(piece.text, piece.page) for piece in pieces] == [("First page. ", 1), ("Second page.", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "a " * 400_000,
        "一" * 400_000,
        "#" * 400_000,
        "\n" * 400_000,
        "|\n" * 200_000,
        "``` \n" * 100_000,
        "word\n" * 200_000,
        "word\n---x\n" * 100_000,
    ],
)
def test_a_long_text_takes_time_in_proportion(text: str) -> None:
    began = time.process_time()

    pieces = split(text)

    assert "".join(piece.text for piece in pieces) == text
    assert time.process_time() - began < 10
