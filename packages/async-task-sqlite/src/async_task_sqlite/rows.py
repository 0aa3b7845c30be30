"""Inserting many rows with few statements."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_SIZES = (100, 10, 1)
"""Rows per statement: three texts, each prepared once. 100 rows of 6 values stay below 999, the
limit of parameters before SQLite 3.32."""


def insert(db: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute an `INSERT ... VALUES (?, ...)` for all `rows`, up to 100 of them at a time."""
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            some = rows[done : done + size]
            db.execute(_widened(sql, len(some[0]), size), tuple(chain.from_iterable(some)))
            done += size


@lru_cache
def _widened(sql: str, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace(row, ", ".join([row] * size))
