"""The plot of docs/benchmarks.md: `python -m benchmarks plot FIGURES.json OUT.svg`."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from benchmarks.report import number, summary

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 860
LEFT: Final = 190
RIGHT: Final = 190
TOP: Final = 50
BAR: Final = 18
GAP: Final = 22
STORE_GAP: Final = 10
OURS: Final = "#2f6fab"
THEIRS: Final = "#b9b9b9"


def drawn(document: dict[str, Any]) -> str:
    """Return an SVG: CPU per no-op task of everybody, by store, on a logarithmic scale."""
    drain = summary(document)["drain"]
    theirs = {name for name, about in document["contenders"].items() if not about["ours"]}
    both_us = {name: figures["cpu_us"] + figures["server_us"] for name, figures in drain.items()}
    scale = (WIDTH - LEFT - RIGHT) / math.log10(max(both_us.values()))

    def x(us: float) -> float:
        return LEFT + scale * math.log10(max(us, 1.0))

    rows: list[str] = []
    y, store = TOP, ""
    for name in sorted(drain, key=lambda name: (_store(name), both_us[name])):
        if _store(name) != store:
            y += STORE_GAP
            store = _store(name)
        figures = drain[name]
        parts = f"{number(figures['cpu_us'])} + {number(figures['server_us'])} us"
        rows += [
            _text(LEFT - 8, y + BAR - 6, name, anchor="end", bold=name not in theirs),
            _bar(LEFT, y, x(both_us[name]) - LEFT, THEIRS if name in theirs else OURS),
            _text(x(both_us[name]) + 6, y + BAR - 6, f"{parts}; {number(figures['rate'])}/s"),
        ]
        y += GAP
    grid: list[str] = []
    for power in range(int(math.log10(max(both_us.values()))) + 1):
        at = x(10**power)
        grid += [
            f'<line x1="{at:.0f}" y1="{TOP}" x2="{at:.0f}" y2="{y}" stroke="#dddddd"/>',
            _text(at, TOP - 6, f"{10**power:,} us", anchor="middle"),
        ]
    title = "CPU time per no-op task, worker + server, and tasks per second (logarithmic)"
    return _svg(y + 12, [_text(12, 22, title, bold=True), *grid, *rows])


def _store(name: str) -> str:
    return name.rpartition(" ")[2]


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(height: int, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="DejaVu Sans, Helvetica, sans-serif" font-size="12" fill="#222222">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def main(arguments: list[str]) -> None:
    """Draw a file of figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks plot")
    parser.add_argument("figures", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    options.out.write_text(drawn(json.loads(options.figures.read_text())))
