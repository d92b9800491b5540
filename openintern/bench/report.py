"""Figures on paper: a table for people, Markdown for the documentation, JSON for scripts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from openintern.bench.figures import Figure

_HEAD = ("figure", "measured", "floor", "ratio", "bar", "aim", "")


def machine() -> dict[str, Any]:
    """Where the figures come from; the load tells how far times can be believed."""
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def as_json(results: Mapping[str, Sequence[Figure]]) -> str:
    """All figures by suite."""
    suites = {name: [figure.as_dict() for figure in figures] for name, figures in results.items()}
    return json.dumps({"machine": machine(), "suites": suites}, ensure_ascii=False, indent=1)


def as_markdown(results: Mapping[str, Sequence[Figure]]) -> str:
    """One table a suite, and where it comes from, as it stands in docs/benchmarks.md."""
    blocks = []
    for name, figures in results.items():
        lines = ["| " + " | ".join(_HEAD[:-1]) + " | |", "|---" * len(_HEAD) + "|"]
        lines += ["| " + " | ".join(_cells(figure)) + " |" for figure in figures]
        blocks.append(f"### {name}\n\n" + "\n".join(lines))
    where = machine()
    blocks.append(
        f"Measured with {where['processors']} processors ({where['architecture']}), Python {where['python']}, at a load of {where['load']}."
    )
    return "\n\n".join(blocks) + "\n"


def show(results: Mapping[str, Sequence[Figure]], out: Any) -> None:
    """A table at a terminal, plain lines where the output is piped."""
    console = Console(file=out, highlight=False, soft_wrap=True)
    for name, figures in results.items():
        if not console.is_terminal:
            for figure in figures:
                console.print("  ".join([name, *(cell for cell in _cells(figure) if cell)]), markup=False)
            continue
        table = Table(*_HEAD, title=name, title_justify="left")
        for figure in figures:
            style = {"missed": "red", "aim": "green"}.get(figure.verdict)
            table.add_row(*_cells(figure), style=style)
        console.print(table)


def _cells(figure: Figure) -> list[str]:
    told = f"{figure.name} ({figure.note})" if figure.note else figure.name
    verdict = f"{figure.verdict}{', enforced' if figure.enforced else ''}"
    return [
        told,
        f"{_number(figure.value)} {figure.unit}".strip(),
        f"{_number(figure.floor)} {figure.floor_name}".strip() if figure.floor is not None else "",
        f"{figure.ratio:.2f} ×" if figure.ratio is not None else "",
        _line(figure, figure.bar),
        _line(figure, figure.aim),
        verdict,
    ]


def _line(figure: Figure, line: float | None) -> str:
    if line is None:
        return ""
    unit = "×" if figure.ratio is not None else figure.unit
    return f"{'≥' if figure.more_is_better else '≤'} {_number(line)} {unit}".strip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
