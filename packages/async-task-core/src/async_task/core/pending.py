"""A call being configured: `send_email(to="x").delay(60).on_queue("high").dispatch()`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from async_task.config import check_queue
from async_task.core.dispatcher import bound_loop, dispatched_in_transaction, get_dispatcher
from async_task.core.sync import run_sync
from async_task.errors import ConfigurationError, TaskError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from async_task.core.definition import TaskDefinition
    from async_task.core.handle import TaskHandle
    from async_task.spi.messages import Message

R = TypeVar("R")


LONGEST_S: Final = 100 * 365 * 86_400.0
"""A hundred years: longer than anybody means, and within what every backend can count."""


class UndispatchedTaskWarning(RuntimeWarning):
    """A task was called and the call dropped: nothing was sent and nothing ran."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a caller chose for one call; `None` follows the task.

    Attributes:
        queue: Queue to go to.
        delay_ms: Earliest start from now.
        retry_delay_ms: Wait before a re-run.
        priority: Higher starts first within the queue.
        expires_in_ms: Not started within this time, it never is.
        connection: Store it in the transaction of this connection of the caller's.
        after_commit: Send it once the transaction of this session of the caller's has committed.
    """

    queue: str | None = None
    delay_ms: int = 0
    retry_delay_ms: int | None = None
    priority: int = 0
    expires_in_ms: int | None = None
    connection: Any = None
    after_commit: Any = None


class Fluent(Generic[R]):
    """The options that can be chained on a call, each returning a new call."""

    __slots__ = ()

    def __pending__(self) -> PendingCall[R]:
        """Return the call this object stands for, which is then no longer dropped unsent."""
        raise NotImplementedError

    def __await__(self) -> Generator[NoReturn, None, NoReturn]:
        call = self.__pending__()
        msg = (
            f"{call!r} was awaited: calling a task runs nothing. Await .dispatch() on it to send"
            " it, or run its body here: .func(...) of a function, .handle() of a class"
        )
        raise TaskError(msg)

    def delay(self, seconds: float) -> PendingCall[R]:
        """Start no sooner than in `seconds`."""
        return self.__pending__().configured(delay_ms=_ms("delay", seconds))

    def at(self, when: datetime) -> PendingCall[R]:
        """Start no sooner than `when`, an aware datetime; at once if that is past.

        It is turned into a delay by this machine's clock; the store's clock measures the delay.
        """
        call = self.__pending__()
        if when.utcoffset() is None:
            msg = f"at({when!r}) needs an aware datetime; give it a time zone"
            raise ConfigurationError(msg)
        seconds = (when - datetime.now(UTC)).total_seconds()
        return call.configured(delay_ms=max(0, round(seconds * 1000)))

    def on_queue(self, queue: str) -> PendingCall[R]:
        """Go to this queue."""
        return self.__pending__().configured(queue=check_queue(queue))

    def retry_after(self, seconds: float) -> PendingCall[R]:
        """Wait this long before a re-run."""
        return self.__pending__().configured(retry_delay_ms=_ms("retry_after", seconds))

    def priority(self, level: int) -> PendingCall[R]:
        """Start before calls of lower priority in the same queue: 0 (normal) to 9."""
        call = self.__pending__()
        if level not in range(10):
            msg = f"priority must be a whole number from 0 to 9, not {level!r}"
            raise ConfigurationError(msg)
        return call.configured(priority=int(level))

    def expires_in(self, seconds: float) -> PendingCall[R]:
        """Never start later than in `seconds`: then it is a dead letter, `expired`."""
        return self.__pending__().configured(expires_in_ms=_ms("expires_in", seconds))

    def on_connection(self, connection: Any) -> PendingCall[R]:
        """Store it in the caller's own transaction: it exists if, and when, that commits.

        Args:
            connection: A connection of asyncpg, aiomysql, sqlite3, aiosqlite or Django, or a
                connection or session of SQLAlchemy, to the database of the task's driver.
        """
        return self.__pending__().configured(connection=connection, after_commit=None)

    def after_commit(self, session: Any) -> PendingCall[R]:
        """Send it once the caller's transaction has committed; never if it is rolled back.

        For drivers whose tasks are elsewhere: with `on_connection` nothing can come in between,
        here a process that dies after the commit and before the sending loses the task. Arguments
        are encoded at `dispatch`, so rows have to be flushed by then. What fails to be sent raises
        out of the commit, which has happened all the same.

        Args:
            session: A session of SQLAlchemy, asynchronous or not (its next transaction, if it is in
                none), or a connection of Django (in no transaction, it is sent at once).
        """
        return self.__pending__().configured(after_commit=session, connection=None)

    async def dispatch(self) -> TaskHandle[R]:
        """Send it; return once it is stored durably.

        Raises:
            TaskArgumentsError, EncodeError, MessageTooLargeError, UnsupportedError: It cannot be
                sent as it is; nothing was stored.
            DriverError: It was not stored.
            OutcomeUnknownError: It may be stored. Dispatching this same call again sends the same
                message, which the store keeps once where the driver has `idempotent_enqueue`.
        """
        call = self.__pending__()
        return await get_dispatcher(call.definition.options.driver).dispatch(call)

    def dispatch_sync(self) -> TaskHandle[R]:
        """Send it from code without an event loop, waiting until it is stored; as `dispatch`.

        Raises:
            ConfigurationError: An event loop runs in this thread; await `dispatch` there.
        """
        call = self.__pending__()
        joined = dispatched_in_transaction(call)
        return run_sync(call.dispatch, bound_loop()) if joined is None else joined


class PendingCall(Fluent[R]):
    """A task, its arguments and its options: not sent, not run, until `dispatch`."""

    __slots__ = ("args", "definition", "kwargs", "message", "message_id", "options", "used")

    def __init__(
        self,
        definition: TaskDefinition,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions = CallOptions(),
    ) -> None:
        self.definition: TaskDefinition = definition
        self.args: tuple[Any, ...] = args
        self.kwargs: Mapping[str, Any] = kwargs
        self.options: CallOptions = options
        self.message_id: bytes | None = None  # set while an outcome is unknown
        self.message: Message | None = None  # set where it was composed before it is sent
        self.used: bool = False

    def __pending__(self) -> Self:
        self.used = True
        return self

    def configured(self, **options: Any) -> PendingCall[R]:
        """Return a call with these fields of its `CallOptions` replaced, to stand for this one."""
        changed = replace(self.options, **options)
        return PendingCall(self.definition, self.args, self.kwargs, changed)

    def __del__(self) -> None:
        if not self.used:
            msg = f"{self!r} was dropped: nothing was sent. Await .dispatch() on it"
            warnings.warn(msg, UndispatchedTaskWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<call of task {self.definition.name!r}>"


def _ms(option: str, seconds: float) -> int:
    if not 0 <= seconds <= LONGEST_S:
        msg = f"{option}({seconds!r}) must be a number of seconds, 0 to {LONGEST_S:.0f}"
        raise ConfigurationError(msg)
    return round(seconds * 1000)
