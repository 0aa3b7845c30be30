"""What commands print: aligned text for people, JSON for programs; never a password."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import click

from async_task.runtime.logs import masked as masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def printable(value: object) -> str:
    """Return `value` as one line without control characters, which could steer a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)
    )


def print_json(document: Any) -> None:
    """Print one document on one line; what JSON has no form for appears as Python shows it."""
    click.echo(json.dumps(plain(document)))


def plain(value: Any) -> Any:
    """Return `value` made of what JSON has, with the `repr` of everything else."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key if type(key) is str else shown(key): plain(item) for key, item in items}
    if type(value) in (list, tuple):
        return [plain(item) for item in value]
    if type(value) is float and value - value == 0:  # JSON has no infinities
        return value
    return shown(value)


def shown(value: object) -> str:
    """Return the `repr`, or that of the plain object where a class's own fails."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns; numbers to the right, None as `-`."""
    cells = [["-" if value is None else printable(value) for value in row] for row in (rows)]
    print_aligned([[head.upper() for head in heads], *cells])


def print_aligned(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def instant(when: datetime | None) -> str | None:
    """Return a time as people read it, to the second, in UTC."""
    return None if when is None else f"{when:%Y-%m-%d %H:%M:%S}Z"


def iso(when: datetime | None) -> str | None:
    """Return a time as programs read it."""
    return None if when is None else when.isoformat()


def span(milliseconds: int | None) -> str | None:
    """Return a duration in its two largest units."""
    if milliseconds is None:
        return None
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{milliseconds / 1000:.1f}s" if seconds < 10 else f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"
