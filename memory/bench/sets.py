"""Retrieval sets: what is to be remembered, what is asked, and what of it answers.

Read from files where somebody has them (`--cmrc`, `--cranfield`, `--chats`), made up where not. None is part of the
project.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory.bench.chats import make_chat

Question = tuple[str, frozenset[int]]


@dataclass(frozen=True)
class Collection:
    """What one owner remembers, in order, and the questions with the numbers of the texts that answer them.

    The texts of a conversation follow on each other.
    """

    texts: tuple[str, ...]
    questions: tuple[Question, ...]
    is_conversation: bool = False


def read_cmrc(path: Path) -> list[Collection]:
    """Read a split of CMRC 2018 or of anything in SQuAD's form: each paragraph answers its own questions.

    Questions without a word, which the set has, are left out.
    """
    data = json.loads(path.read_text("utf-8"))
    paragraphs = list(_paragraphs(data["data"] if isinstance(data, dict) else data))
    questions = [
        (asked, frozenset({at})) for at, (_, all_asked) in enumerate(paragraphs) for asked in all_asked if asked
    ]
    return [Collection(tuple(text for text, _ in paragraphs), tuple(questions))]


def _paragraphs(entries: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    for entry in entries:
        for paragraph in entry.get("paragraphs", [entry]):
            text = paragraph.get("context", paragraph.get("context_text", ""))
            yield text, [qa.get("question", qa.get("query_text", "")) for qa in paragraph["qas"]]


def read_cranfield(folder: Path) -> list[Collection]:
    """Read the Cranfield collection: `cran.all.1400`, `cran.qry`, `cranqrel`. Queries count by their position."""
    texts = [_cranfield_text(entry) for entry in _cranfield_entries(folder / "cran.all.1400")]
    answers: dict[int, set[int]] = defaultdict(set)
    for line in (folder / "cranqrel").read_text("utf-8").splitlines():
        query, document, grade = (int(number) for number in line.split()[:3])
        if 1 <= grade <= 4:
            answers[query].add(document - 1)
    asked = [_cranfield_text(entry) for entry in _cranfield_entries(folder / "cran.qry")]
    questions = [(query, frozenset(answers[at])) for at, query in enumerate(asked, start=1) if answers[at]]
    return [Collection(tuple(texts), tuple(questions))]


def _cranfield_entries(path: Path) -> list[str]:
    return re.split(r"^\.I .*\n", path.read_text("utf-8"), flags=re.MULTILINE)[1:]


def _cranfield_text(entry: str) -> str:
    return entry.partition(".W\n")[2].strip()


def read_chats(path: Path) -> list[Collection]:
    """Read long conversations in LoCoMo's form, or one collection a line with `texts` and `questions`."""
    if path.suffix == ".jsonl":
        return [_plain_chat(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return [_locomo_chat(sample) for sample in json.loads(path.read_text("utf-8"))]


def _plain_chat(entry: dict[str, Any]) -> Collection:
    questions = [(each["question"], frozenset(each["answers"])) for each in entry["questions"]]
    return Collection(tuple(entry["texts"]), tuple(questions), is_conversation=True)


def _locomo_chat(sample: dict[str, Any]) -> Collection:
    """Sessions are named `session_1` and so on, turns `D1:1`; a question's evidence names turns."""
    talk = sample["conversation"]
    sessions = sorted((key for key in talk if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:]))
    turns = [turn for key in sessions for turn in talk[key]]
    place = {turn["dia_id"]: at for at, turn in enumerate(turns)}
    questions = []
    for each in sample["qa"]:
        named = re.findall(r"D\d+:\d+", " ".join(each.get("evidence") or []))
        if found := frozenset(place[name] for name in named if name in place):
            questions.append((str(each["question"]), found))
    return Collection(tuple(_turn(turn) for turn in turns), tuple(questions), is_conversation=True)


def _turn(turn: dict[str, Any]) -> str:
    picture = f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else ""
    return f"{turn['speaker']}: {turn['text']}{picture}"


def made_chats(*, chats: int, exchanges: int = 150) -> list[Collection]:
    """Make up chats from seeds."""
    made = (make_chat(seed, exchanges=exchanges) for seed in range(chats))
    return [Collection(chat.turns, chat.questions, is_conversation=True) for chat in made]
