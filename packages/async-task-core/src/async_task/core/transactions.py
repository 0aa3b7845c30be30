"""Messages and settlements in the application's own transaction: all of it, or none of it.

Dispatching on a connection stores the task when that transaction commits. Inside a task,

    async with current_context().transaction(session) as transaction:
        session.add(...)
        await send_receipt(order_id).dispatch()
        transaction.result = order_id

commits the task's writes, the tasks it dispatches, its result and its own end as one: its effects
happen once, whatever dies when.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from async_task.core.connections import Connection, completed, connection_of
from async_task.errors import ConfigurationError, LeaseLostError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from async_task.core.queue_driver import QueueDriver
    from async_task.spi.facets import Transactions
    from async_task.spi.messages import Lease, Message, Settlement

current_transaction: ContextVar[TaskTransaction | None] = ContextVar(
    "async_task_transaction", default=None
)


def usable(driver: QueueDriver, given: Any) -> tuple[Transactions, Connection]:
    """Return what is needed to use a caller's connection with a driver.

    Raises:
        UnsupportedError: The driver knows no transactions.
        ConfigurationError: The connection is of an unknown kind, or of another database.
    """
    facet = driver.driver.transactions
    if facet is None:
        raise driver.unsupported("transactions", "cannot join a transaction of the caller")
    connection = connection_of(given)
    if connection.dialect != facet.dialect:
        msg = (
            f"driver {driver.name!r} needs a {facet.dialect} connection, this is one of"
            f" {connection.dialect}"
        )
        raise ConfigurationError(msg)
    return facet, connection


async def store(driver: QueueDriver, given: Any, messages: list[Message]) -> None:
    """Store messages in the caller's transaction; they exist when it commits."""
    facet, connection = usable(driver, given)
    for statement in facet.enqueue(messages):
        await connection.fetch(statement)


def store_sync(driver: QueueDriver, given: Any, messages: list[Message]) -> None:
    """Store messages in the caller's transaction, on a synchronous connection."""
    facet, connection = usable(driver, given)
    if connection.is_async:
        msg = "dispatch_sync() needs a synchronous connection; await dispatch() on this one"
        raise ConfigurationError(msg)
    for statement in facet.enqueue(messages):
        completed(connection.fetch(statement))


class TaskTransaction:
    """The transaction that ends a running task.

    Entering begins it and locks the task; leaving without an error settles the task and commits.
    An error rolls everything back and is the task's failure as usual. Use `async with` for
    asynchronous connections and `with` for synchronous ones, in a `def` task.

    Attributes:
        given: The connection or session of the caller.
        result: What `TaskHandle.result` returns; what the task itself returns comes too late.
    """

    def __init__(
        self,
        driver: QueueDriver,
        given: Any,
        lease: Lease,
        *,
        ack: Callable[[object], Settlement],
        committed: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self.given = given
        self.result: object = None
        self.driver = driver
        self._facet, self._connection = usable(driver, given)
        self._lease = lease
        self._ack = ack
        self._committed = committed
        self._lost = lost
        self._token: Token[TaskTransaction | None] | None = None

    async def __aenter__(self) -> Self:
        self._check(is_async=True)
        await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end(error)

    def __enter__(self) -> Self:
        self._check(is_async=False)
        completed(self._begin())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        completed(self._end(error))

    async def _begin(self) -> None:
        await self._connection.begin()
        try:
            rows = await self._connection.fetch(self._facet.lock(self._lease))
        except BaseException:
            await self._connection.rollback()
            raise
        if not rows:
            await self._connection.rollback()
            self._lost()
            raise LeaseLostError("the task's lease was lost; nothing of its transaction is kept")
        self._token = current_transaction.set(self)

    async def _end(self, error: BaseException | None) -> None:
        if self._token is not None:
            current_transaction.reset(self._token)
        if error is not None:
            await self._connection.rollback()
            return
        try:
            for statement in self._facet.settle(self._ack(self.result)):
                await self._connection.fetch(statement)
            await self._connection.commit()
        except BaseException:
            await self._connection.rollback()
            raise
        self._committed()

    def _check(self, *, is_async: bool) -> None:
        if self._connection.is_async is not is_async:
            word = "async with" if self._connection.is_async else "with"
            raise ConfigurationError(f"this connection needs `{word}`")


def no_transactions(_: object) -> TaskTransaction:
    """Stand in where a task runs without a worker's driver."""
    raise UnsupportedError(
        "transaction() works in a worker only", capability="transactions", driver="none"
    )
