"""Statements with places for values.

A call is one packet of several statements, and the protocol's own parameters belong to one prepared
statement each. So values become literals here: bytes in hexadecimal, which no character set and no
`sql_mode` can misread.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from async_task_mysql.names import Names

_PLACE = re.compile(r":([a-z_]+)")


class Sql(str):
    """SQL that was put together already and stands for itself."""

    __slots__ = ()


Value: TypeAlias = Sql | str | bytes | int | None


class Template:
    """Statements with `{table}` for names, filled in once, and `:place` for values.

    Args:
        text: One statement or several, separated by semicolons.
        names: The names of the tables.
    """

    __slots__ = ("_pieces", "_places")

    def __init__(self, text: str, names: Names) -> None:
        # The text is taken apart first, so that nothing in a table's name is taken for a place.
        pieces = _PLACE.split(" ".join(text.split()))
        self._pieces = [names.fill(piece) for piece in pieces[::2]]
        self._places = pieces[1::2]

    def __call__(self, **values: Value) -> Sql:
        """Return the statements with these values, one for each place."""
        written = {place: literal(value) for place, value in values.items()}
        parts = [self._pieces[0]]
        for place, piece in zip(self._places, self._pieces[1:], strict=True):
            parts += (written[place], piece)
        return Sql("".join(parts))


def literal(value: Value) -> str:
    """Write a value as SQL; strings for a session in UTF-8 that escapes by backslash."""
    if isinstance(value, Sql):
        return value
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return "NULL" if value is None else str(int(value))


def packets(pieces: Sequence[str], limit: int) -> Iterator[Sequence[str]]:
    """Yield neighbouring pieces, as many as have `limit` characters together, at least one."""
    begin = size = 0
    for i, piece in enumerate(pieces):
        size += len(piece) + 2
        if size > limit and i > begin:
            yield pieces[begin:i]
            begin, size = i, len(piece) + 2
    yield pieces[begin:]


def listed(values: Iterable[Value]) -> Sql:
    """Return values as what stands in the brackets of `IN (...)`; at least one."""
    return Sql(", ".join(map(literal, values)))
