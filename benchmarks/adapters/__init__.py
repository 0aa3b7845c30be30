"""How each contender declares the two tasks, and sends them.

One module per library, each with a class `Adapter` and the tasks of its own: `noop(index)` and
`pause(index, seconds)`. An adapter module runs in its contender's environment and imports nothing
but its library, this module and `benchmarks.ledger`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = os.environ.get("ASYNC_TASK_BENCH_URL", "")
"""Where the contender's store is."""

CONCURRENCY = int(os.environ.get("ASYNC_TASK_BENCH_CONCURRENCY", "100"))
"""Most tasks that a worker is to run at the same time."""

QUEUE = "bench"


class Call(NamedTuple):
    """A task to send by its number in the ledger: `noop`, or `pause` where `seconds` are given."""

    number: int
    seconds: float | None = None
    delay: float | None = None


class BaseAdapter:
    """What an adapter does; what its library cannot do it leaves as it is here.

    Attributes:
        concurrent: Whether `one` gains from being awaited many times at once.
    """

    concurrent = False

    async def prepare(self) -> None:
        """Make the schema in an empty store."""

    async def open(self) -> None:
        """Connect, to send."""

    async def close(self) -> None:
        """Disconnect."""

    async def one(self, call: Call) -> None:
        """Send one task and wait until it is stored."""
        raise NotImplementedError

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many by the library's own way of doing that, and wait until they are stored."""
        raise NotImplementedError

    def work(self) -> None:
        """Run a worker in this process until SIGTERM; where the library has no command for it."""
        raise NotImplementedError
