"""What is measured is what was asked: sets are read whole, and vectors are made once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from memory.bench import finding, sets
from memory.bench.arms import FirstFormula
from memory.bench.kept import Kept
from memory.embedding.ports import Vector


class Counting:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def query(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.texts += texts
        return [np.array([len(text), 1.0], dtype=np.float32) for text in texts]


def test_vectors_are_kept_between_two_runs(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    made = Kept(first, "m", tmp_path).passages(["a", "bb", "a"])

    again = Kept(second, "m", tmp_path).passages(["bb", "a", "ccc"])

    assert second.texts == ["ccc"]
    assert np.array_equal(again[0], made[1])
    assert Kept(Counting(), "m", tmp_path).query("a").tolist() == [1.0, 1.0]


def test_paragraphs_answer_their_own_questions(tmp_path: Path) -> None:
    asked = [{"question": "Which?"}, {"question": ""}]
    path = tmp_path / "set.json"
    path.write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "One", "qas": []}, {"context": "Two", "qas": asked}]}]})
    )

    [collection] = sets.read_cmrc(path)

    assert collection.texts == ("One", "Two")
    assert collection.questions == (("Which?", frozenset({1})),)


def test_cranfields_queries_count_by_position_and_its_grades_by_number(tmp_path: Path) -> None:
    (tmp_path / "cran.all.1400").write_text(".I 1\n.T\nt\n.W\nfirst .\n.I 2\n.T\nt\n.W\nsecond .\n")
    (tmp_path / "cran.qry").write_text(".I 001\n.W\none ?\n.I 004\n.W\ntwo ?\n")
    (tmp_path / "cranqrel").write_text("1 1 2\n1 2 5\n2 1 -1\n2 2 1 \n")

    [collection] = sets.read_cranfield(tmp_path)

    assert collection.texts == ("first .", "second .")
    assert collection.questions == (("one ?", frozenset({0})), ("two ?", frozenset({1})))


def test_a_conversations_evidence_names_its_turns(tmp_path: Path) -> None:
    turns = [{"speaker": "A", "dia_id": "D1:1", "text": "Hi"}, {"speaker": "B", "dia_id": "D1:2", "text": "A dog!"}]
    sample = {
        "conversation": {"session_1": turns, "session_1_date_time": "x"},
        "qa": [{"question": "Which pet?", "evidence": ["D1:2"]}, {"question": "None?", "evidence": []}],
    }
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([sample]))

    [collection] = sets.read_chats(path)

    assert collection.texts == ("A: Hi", "B: A dog!")
    assert collection.questions == (("Which pet?", frozenset({1})),)


@pytest.mark.usefixtures("in_acme")
def test_a_set_is_measured_in_every_way() -> None:
    figures = {
        each.name: each
        for each in finding.measure_set("talk", sets.made_chats(chats=1, exchanges=30), model="hash", bar=0.1)
    }

    assert set(figures) == {
        "talk: recall@10",
        "talk: words alone (BM25)",
        "talk: vectors alone (hash)",
        "talk: first implementation's formula",
    }
    assert all(0 <= each.value <= 1 for each in figures.values())
    assert figures["talk: recall@10"].value > figures["talk: first implementation's formula"].value


@pytest.mark.usefixtures("in_acme")
def test_the_first_formula_wants_every_word() -> None:
    formula = FirstFormula(["the turbine hums loudly", "nothing here"])

    assert formula.best("turbine hums")[0] == 0
