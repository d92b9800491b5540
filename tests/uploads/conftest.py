"""A data directory of the test's own for the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.conftest import Person

Send = Callable[..., Any]


@pytest.fixture(autouse=True)
def base_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server = replace(settings.CONFIG.server, base_dir=tmp_path)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
    return tmp_path


@pytest.fixture
def send() -> Send:
    """Send a file as a body: `send(alice, content, name=…, type=…)`."""

    def send(person: Person, content: bytes | str, *, name: str | None = None, type: str = "text/plain") -> Any:
        body = content.encode() if isinstance(content, str) else content
        headers = {} if name is None else {"X-Filename": name}
        return person.with_key().generic("POST", "/api/uploads", body, content_type=type, headers=headers)

    return send
