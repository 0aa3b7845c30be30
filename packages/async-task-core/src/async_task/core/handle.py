"""What `dispatch` returns."""

from __future__ import annotations

from typing import Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)


class TaskHandle(str, Generic[R_co]):
    """A dispatched task: its id, as text. Holds no connection; travels and pickles as its id."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))
