"""A connection as the parts of the driver see it from their event loop."""

from __future__ import annotations

import asyncio
import math
import os
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from async_task.spi.errors import ConfigurationError, DriverError, OutcomeUnknownError

from async_task_sqlite.session import Session
from async_task_sqlite.thread import Call, Thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_task_sqlite.session import Work
    from async_task_sqlite.wakeup import Wakeup

T = TypeVar("T")

BULK = 1000
"""Rows to delete in one transaction: about 5 ms during which nobody else can write."""


class Connection:
    """Runs whole transactions in a thread of its own, in the order they were asked for.

    A call costs one trip to the thread and back (about 100 us) however many statements it runs.
    """

    def __init__(
        self, make_session: Callable[[], Session], *, op_timeout_ms: int, wakeup: Wakeup
    ) -> None:
        self._make_session = make_session
        self._op_timeout_s = op_timeout_ms / 1000
        self._wakeup = wakeup
        self._thread: Thread | None = None

    async def open(self) -> None:
        """Start the thread and connect; does nothing when open."""
        if self._thread is None:
            self._thread = Thread(self._make_session())
            try:
                await self.read(lambda _: None)
            except BaseException:
                await self.close()
                raise

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and wait for it, at most `op_timeout`. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.pid == os.getpid():
            closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            call = Call(Session.close, closed, deadline=math.inf, writes=False)
            thread.submit(call)
            thread.stop()
            await asyncio.wait([closed], timeout=self._op_timeout_s)
            thread.forget(call)

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction of its own that only reads."""
        return await self.run(lambda session: session.read(work), writes=False)

    async def write(self, work: Work[T], *, wakes: bytes = b"") -> T:
        """Run `work` in a transaction of its own that is synced before this returns."""
        return await self.run(lambda session: session.write(work), wakes=wakes)

    async def write_bulk(self, sql: str, values: Mapping[str, Any]) -> int:
        """Execute a statement with a `:limit` until it finds no more; returns how many rows it did.

        Each time is a transaction of its own, so that others have their turn in between.

        Raises:
            OutcomeUnknownError: There are more than `op_timeout` was enough for; call again.
        """
        ends = time.monotonic() + self._op_timeout_s
        bound = {"limit": BULK, **values}
        count = 0
        while (more := await self.write(lambda db: db.execute(sql, bound).rowcount)) == BULK:
            count += more
            if time.monotonic() > ends:
                raise OutcomeUnknownError(f"{count} are done and there are more; call again")
        return count + more

    async def run(
        self, job: Callable[[Session], T], *, writes: bool = True, wakes: bytes = b""
    ) -> T:
        """Run transactions in the thread.

        A call cancelled before its turn does nothing; one cancelled later runs to its end.

        Args:
            job: What to do in the thread.
            writes: Whether anything may have been stored when it does not end in time.
            wakes: The kinds of waiters to wake afterwards.

        Raises:
            DriverTimeoutError: The lock was not free in time; nothing was stored.
            OutcomeUnknownError: Something may have been stored.
            DriverError: Nothing was stored.
        """
        thread = self._opened()
        wakeup = self._wakeup

        def announced(session: Session) -> T:
            result = job(session)
            wakeup.announce(wakes)
            return result

        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = Call(
            announced if wakes else job,
            future,
            deadline=time.monotonic() + self._op_timeout_s,
            writes=writes,
            done=(lambda: wakeup.signal(wakes)) if wakes else None,
        )
        thread.submit(call)
        try:
            return await future
        finally:
            thread.forget(call)

    def _opened(self) -> Thread:
        thread = self._thread
        if thread is None:
            raise DriverError("this SQLite driver is not open; await its open() first")
        if thread.pid != os.getpid():
            raise ConfigurationError(
                f"this SQLite driver was opened in process {thread.pid} and does not work in its "
                f"fork {os.getpid()}; make and open a driver there"
            )
        return thread
