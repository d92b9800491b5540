"""A data directory of the test's own for the files, and readers that read at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from memory.documents import working
from memory.documents.reading import Findings, read
from memory.models import Document
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

Send = Callable[..., Document]


@pytest.fixture(autouse=True)
def base_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server = replace(settings.CONFIG.server, base_dir=tmp_path)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
    return tmp_path


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., Findings]:
    """Read a document apart, as the reader does: `reading(content, kind="pdf")`."""

    def act(content: bytes, *, kind: str, **options: Any) -> Findings:
        path = tmp_path / "document"
        path.write_bytes(content)
        return read(path, kind=kind, **options)

    return act


@pytest.fixture
def read_all() -> Callable[[Person], int]:
    """Let a reader read what waits in a person's organisation."""

    def act(person: Person) -> int:
        return working.read_all([person.org])

    return act


def reload(person: Person, document: Document) -> Document:
    """The document as it stands in the database."""
    with org_scope(person.org):
        return Document.objects.select_related("memory", "shelf").get(pk=document.pk)
