"""A measured value, what it is held against, and what came of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row: `bar` is what it has to reach, `aim` what we want; both hold for the ratio where there is a `floor`.

    Less is better unless `more_is_better`. An `enforced` figure that misses its bar fails the command.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    floor_name: str = ""
    bar: float | None = None
    aim: float | None = None
    more_is_better: bool = False
    enforced: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value over its floor."""
        return self.value / self.floor if self.floor else None

    @property
    def judged(self) -> float:
        """What the bar and the aim are held against."""
        return self.value if self.ratio is None else self.ratio

    @property
    def verdict(self) -> str:
        """`aim`, `met`, `missed`, or nothing where there is no bar."""
        if self.bar is None:
            return ""
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "met" if self._reaches(self.bar) else "missed"

    @property
    def fails(self) -> bool:
        """Whether the command has to fail for it."""
        return self.enforced and self.verdict == "missed"

    def as_dict(self) -> dict[str, Any]:
        """The figure for scripts."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "floor": self.floor,
            "floor_name": self.floor_name,
            "ratio": self.ratio,
            "bar": self.bar,
            "aim": self.aim,
            "more_is_better": self.more_is_better,
            "enforced": self.enforced,
            "verdict": self.verdict,
            "note": self.note,
        }

    def _reaches(self, line: float) -> bool:
        return self.judged >= line if self.more_is_better else self.judged <= line
