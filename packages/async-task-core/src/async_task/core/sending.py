"""Sending tasks, and asking about them: the portable half of every dispatch."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from async_task.core.batching import EnqueueBatcher
from async_task.core.commits import commit_of
from async_task.core.composing import check_supported, message_of
from async_task.core.events import EventKind, TaskEvent, emit, listeners
from async_task.core.handle import TaskHandle
from async_task.core.ids import id_bytes, id_text
from async_task.core.middleware import dispatch_is_wrapped, wrapped_send
from async_task.core.outcome import Outcome, TaskStatus
from async_task.core.references import decoded
from async_task.core.results import ResultWaiter
from async_task.core.transactions import current_transaction, store, store_sync
from async_task.errors import (
    ConfigurationError,
    DriverError,
    OutcomeUnknownError,
    ResultNotReadyError,
    TaskCancelledError,
    TaskFailedError,
    UnsupportedError,
)
from async_task.spi.messages import Message, MessageState, StoredResult

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_task.core.pending import Fluent, PendingCall
    from async_task.core.queue_driver import QueueDriver

R = TypeVar("R")


class Dispatcher:
    """Sends tasks to one driver. Belongs to one running event loop and process.

    Concurrent dispatches share round trips without waiting for one another.
    """

    def __init__(self, driver: QueueDriver, *, joins_transactions: bool = True) -> None:
        """Make one; does no I/O.

        Args:
            driver: Where to send.
            joins_transactions: Store calls in the transactions they are to be in; a test's queue,
                which no transaction reaches, does not.
        """
        self.driver = driver
        self._joins_transactions = joins_transactions
        self._config = driver.config
        self._waiter: ResultWaiter | None = None
        self._batcher = EnqueueBatcher(driver.driver)

    async def dispatch(
        self, task: Fluent[R], queue: str | None = None, delay: float | None = None
    ) -> TaskHandle[R]:
        """Send one task; return once it is stored durably.

        Args:
            task: A called function task or an instance of a class task.
            queue: Goes before the task's own queue.
            delay: Seconds; goes before a delay chained on the call.

        Raises:
            TaskArgumentsError, EncodeError, MessageTooLargeError, UnsupportedError: It cannot be
                sent as it is; nothing was stored.
            DriverError: It was not stored.
            OutcomeUnknownError: It may be stored; dispatch the same call again to make sure.
        """
        call = given = task.__pending__()
        if queue is not None:
            call = call.on_queue(queue)
        if delay is not None:
            call = call.delay(delay)
        if call.options.after_commit is not None:
            return self.dispatch_after_commit(call)
        call.message_id = given.message_id
        send = self._send if call.message is None else partial(self._send, composed=call.message)
        try:
            return await wrapped_send(send)(call)
        finally:
            given.message_id = call.message_id

    async def dispatch_many(self, tasks: Iterable[Fluent[R]]) -> list[TaskHandle[R] | Exception]:
        """Send tasks in as few round trips as the driver permits.

        Returns:
            One entry per task, aligned: its handle, or the error that `dispatch` would have
            raised. Tasks that cannot be sent as they are keep none of the others back.
        """
        calls = [task.__pending__() for task in tasks]
        if dispatch_is_wrapped() or any(map(self._waits_for_transaction, calls)):
            return [await self._outcome(call) for call in calls]
        outcomes = [self._composed(call) for call in calls]
        messages = {i: o for i, o in enumerate(outcomes) if isinstance(o, Message)}
        errors = await self._stored({i: (calls[i], message) for i, message in messages.items()})
        for position, message in messages.items():
            call, error = calls[position], errors.get(position)
            if error is None:
                call.message_id = None
            elif isinstance(error, OutcomeUnknownError):
                call.message_id = message.id
            if error is None and listeners:
                emit(_dispatched(call, message))
            outcomes[position] = error or self._handle(call, message)
        return cast("list[TaskHandle[R] | Exception]", outcomes)

    async def result(self, task_id: str, timeout: float | None = None) -> object:
        """Wait for a task to end and return what it returned; see `TaskHandle.result`."""
        driver = self.driver
        if driver.results is None:
            raise driver.unsupported("results", "keeps no results")
        await driver.connect()
        if self._waiter is None:
            self._waiter = ResultWaiter(driver.results)
        try:
            async with asyncio.timeout(timeout):
                body = await self._waiter.wait(id_bytes(task_id))
        except TimeoutError:
            msg = f"task {task_id} has not ended within {timeout} s"
            raise ResultNotReadyError(msg) from None
        return await _value(task_id, Outcome.unpack(body))

    async def status(self, task_id: str) -> TaskStatus:
        """Say where a task is; see `TaskHandle.status`."""
        control, results = self.driver.control, self.driver.results
        if control is None and results is None:
            raise self.driver.unsupported("control", "cannot tell where a task is")
        await self.driver.connect()
        ids = [id_bytes(task_id)]
        state = None if control is None else (await control.status(ids))[0]
        if state is not None:
            return _STATUS[state]
        kept = None if results is None else (await results.get(ids))[0]
        return TaskStatus.UNKNOWN if kept is None else Outcome.unpack(kept).status

    async def cancel(self, task_id: str, result_ttl_ms: int | None = None) -> bool:
        """Cancel a task; see `TaskHandle.cancel`.

        Args:
            task_id: The task.
            result_ttl_ms: How long to keep that it was cancelled, for who awaits its result.
        """
        control, results = self.driver.control, self.driver.results
        if control is None:
            raise self.driver.unsupported("control", "cannot cancel tasks")
        await self.driver.connect()
        message_id = id_bytes(task_id)
        state = (await control.cancel([message_id]))[0]
        waited = state in (MessageState.READY, MessageState.DELAYED)
        if waited and results is not None and result_ttl_ms is not None:
            outcome = Outcome(TaskStatus.CANCELLED).pack()
            await results.put({message_id: StoredResult(outcome, result_ttl_ms)})
        return waited or state is MessageState.LEASED

    async def close(self) -> None:
        """Send what was submitted, then disconnect the driver."""
        if self._waiter is not None:
            self._waiter.close()
        await self._batcher.drain()
        await self.driver.disconnect()

    async def _send(
        self, call: PendingCall[Any], composed: Message | None = None
    ) -> TaskHandle[Any]:
        if composed is not None and call.message is None:  # middleware made another call of it
            call.message_id = composed.id  # which the caller has a handle to
        message = call.message or message_of(call, self._config)
        given = self._transaction_of(call)
        try:
            if given is not None:
                check_supported(call, self.driver)
                await store(self.driver, given, [message])
            else:
                await self.driver.connect()
                check_supported(call, self.driver)
                await self._batcher.submit(message)
        except (OutcomeUnknownError, asyncio.CancelledError):
            call.message_id = message.id
            raise
        call.message_id = None
        if listeners:
            emit(_dispatched(call, message))
        return self._handle(call, message)

    def _transaction_of(self, call: PendingCall[Any]) -> Any:
        """Return the connection in whose transaction a call is to be stored, or None."""
        if not self._joins_transactions:
            return None
        if call.options.connection is not None:
            return call.options.connection
        transaction = current_transaction.get()
        if transaction is not None and transaction.driver.is_same_store(self.driver):
            return transaction.given
        return None

    def _waits_for_transaction(self, call: PendingCall[Any]) -> bool:
        return call.options.after_commit is not None or self._transaction_of(call) is not None

    def dispatch_after_commit(
        self, call: PendingCall[R], *, is_sync: bool = False
    ) -> TaskHandle[R]:
        """Compose a call, and send it once the transaction it waits for has committed.

        Does no I/O.
        """
        commit = commit_of(call.options.after_commit)
        if is_sync and commit.is_async:
            msg = "dispatch_sync() needs a synchronous session; await dispatch() with this one"
            raise ConfigurationError(msg)
        message = message_of(call, self._config)
        sent: PendingCall[R] = call.configured(after_commit=None)
        sent.message, sent.used = message, True
        # A dispatcher belongs to its loop: the loop in the background has another.
        commit.then(partial(self.dispatch, sent) if commit.is_async else sent.dispatch)
        return self._handle(call, message)

    def dispatch_in_transaction(self, call: PendingCall[R]) -> TaskHandle[R] | None:
        """Store a call in a synchronous transaction, if it is to be in one; needs no loop."""
        given = self._transaction_of(call)
        if given is None:
            return None
        message = message_of(call, self._config)
        check_supported(call, self.driver)
        store_sync(self.driver, given, [message])
        if listeners:
            emit(_dispatched(call, message))
        return self._handle(call, message)

    async def _outcome(self, call: PendingCall[R]) -> TaskHandle[R] | Exception:
        try:
            return await self.dispatch(call)
        except Exception as exc:
            return exc

    def _composed(self, call: PendingCall[Any]) -> Message | TaskHandle[Any] | Exception:
        try:
            return message_of(call, self._config)
        except Exception as exc:
            return exc

    async def _stored(
        self, messages: dict[int, tuple[PendingCall[Any], Message]]
    ) -> dict[int, Exception]:
        """Store messages; return the errors of those that were not, by position."""
        try:
            await self.driver.connect()
        except DriverError as exc:
            return dict.fromkeys(messages, exc)
        errors: dict[int, Exception] = {}
        for position, (call, _) in messages.items():
            try:
                check_supported(call, self.driver)
            except UnsupportedError as exc:
                errors[position] = exc
        sent = {i: message for i, (_, message) in messages.items() if i not in errors}
        outcomes = await self._batcher.submit_many(list(sent.values()))
        errors.update({i: e for i, e in zip(sent, outcomes, strict=True) if e is not None})
        return errors

    def _handle(self, call: PendingCall[R], message: Message) -> TaskHandle[R]:
        options = call.definition.options
        return TaskHandle(
            id_text(message.id),
            driver=options.driver,
            task=call.definition.name,
            result_ttl_ms=options.result_ttl_ms(self._config),
        )


_STATUS = {
    MessageState.READY: TaskStatus.READY,
    MessageState.DELAYED: TaskStatus.DELAYED,
    MessageState.LEASED: TaskStatus.RUNNING,
    MessageState.DEAD: TaskStatus.FAILED,
}


async def _value(task_id: str, outcome: Outcome) -> object:
    """Return the result an outcome holds, or raise what it says instead."""
    if outcome.status is TaskStatus.DONE:
        return await decoded(outcome.value or b"")
    if outcome.status is TaskStatus.CANCELLED:
        msg = f"task {task_id} was cancelled"
        raise TaskCancelledError(msg)
    failure, reason = outcome.failure, outcome.reason or "failed"
    name, text = ("", "") if failure is None else (failure.type, failure.message)
    msg = f"task {task_id} is dead ({reason}): {name}: {text}"
    raise TaskFailedError(
        msg, reason=reason, type=name, traceback="" if failure is None else failure.traceback
    )


def _dispatched(call: PendingCall[Any], message: Message) -> TaskEvent:
    return TaskEvent(
        kind=EventKind.DISPATCHED,
        task_id=id_text(message.id),
        task=call.definition.name,
        queue=message.queue,
    )
