"""A model whose vectors are kept in a file: an abstract takes a second to embed, and a set is measured many times."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from memory.embedding.ports import Port, Vector

_BATCH = 16


class Kept:
    """Asks the model for what the file doesn't hold yet, and keeps it; may be stopped and begun again at any time."""

    def __init__(self, model: Port, name: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._model = model
        self._name = name
        self._file = sqlite3.connect(folder / "vectors.sqlite", isolation_level=None, timeout=60)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS kept (text BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
        )

    def query(self, text: str) -> Vector:
        return self._known_or_made(
            [text], kind="query", make=lambda texts: [self._model.query(each) for each in texts]
        )[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return self._known_or_made(texts, kind="passage", make=self._model.passages)

    def _known_or_made(
        self, texts: Sequence[str], *, kind: str, make: Callable[[Sequence[str]], list[Vector]]
    ) -> list[Vector]:
        known = {text: self._known(kind, text) for text in texts}
        lacking = [text for text, vector in known.items() if vector is None]
        for at in range(0, len(lacking), _BATCH):
            batch = lacking[at : at + _BATCH]
            for text, vector in zip(batch, make(batch), strict=True):
                self._keep(kind, text, vector)
        return [self._read(kind, text) for text in texts]

    def _known(self, kind: str, text: str) -> Vector | None:
        row = self._file.execute("SELECT vector FROM kept WHERE text = ?", [self._key(kind, text)]).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)

    def _read(self, kind: str, text: str) -> Vector:
        vector = self._known(kind, text)
        if vector is None:
            raise LookupError(text[:80])
        return vector

    def _keep(self, kind: str, text: str, vector: Vector) -> None:
        values = np.asarray(vector, dtype=np.float32).tobytes()
        self._file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", [self._key(kind, text), values])

    def _key(self, kind: str, text: str) -> bytes:
        return sha256(f"{self._name}\0{kind}\0{text}".encode()).digest()
