"""What travels in the place of a row: the name of its model and its primary key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast
from uuid import UUID

from async_task.errors import DecodeError, TaskError

KEY_TYPES: Final = (int, float, str, bytes, UUID, Decimal, datetime, date, time, timedelta, Enum)
"""What a primary key may consist of."""
LARGEST: Final = 2**63
"""No database counts further; a client that is told to fails the query, for all who share it."""


class MissingRowError(TaskError):
    """A row that a task was dispatched with does not exist, now that the task is to run."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A row, as it travels and as dead letters show it.

    On the wire it is an array: model, array of the key's parts, and the database if one is named.

    Attributes:
        model: The name its model is registered under; never the path of a class.
        key: Its primary key, one part per column.
        database: The database it is in, where that does not follow from the model.
    """

    model: str
    key: tuple[Any, ...]
    database: str | None = None

    def pack(self) -> list[Any]:
        """Return what goes on the wire."""
        packed: list[Any] = [self.model, [_plain(part) for part in self.key]]
        return packed if self.database is None else [*packed, self.database]

    @classmethod
    def unpack(cls, data: object) -> Reference:
        """Read what `pack` wrote, trusting nothing.

        Raises:
            DecodeError: It is something else.
        """
        fields = cast("list[object]", data) if type(data) is list else []
        database = fields[2] if len(fields) == 3 else None
        if (
            len(fields) not in (2, 3)
            or type(fields[0]) is not str
            or type(fields[1]) is not list
            or (len(fields) == 3 and type(database) is not str)
        ):
            raise DecodeError("a row is referred to in a form that is not ours")
        key = tuple(cast("list[object]", fields[1]))
        if not key or not all(map(_is_part, key)):
            raise DecodeError(f"a row of {fields[0]!r:.80} is referred to by what is no key")
        return cls(fields[0], key, cast("str | None", database))

    def __str__(self) -> str:
        key = ", ".join(map(repr, self.key))
        return f"{self.model}({key})"


def _is_part(part: object) -> bool:
    if isinstance(part, int):
        return -LARGEST <= part < LARGEST
    return isinstance(part, KEY_TYPES)


def _plain(part: Any) -> Any:
    """Return a part of a key as what it is: clients have kinds of UUID of their own (asyncpg)."""
    return UUID(int=part.int) if isinstance(part, UUID) else part
