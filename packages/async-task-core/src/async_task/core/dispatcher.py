"""Sending tasks: check, encode, store. Nothing is stored before everything is checked."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from async_task.config import get_global_config
from async_task.core.batching import EnqueueBatcher
from async_task.core.clock import wall_ms
from async_task.core.codec import codec
from async_task.core.envelope import Envelope
from async_task.core.events import EventKind, TaskEvent, emit, listeners
from async_task.core.handle import TaskHandle
from async_task.core.ids import id_bytes, id_text, new_id
from async_task.core.middleware import dispatch_is_wrapped, wrapped_send
from async_task.core.outcome import Outcome, TaskStatus
from async_task.core.queue_driver import QueueDriver
from async_task.core.results import ResultWaiter
from async_task.core.transactions import current_transaction, store, store_sync
from async_task.errors import (
    DriverError,
    MessageTooLargeError,
    OutcomeUnknownError,
    ResultNotReadyError,
    TaskCancelledError,
    TaskFailedError,
)
from async_task.spi.capabilities import Delay
from async_task.spi.messages import Message, MessageState, StoredResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from async_task.core.pending import Fluent, PendingCall

R = TypeVar("R")


class Dispatcher:
    """Sends tasks to one driver. Belongs to one running event loop and process.

    Concurrent dispatches share round trips without waiting for one another.
    """

    def __init__(self, driver: QueueDriver) -> None:
        self.driver = driver
        self._config = driver.config
        self._waiter: ResultWaiter | None = None
        self._batcher = EnqueueBatcher(driver.driver.enqueue, driver.driver.capabilities.max_batch)

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
        given = _call_of(task)
        call = given
        if queue is not None:
            call = call.on_queue(queue)
        if delay is not None:
            call = call.delay(delay)
        call.message_id = given.message_id
        try:
            return await wrapped_send(self._send)(call)
        finally:
            given.message_id = call.message_id

    async def dispatch_many(self, tasks: Iterable[Fluent[R]]) -> list[TaskHandle[R] | Exception]:
        """Send tasks in as few round trips as the driver permits.

        Returns:
            One entry per task, aligned: its handle, or the error that `dispatch` would have
            raised. Tasks that cannot be sent as they are keep none of the others back.
        """
        tasks = list(tasks)
        if dispatch_is_wrapped() or any(map(self._transaction_of, map(_call_of, tasks))):
            sent = await asyncio.gather(*map(self.dispatch, tasks), return_exceptions=True)
            return [outcome for outcome in sent if _is_outcome(outcome)]
        outcomes: list[TaskHandle[R] | Exception] = []
        calls: dict[int, tuple[PendingCall[R], Message]] = {}
        for position, task in enumerate(tasks):
            call = _call_of(task)
            try:
                message = self._message(call)
            except Exception as exc:
                outcomes.append(exc)
            else:
                outcomes.append(self._handle(call, message))
                calls[position] = call, message
        errors = await self._sent([message for _, message in calls.values()])
        for (position, (call, message)), error in zip(calls.items(), errors, strict=True):
            call.message_id = message.id if isinstance(error, OutcomeUnknownError) else None
            if error is not None:
                outcomes[position] = error
            elif listeners:
                emit(_dispatched(call, message))
        return outcomes

    async def result(self, task_id: str, timeout: float | None = None) -> object:
        """Wait for a task to end and return what it returned; see `TaskHandle.result`."""
        driver = self.driver
        if driver.driver.results is None:
            raise driver.unsupported("results", "keeps no results")
        await driver.connect()
        if self._waiter is None:
            self._waiter = ResultWaiter(driver.driver.results)
        try:
            async with asyncio.timeout(timeout):
                body = await self._waiter.wait(id_bytes(task_id))
        except TimeoutError:
            msg = f"task {task_id} has not ended within {timeout} s"
            raise ResultNotReadyError(msg) from None
        return _value(task_id, Outcome.unpack(body))

    async def status(self, task_id: str) -> TaskStatus:
        """Say where a task is; see `TaskHandle.status`."""
        control, results = self.driver.driver.control, self.driver.driver.results
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
        control, results = self.driver.driver.control, self.driver.driver.results
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

    async def _send(self, call: PendingCall[Any]) -> TaskHandle[Any]:
        message = self._message(call)
        given = self._transaction_of(call)
        try:
            if given is not None:
                await store(self.driver, given, [message])
            else:
                await self.driver.connect()
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
        if self.driver is _substitute:  # a test's queue, which no transaction reaches
            return None
        if call.options.connection is not None:
            return call.options.connection
        transaction = current_transaction.get()
        if transaction is not None and transaction.driver.is_same_store(self.driver):
            return transaction.given
        return None

    def dispatch_in_transaction(self, call: PendingCall[R]) -> TaskHandle[R] | None:
        """Store a call in a synchronous transaction, if it is to be in one; needs no loop."""
        given = self._transaction_of(call)
        if given is None:
            return None
        message = self._message(call)
        store_sync(self.driver, given, [message])
        if listeners:
            emit(_dispatched(call, message))
        return self._handle(call, message)

    async def _sent(self, messages: list[Message]) -> list[DriverError | None]:
        try:
            await self.driver.connect()
        except DriverError as exc:
            return [exc for _ in messages]
        return await self._batcher.submit_many(messages)

    def _handle(self, call: PendingCall[R], message: Message) -> TaskHandle[R]:
        options = call.definition.options
        return TaskHandle(
            id_text(message.id),
            driver=options.driver,
            task=call.definition.name,
            result_ttl_ms=options.result_ttl_ms(self._config),
        )

    def _message(self, call: PendingCall[Any]) -> Message:
        call.used = True
        task, options = call.definition, call.options
        task.check(call.args, call.kwargs)
        capabilities = self.driver.driver.capabilities
        if options.priority >= capabilities.priorities and options.priority > 0:
            what = f"has {capabilities.priorities} priority level(s), so no priority"
            raise self.driver.unsupported("priorities", f"{what} {options.priority}")
        if options.delay_ms and capabilities.delay is Delay.NONE:
            raise self.driver.unsupported("delay", "cannot delay tasks")
        if self.driver.driver.results is None and task.options.result_ttl_ms(self._config):
            raise self.driver.unsupported("results", "keeps no results")
        arguments = codec().encode_arguments(call.args, call.kwargs, task.parameters)
        body = Envelope(task.name, arguments, wall_ms(), options.retry_delay_ms).pack()
        limit = min(capabilities.max_body or self._config.max_body, self._config.max_body)
        if len(body) > limit:
            msg = (
                f"task {task.name!r}: its message has {len(body)} bytes, over the limit of {limit};"
                " pass a reference to the data instead, or raise max_body if the driver permits"
            )
            raise MessageTooLargeError(msg)
        return Message(
            call.message_id or new_id(),
            options.queue or task.options.queue or self._config.default_queue,
            body,
            options.priority,
            options.delay_ms,
            options.expires_in_ms,
        )


_STATUS = {
    MessageState.READY: TaskStatus.READY,
    MessageState.DELAYED: TaskStatus.DELAYED,
    MessageState.LEASED: TaskStatus.RUNNING,
    MessageState.DEAD: TaskStatus.FAILED,
}


def _value(task_id: str, outcome: Outcome) -> object:
    """Return the result an outcome holds, or raise what it says instead."""
    if outcome.status is TaskStatus.DONE:
        return codec().decode(outcome.value or b"")
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


def _is_outcome(outcome: TaskHandle[R] | BaseException) -> TypeGuard[TaskHandle[R] | Exception]:
    if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
        raise outcome
    return True


def _call_of(task: Fluent[R]) -> PendingCall[R]:
    from async_task.core.pending import PendingCall  # which imports this module

    return PendingCall.of(task)


class _LoopDispatchers:
    """The dispatchers of one event loop: opened on first use, closed with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = os.getpid()
        self.bound: Dispatcher | None = None
        self._open: dict[object, Dispatcher] = {}
        # A loop closes its unfinished asynchronous generators when it shuts down: the one hook
        # through which something can end with a loop without its owner doing anything.
        self._guard = self._close_with_loop(loop)
        with contextlib.suppress(StopIteration):
            self._guard.__anext__().send(None)

    def get(self, driver: str | QueueDriver | None) -> Dispatcher:
        if _substitute is not None:
            driver = _substitute
        if isinstance(driver, QueueDriver):
            return self._opened(driver, lambda: driver)
        if driver is None and self.bound is not None:
            return self.bound
        config = get_global_config()
        return self._opened((driver, config), lambda: QueueDriver.from_config(config, name=driver))

    def _opened(self, key: object, make: Any) -> Dispatcher:
        if key not in self._open:
            self._open[key] = Dispatcher(make())
        return self._open[key]

    async def _close_with_loop(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            del _of_loop[loop]
            for dispatcher in self._open.values():
                await dispatcher.close()


_substitute: QueueDriver | None = None


def substitute_driver(driver: QueueDriver | None) -> None:
    """Send everything this process dispatches to `driver`, whatever it asks for; None undoes it.

    For tests: it holds in every event loop and thread.
    """
    global _substitute
    _substitute = driver


_of_loop: dict[asyncio.AbstractEventLoop, _LoopDispatchers] = {}


def _running_loop_dispatchers() -> _LoopDispatchers:
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None or found.pid != os.getpid():  # a forked child inherits no connection
        found = _of_loop[loop] = _LoopDispatchers(loop)
    return found


def get_dispatcher(driver: str | QueueDriver | None = None) -> Dispatcher:
    """Return the running loop's dispatcher for the default driver, or for the one given.

    It is made on first use and closed when the loop ends (as `asyncio.run` ends it): there is
    nothing to clean up.

    Raises:
        RuntimeError: No event loop is running.
        ConfigurationError: The configuration chooses no driver.
    """
    return _running_loop_dispatchers().get(driver)


def dispatched_in_transaction(call: PendingCall[R]) -> TaskHandle[R] | None:
    """Dispatch a call in the synchronous transaction it is to be in; None if it is in none."""
    if call.options.connection is None and current_transaction.get() is None:
        return None
    driver = call.definition.options.driver
    if not isinstance(driver, QueueDriver):
        driver = _substitute or QueueDriver.from_config(get_global_config(), name=driver)
    return Dispatcher(driver).dispatch_in_transaction(call)


def bind_dispatcher(dispatcher: Dispatcher | None) -> None:
    """Make `dispatcher` the running loop's default; whoever binds it closes it. None unbinds."""
    _running_loop_dispatchers().bound = dispatcher
