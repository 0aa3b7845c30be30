"""The thread that a connection lives in, seen from an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from async_task.spi.errors import (
    ConfigurationError,
    DriverError,
    DriverTimeoutError,
    OutcomeUnknownError,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from async_task_sqlite.session import Session
    from async_task_sqlite.wakeup import Wakeup

T = TypeVar("T")
Jobs: TypeAlias = "SimpleQueue[_Job | None]"

_GRACE_S = 0.5
"""How long after `op_timeout` a call is given up that the thread itself did not end."""


class Connection:
    """Runs whole transactions in a thread of its own, in the order they were asked for.

    A call costs one trip to the thread and back (about 100 us) however many statements it runs.
    The thread ends with `close`, with the last reference to this object, or with the process.
    """

    def __init__(
        self,
        make_session: Callable[[], Session],
        *,
        op_timeout_ms: int,
        wakeup: Wakeup,
    ) -> None:
        self._make_session = make_session
        self._op_timeout_s = op_timeout_ms / 1000
        self._wakeup = wakeup
        self._thread: _Thread | None = None

    async def open(self) -> None:
        """Start the thread and connect; does nothing when open."""
        if self._thread is None:
            self._thread = _Thread(self._make_session())
            try:
                await self.read(lambda _: None)
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connection and wait for it, at most `op_timeout`. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None and thread.pid == os.getpid():
            closed = asyncio.get_running_loop().create_future()
            thread.jobs.put(_Job(_nothing, closed))
            thread.stop()
            await asyncio.wait([closed], timeout=self._op_timeout_s)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction that sees one state of the file."""
        return await self._run(work, write=False, durable=True)

    async def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        durable: bool = True,
        wakes: bytes = b"",
        unless: Callable[[sqlite3.Connection], T | None] | None = None,
    ) -> T:
        """Run `work` in a transaction that holds the write lock; see `Session.run`.

        A call cancelled before its turn does nothing; one cancelled later runs to its end.

        Args:
            work: What to do; may run more than once, each time from the same state.
            durable: Sync before returning.
            wakes: Kinds of waiters to wake once it is committed.
            unless: Called first, without the lock; its result, if any, replaces `work`.

        Raises:
            DriverTimeoutError: The lock was not free in time; nothing was done.
            OutcomeUnknownError: It may have been done.
            DriverError: Nothing was done.
        """
        return await self._run(work, write=True, durable=durable, wakes=wakes, unless=unless)

    async def _run(
        self, work: Callable[[sqlite3.Connection], T], *, wakes: bytes = b"", **how: Any
    ) -> T:
        thread = self._thread
        if thread is None:
            raise ConfigurationError("this SQLite driver is not open; await its open() first")
        if thread.pid != os.getpid():
            raise ConfigurationError(
                f"this SQLite driver was opened in process {thread.pid} and does not work in its "
                f"fork {os.getpid()}; make and open a driver there"
            )
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._op_timeout_s
        wakeup = self._wakeup

        def transaction(session: Session) -> T:
            result = session.run(work, deadline=deadline, **how)
            if wakes:
                wakeup.announce(wakes)
            return result

        job = _Job(transaction, loop.create_future(), wakeup, wakes)
        timer = loop.call_later(self._op_timeout_s + _GRACE_S, thread.give_up, job, how["write"])
        thread.jobs.put(job)
        try:
            result: T = await job.future
        finally:
            timer.cancel()
            job.claim()
        return result


class _Job:
    """One call on its way through the thread."""

    __slots__ = ("_claim", "_loop", "_wakes", "_wakeup", "_work", "future")

    def __init__(
        self,
        work: Callable[[Session], Any],
        future: asyncio.Future[Any],
        wakeup: Wakeup | None = None,
        wakes: bytes = b"",
    ) -> None:
        self.future = future
        self._work = work
        self._wakeup = wakeup
        self._wakes = wakes
        self._loop = future.get_loop()
        self._claim = threading.Lock()

    def claim(self) -> bool:
        """Decide, once, between running this job and giving it up before it ran."""
        return self._claim.acquire(blocking=False)

    def perform(self, session: Session) -> None:
        """Run in the thread, unless nobody waits any more, and hand back what came of it."""
        if not self.claim():
            return
        result: Any = None
        failure: BaseException | None = None
        try:
            result = self._work(session)
        except Exception as error:
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._hand_back, result, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    def _hand_back(self, result: Any, failure: BaseException | None) -> None:
        if self._wakeup is not None and self._wakes and failure is None:
            self._wakeup.signal(self._wakes)
        if not self.future.done():
            if failure is None:
                self.future.set_result(result)
            else:
                self.future.set_exception(failure)


class _Thread:
    """A daemon thread, so that a program that closes nothing ends without waiting for it."""

    def __init__(self, session: Session) -> None:
        self.jobs: Jobs = SimpleQueue()
        self.pid = os.getpid()
        self._session = session
        self.stop = weakref.finalize(self, self.jobs.put, None)
        self.stop.atexit = False
        threading.Thread(
            target=_serve, args=(self.jobs, session), name="async-task-sqlite", daemon=True
        ).start()

    def give_up(self, job: _Job, write: bool) -> None:
        """End the wait for a call that is neither done nor refused in time."""
        failure: DriverError
        if job.claim():
            failure = DriverTimeoutError("SQLite is busy with earlier calls; this one was not run")
        else:
            self._session.interrupt()
            failure = (
                OutcomeUnknownError("SQLite did not answer within op_timeout; it may yet do it")
                if write
                else DriverTimeoutError("SQLite did not answer within op_timeout")
            )
        if not job.future.done():
            job.future.set_exception(failure)


def _serve(jobs: Jobs, session: Session) -> None:
    while _serve_one(jobs, session):
        pass
    session.close()


def _serve_one(jobs: Jobs, session: Session) -> bool:
    """Perform the next job; a function, so that an idle thread holds no reference to the last."""
    job = jobs.get()
    if job is None:
        return False
    job.perform(session)
    return True


def _nothing(session: Session) -> None:
    session.close()
