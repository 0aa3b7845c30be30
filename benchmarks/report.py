"""Figures as tables: the median over the rounds, the range behind it, losses beside everything."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.scenarios import Figures

HEADS: Final = {
    "rate": "tasks/s",
    "sent_rate": "sent/s",
    "cpu_us": "CPU us/task",
    "server_us": "server us/task",
    "calls": "calls/task",
    "log_bytes": "log bytes/task",
    "first_s": "start to first task s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "worst_ms": "worst ms",
    "idle_percent": "idle CPU %",
    "rss_mib": "RSS MiB",
    "pss_mib": "PSS MiB",
    "kib_per_task": "KiB/task",
    "running": "running",
    "grown_mib": "grown by MiB",
    "others": "others' cores",
    "lost": "lost",
    "repeated": "ran twice",
}
"""Every figure, in the order of columns."""

_RANGED: Final = ("rate", "cpu_us", "p50_ms", "p99_ms")
_WORST: Final = ("lost", "repeated", "worst_ms")
_HIDDEN: Final = {"dispatch": ("grown_mib",), "drain": ("first_s",), "backlog": ("first_s",),
                  "10 ms": ("first_s",)}  # fmt: skip


def summary(document: dict[str, Any]) -> dict[str, dict[str, Figures]]:
    """Return, for what was measured and for whom, the median of every figure.

    What must not happen even once, and the worst wait, is the most of all rounds.
    """
    return {
        what: {
            name: {
                key: max(values) if key in _WORST else median(values)
                for key, values in _columns(rounds).items()
            }
            for name, rounds in by_name.items()
        }
        for what, by_name in document["figures"].items()
    }


def tables(document: dict[str, Any]) -> str:
    """Return one table in Markdown per thing measured, best first within each store."""
    medians = summary(document)
    parts: list[str] = []
    for what, by_name in document["figures"].items():
        hidden = next((keys for head, keys in _HIDDEN.items() if what.startswith(head)), ())
        keys = [
            key
            for key in HEADS
            if key not in hidden and any(key in figures for figures in medians[what].values())
        ]
        rows = [
            [name, *(_cell(key, [r[key] for r in by_name[name] if key in r]) for key in keys)]
            for name in sorted(by_name, key=lambda name: _rank(name, medians[what][name]))
        ]
        heads = ["", *(HEADS[key] for key in keys)]
        parts.append(f"### {what[0].upper()}{what[1:]}\n\n{table(heads, rows)}")
    return "\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns as wide as they need."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        f"| {' | '.join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |\n"
        for line in lines
    )


def _columns(rounds: list[Figures]) -> dict[str, list[float]]:
    keys = dict.fromkeys(key for figures in rounds for key in figures)
    return {key: [figures[key] for figures in rounds if key in figures] for key in keys}


def _rank(name: str, figures: Figures) -> tuple[str, float]:
    best = figures.get("p50_ms", figures.get("rss_mib", figures.get("first_s")))
    if "rate" in figures:
        best = -figures["rate"]
    return name.rpartition(" ")[2], best or 0.0


def _cell(key: str, values: list[float]) -> str:
    if not values:
        return ""
    if key in _WORST:
        return number(max(values))
    cell = number(median(values))
    if key in _RANGED and len(values) > 1:
        cell += f" ({number(min(values))}-{number(max(values))})"
    return cell


def number(value: float) -> str:
    """Return a number to about three digits."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
