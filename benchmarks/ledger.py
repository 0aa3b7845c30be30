"""What the tasks themselves write down: that they ran, how often and when.

A file in shared memory with one entry per task, written by the processes of a contender and read by
the runner. Imports the standard library only: it runs in every contender's environment. Times are
nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import mmap
import os
import struct
from functools import cache
from pathlib import Path
from time import monotonic_ns
from typing import Final

VARIABLE: Final = "ASYNC_TASK_BENCH_LEDGER"
"""Environment variable that tells a contender where the file is."""

_HEAD: Final = struct.Struct("=q")


class Ledger:
    """The entries of one run.

    Args:
        path: The file, made by `create`.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        (self.size,) = _HEAD.unpack_from(self._map)
        view = memoryview(self._map)
        times = view[_HEAD.size : _HEAD.size + 16 * self.size].cast("q")
        self.started_ns: memoryview[int] = times[: self.size]
        self.sent_ns: memoryview[int] = times[self.size : 2 * self.size]
        self.runs: memoryview[int] = view[_HEAD.size + 16 * self.size :]

    @classmethod
    def create(cls, path: Path, size: int) -> Ledger:
        """Make the file, with room for `size` tasks of which none has run."""
        with path.open("wb") as file:
            file.write(_HEAD.pack(size))
            file.truncate(_HEAD.size + 17 * size)
        return cls(path)

    def mark(self, index: int) -> None:
        """Note that a task has started; its first start is the one whose time counts."""
        if not self.runs[index]:
            self.started_ns[index] = monotonic_ns()
        self.runs[index] += 1

    def done(self, start: int, count: int) -> int:
        """Count those of a span of tasks that have started."""
        return count - bytes(self.runs[start : start + count]).count(0)

    def repeated(self, start: int, count: int) -> int:
        """Count the starts of a span of tasks beyond the first of each."""
        return sum(runs - 1 for runs in self.runs[start : start + count] if runs > 1)


@cache
def _own() -> Ledger:
    return Ledger(Path(os.environ[VARIABLE]))


def mark(index: int) -> None:
    """Note in the ledger of this process's run that a task has started: about 0.5 us."""
    _own().mark(index)


def sent(index: int) -> None:
    """Note that a task is about to be sent."""
    _own().sent_ns[index] = monotonic_ns()
