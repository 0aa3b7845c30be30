"""The thread that a session lives in, and the calls on their way through it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from async_task.spi.errors import DriverError, DriverTimeoutError, OutcomeUnknownError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from async_task_sqlite.session import Session

T = TypeVar("T")
Calls: TypeAlias = "SimpleQueue[Call[Any] | None]"

_GRACE_S = 0.5
"""How long after its deadline a call is given up that the thread itself did not end."""

_ATTEND_EVERY_S = 0.005
_GIVE_WAY_S = 0.0002
"""An event loop that is never idle gives up the interpreter lock for so short a time that other
threads miss it. Reading 100 rows took 0.27 s in the mean and 1.4 s at worst (CPython 3.11, the two
threads on two cores). While a call takes longer, the loop sleeps this long this often, which is 4 %
of its time: 0.4 ms in the mean, 6 ms at worst. A shorter switch interval only halved it."""


class Call(Generic[T]):
    """One call.

    Args:
        job: What to do in the thread.
        future: What the caller waits for.
        deadline: Until when to try, as of `time.monotonic`.
        writes: Whether anything may have been stored when it does not end in time.
        done: Called in the loop after a success, also when the caller is gone.
    """

    __slots__ = ("_claimed", "_done", "_job", "_loop", "deadline", "future", "writes")

    def __init__(
        self,
        job: Callable[[Session], T],
        future: asyncio.Future[T],
        *,
        deadline: float,
        writes: bool,
        done: Callable[[], None] | None = None,
    ) -> None:
        self.future = future
        self.deadline = deadline
        self.writes = writes
        self._job = job
        self._done = done
        self._loop = future.get_loop()
        self._claimed = threading.Lock()

    def claim(self) -> bool:
        """Decide, once, between running this call and giving it up before it ran."""
        return self._claimed.acquire(blocking=False)

    def perform(self, session: Session) -> None:
        """Run in the thread, unless it was given up, and hand back what came of it."""
        if not self.claim():
            return
        session.deadline = self.deadline
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            try:
                result = self._job(session)
            except Exception as error:
                self._loop.call_soon_threadsafe(self._fail, error)
            else:
                self._loop.call_soon_threadsafe(self._succeed, result)

    def _succeed(self, result: T) -> None:
        if self._done is not None:
            self._done()
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Thread:
    """A daemon thread, so that a program that closes nothing ends without waiting for it.

    It also ends with the last reference to this object.
    """

    def __init__(self, session: Session) -> None:
        self.pid = os.getpid()
        self._session = session
        self._calls: Calls = SimpleQueue()
        self._pending: dict[Call[Any], None] = {}
        self._oldest: Call[Any] | None = None
        self._attended = False
        self.stop = weakref.finalize(self, self._calls.put, None)
        self.stop.atexit = False
        threading.Thread(
            target=_serve, args=(self._calls, session), name="async-task-sqlite", daemon=True
        ).start()

    def submit(self, call: Call[Any]) -> None:
        """Have a call performed after those before it; `forget` it in the end."""
        self._pending[call] = None
        self._calls.put(call)
        if not self._attended:
            self._attended = True
            call.future.get_loop().call_later(_ATTEND_EVERY_S, self._attend)

    def forget(self, call: Call[Any]) -> None:
        """Note that nobody waits for a call; if it has not begun, it never will."""
        call.claim()
        self._pending.pop(call, None)

    def _attend(self) -> None:
        """Let the thread have the interpreter lock, and give up calls past their time."""
        oldest = next(iter(self._pending), None)
        if oldest is self._oldest and oldest is not None:
            time.sleep(_GIVE_WAY_S)
        self._oldest = oldest
        self._attended = oldest is not None
        if oldest is None:
            return
        now = time.monotonic()
        for call in self._pending:
            if now < call.deadline + _GRACE_S:
                break
            if not call.future.done():
                call.future.set_exception(self._give_up(call))
        oldest.future.get_loop().call_later(_ATTEND_EVERY_S, self._attend)

    def _give_up(self, call: Call[Any]) -> DriverError:
        if call.claim():
            return DriverTimeoutError("SQLite is busy with earlier calls; this one was not run")
        self._session.interrupt()
        if call.writes:
            return OutcomeUnknownError("SQLite did not answer within op_timeout; it may yet do it")
        return DriverTimeoutError("SQLite did not answer within op_timeout")


def _serve(calls: Calls, session: Session) -> None:
    while _serve_one(calls, session):
        pass
    session.close()


def _serve_one(calls: Calls, session: Session) -> bool:
    """Perform the next call; a function, so that an idle thread holds no reference to the last."""
    call = calls.get()
    if call is None:
        return False
    call.perform(session)
    return True
