"""What a person wants, read from what they wrote.

`understand` tries the rules in order; what fits none of them is a question about the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from runs.llm.demo.wishes import Wish
from runs.llm.demo.wishes.asking import ask
from runs.llm.demo.wishes.changing import replacement, save
from runs.llm.demo.wishes.filing import count_lines, list_files, outline, overview, show, summarise
from runs.llm.demo.wishes.mentions import Sketch, sketch
from runs.llm.demo.wishes.patterns import pattern
from runs.llm.demo.wishes.remembering import remember
from runs.llm.demo.wishes.searching import impossible, search
from runs.llm.demo.wishes.small_talk import small_talk

LONGEST_FORM = 1000  # a wish longer than this is a question, whatever words stand in it


RULES: tuple[Callable[[Sketch], Wish | None], ...] = (
    replacement, count_lines, show, outline, summarise, overview, list_files, search, impossible,
)  # fmt: skip


def understand(text: str, *, earlier_question: str = "", earlier_answer: str = "") -> Wish:
    """The wish in `text`; what was said before fills in what "it" and "that file" stand for."""
    drawn = sketch(text)
    first = remember(text, drawn) or small_talk(drawn) or save(drawn, understand=understand)
    if first:
        return first
    if len(drawn.form) <= LONGEST_FORM:
        pointed = _with_pronouns(drawn, _file_spoken_of(earlier_question, earlier_answer))
        for rule in RULES:
            if wish := rule(pointed):
                return wish
    return ask(text, files=drawn.files, earlier_question=earlier_question)


_PRONOUN = pattern(r"\b(?:this|that|the|the same) file\b|\b(?:it|this|that)\b", "这个文件|该文件|那个文件|此文件|它")
_SOURCE = re.compile(r"`([^`\s:]+):\d+(?:-\d+)?`|`([^`\s:]+\.\w+)`")


def _file_spoken_of(earlier_question: str, earlier_answer: str) -> str:
    named = sketch(earlier_question).files
    if named:
        return named[-1]
    source = _SOURCE.search(earlier_answer)
    return (source[1] or source[2]) if source else ""


def _with_pronouns(drawn: Sketch, path: str) -> Sketch:
    """The same wish with a file in place of its "it", where it names none itself."""
    if drawn.files or not path or not _PRONOUN.search(drawn.form):
        return drawn
    return replace(drawn, form=_PRONOUN.sub("\ue000", drawn.form, count=1), files=(path,))
