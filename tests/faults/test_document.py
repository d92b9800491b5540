"""docs/faults.md names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.processes import ROOT

NAMED = re.compile(r"`((?:tests/)?(?:\w+/)*test_\w+\.py)?(?:::(\w+))?`")
PLACES = (ROOT, ROOT / "tests", ROOT / "tests/faults", ROOT / "tests/runs")


def test_every_test_that_it_names_exists() -> None:
    named = [match for match in NAMED.findall((ROOT / "docs/faults.md").read_text()) if any(match)]
    file, missing = Path(), []
    for path, name in named:
        file = next((place / path for place in PLACES if (place / path).is_file()), Path()) if path else file
        if not file.is_file() or (name and f"def {name}(" not in file.read_text()):
            missing.append(f"{path}::{name}")

    assert len(named) > 80
    assert missing == []
