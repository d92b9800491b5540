"""Small charts as SVG, made here so that they need no script; what they show is said in words too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runs.models import Run
from teams.figures import Day

WIDTH: Final = 280
HEIGHT: Final = 64
_GAP: Final = 3


@dataclass(frozen=True)
class Bar:
    """A rectangle of a chart; `kind` is its class, `title` what it stands for."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart's bars and its greatest value; nothing to draw where there are none."""

    bars: list[Bar]
    most: float
    width: int = WIDTH
    height: int = HEIGHT


def days_chart(days: Sequence[Day]) -> Chart:
    """Return a bar for each day: completed at the bottom, then the others, failed on top."""
    most = max((day.total for day in days), default=0)
    step = WIDTH / max(len(days), 1)
    bars: list[Bar] = []
    for number, day in enumerate(days if most else ()):
        top = float(HEIGHT)
        for kind, value in (("completed", day.completed), ("other", day.other), ("failed", day.failed)):
            height = HEIGHT * value / most
            top -= height
            if value:
                bars.append(_bar(number * step, top, step, height, kind, f"{day.on:%Y-%m-%d}: {value} {kind}"))
    return Chart(bars, most)


def durations_chart(runs: Sequence[Run]) -> Chart:
    """Return a bar for each run that has ended, the oldest first: how long it took."""
    ended = [run for run in reversed(runs) if run.is_final and run.duration_ms is not None]
    most = max((run.duration_ms or 0 for run in ended), default=0)
    step = WIDTH / max(len(ended), 1)
    step = min(step, WIDTH / 10)
    bars = []
    for number, run in enumerate(ended if most else ()):
        took = run.duration_ms or 0
        height = max(HEIGHT * took / most, 1.0)
        title = f"{run.pk}: {took / 1000:.1f} s"
        bars.append(_bar(number * step, HEIGHT - height, step, height, _kind(run), title))
    return Chart(bars, most)


def _bar(x: float, y: float, width: float, height: float, kind: str, title: str) -> Bar:
    return Bar(round(x + _GAP / 2, 2), round(y, 2), round(width - _GAP, 2), round(height, 2), kind, title)


def _kind(run: Run) -> str:
    return run.status if run.status in {Run.Status.COMPLETED, Run.Status.FAILED} else "other"
