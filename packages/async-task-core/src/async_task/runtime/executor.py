"""Runs one attempt. The only place, with `ending`, that catches what tasks raise."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
import logging
from contextlib import AsyncExitStack
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

from async_task.core.clock import utc, wall_ms
from async_task.core.codec import codec
from async_task.core.context import running
from async_task.core.definition import Execution
from async_task.core.history import Failure
from async_task.core.middleware import execution_is_wrapped, wrapped_run
from async_task.core.reasons import DeadReason
from async_task.core.references import SharedFetch, closed
from async_task.errors import DecodeError, TaskArgumentsError, TaskCancelledError
from async_task.runtime import ending
from async_task.runtime.admission import SOLO_CRASHES
from async_task.runtime.attempt import Attempt, Stop
from async_task.runtime.handover import Fault
from async_task.runtime.isolation import ChildDiedError, Children
from async_task.runtime.run import Run
from async_task.spi.messages import Reject, Retry, Settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import ThreadPoolExecutor

    from async_task.core.definition import TaskDefinition
    from async_task.core.queue_driver import QueueDriver
    from async_task.core.task import Task
    from async_task.serialization.codec import Codec

log = logging.getLogger("async_task.worker")

SPAWN_AGAIN_MS: Final = 5_000
"""When a task that found no child process is tried again."""


class Executor:
    """Runs attempts: coroutines here, functions in threads, the rest in child processes.

    Args:
        threads: Where functions run; None to run them here, as a child process does.
        children: Where process tasks and suspects run; None to run them here.
        begin: Called when an attempt's time limit begins to count.
        driver: Where the messages are, for tasks that end in a transaction of their own.
    """

    def __init__(
        self,
        threads: ThreadPoolExecutor | None = None,
        children: Children | None = None,
        begin: Callable[[Attempt], None] = lambda _: None,
        driver: QueueDriver | None = None,
    ) -> None:
        self._threads = threads
        self._children = children
        self._begin = begin
        self._driver = driver

    async def run(self, attempt: Attempt) -> Settlement | None:
        """Run an attempt to its end; return its settlement, or None to leave the lease alone.

        Never raises what the task raises, whatever that is. To end it early set `attempt.stop`
        and, unless it runs in a thread, cancel the asyncio task that awaits this.
        """
        if self._children is not None and attempt.apart:
            return await _undisturbed(attempt, self._isolated(self._children, attempt))
        self._begin(attempt)
        run = Run(attempt, self._driver)
        running.set(run)
        payload, plain = attempt.envelope.arguments, codec()
        if not plain.refers(payload):
            return await self._run(attempt, run, plain)
        if (fetch := attempt.fetch) is None:
            fetch = SharedFetch()
            fetch.add(payload)
        scope = AsyncExitStack()
        attempt.fetching = True
        try:
            decoder = await scope.enter_async_context(fetch.opened(payload))
        except BaseException as exc:
            return await _undisturbed(attempt, _unbound(attempt, exc))
        finally:
            attempt.fetching = False
        try:
            return await self._run(attempt, run, decoder)
        finally:
            await closed(scope)

    async def _run(self, attempt: Attempt, run: Run, decoder: Codec) -> Settlement | None:
        definition, instance = attempt.definition, None
        try:
            args, kwargs = decoder.decode_arguments(attempt.envelope.arguments)
            definition.check(args, kwargs)
            body = definition.target
            if definition.method is not None:
                instance = _instance(attempt, args, kwargs)
                body, args, kwargs = getattr(instance, definition.method), [], {}
        except BaseException as exc:
            return await _undisturbed(attempt, _unbound(attempt, exc))
        if attempt.doom is not None or attempt.fault is not None:
            return await _undisturbed(attempt, _not_to_run(attempt, instance))
        try:
            if execution_is_wrapped():
                call = functools.partial(self._call, definition, body, args, kwargs)
                value = wrapped_run(run.context, functools.partial(_awaited, call))()
            else:
                value = self._call(definition, body, args, kwargs)
            if _is_awaitable(value):
                value = await value
        except BaseException as exc:
            if attempt.settled:
                log.exception("%r raised after its transaction had ended it", attempt)
                return None
            return await _undisturbed(attempt, ending.ended(attempt, instance, exc))
        if attempt.settled:  # by its own transaction
            return None
        if attempt.stop in (Stop.LEASE_LOST, Stop.CANCELLED) or (
            attempt.stop is Stop.TIMEOUT and attempt.in_thread
        ):
            return await _undisturbed(attempt, ending.ended(attempt, instance, None))
        # A coroutine that was told its time is up may finish all the same, and is done then.
        return ending.done(attempt, value)

    def _call(
        self,
        definition: TaskDefinition,
        body: Callable[..., Any],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a body where it belongs; what this returns is to be awaited if it can be."""
        if definition.execution is Execution.THREAD and self._threads is not None:
            return _in_thread(self._threads, functools.partial(body, *args, **kwargs))
        return body(*args, **kwargs)

    async def _isolated(self, children: Children, attempt: Attempt) -> Settlement | None:
        lease = attempt.lease
        try:
            return await children.run(
                lease,
                alone=attempt.suspect,
                begin=lambda: self._begin(attempt),
                committed=lambda: setattr(attempt, "settled", True),
            )
        except OSError as exc:
            log.warning("no child process can be started for %r: %s", attempt, exc)
            return ending.put_back(attempt, SPAWN_AGAIN_MS)
        except asyncio.CancelledError:
            if attempt.stop is not Stop.TIMEOUT:
                return await ending.ended(attempt, None, None)
            fault = Fault("timeout", f"ran longer than its timeout of {attempt.timeout_s} s")
        except ChildDiedError as exc:
            fault = Fault("crash", f"its process {exc}")
            if attempt.doom is not None:
                return ending.rejected(attempt, *attempt.doom)
            if attempt.suspect:
                return await _crashed_alone(children, attempt, fault)
        try:
            # A fresh child deals with the failure: nothing of the task runs in this process.
            return await children.run(lease, alone=True, fault=fault)
        except (ChildDiedError, OSError):
            return await ending.failed(attempt, None, fault.error())


def _is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    return type(value) is CoroutineType or inspect.isawaitable(value)  # the first says most


async def _awaited(call: Callable[[], Any]) -> Any:
    value = call()
    return await value if _is_awaitable(value) else value


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], Any]) -> Any:
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    value, error = await loop.run_in_executor(threads, _outcome, context, call)
    try:
        if error is not None:
            raise error
    finally:
        del error  # this frame is in its traceback
    # A coroutine function behind a decorator that is none looks like a function.
    return await value if _is_awaitable(value) else value


def _outcome(
    context: contextvars.Context, body: Callable[[], Any]
) -> tuple[Any, BaseException | None]:
    """Run `body` in a thread; return what it returned, or raised.

    A future cannot hand over everything that can be raised: StopIteration leaves it pending for
    ever (Python 3.11), GeneratorExit ends whoever awaits it.
    """
    try:
        return context.run(body), None
    except BaseException as exc:
        return None, exc


async def _undisturbed(
    attempt: Attempt, settling: Coroutine[Any, Any, Settlement | None]
) -> Settlement | None:
    """Await how an attempt is to be settled; if that is cancelled, while `failed()` runs, say."""
    try:
        return await settling
    except asyncio.CancelledError:
        return None if attempt.stop is Stop.LEASE_LOST else ending.put_back(attempt)


async def _unbound(attempt: Attempt, error: BaseException) -> Settlement | None:
    """Return the settlement of a task whose arguments, or whose constructor, do not work."""
    if attempt.doom is not None:
        log.warning("%r: failed() cannot run: %s", attempt, error)
        return ending.rejected(attempt, *attempt.doom)
    match error:
        case DecodeError():
            return await ending.dead(attempt, None, DeadReason.BAD_PAYLOAD, error)
        case TaskArgumentsError():
            return await ending.dead(attempt, None, DeadReason.BAD_ARGUMENTS, error)
        case TaskCancelledError() if attempt.stop is None:  # what it refers to is no more
            log.info("%r ends without a run: %s", attempt, error)
            attempt.stop = Stop.CANCELLED
            return ending.cancelled(attempt)
        case _:
            return await ending.ended(attempt, None, error)


async def _not_to_run(attempt: Attempt, instance: Task[Any] | None) -> Settlement:
    """Return the settlement of a task that is given up on, or whose run ended elsewhere."""
    if attempt.doom is not None:
        return await ending.dead(attempt, instance, *attempt.doom)
    assert attempt.fault is not None  # noqa: S101 - the caller's condition
    return await ending.failed(attempt, instance, attempt.fault)


async def _crashed_alone(children: Children, attempt: Attempt, fault: Fault) -> Settlement:
    """Return the settlement of a suspect that took its own process down."""
    error = fault.error()
    failure = Failure.of(error, attempt=attempt.history.failures, at_ms=wall_ms())
    attempt.history = history = attempt.history.crashed_alone(failure)
    lease = attempt.lease
    log.error("%r crashed alone (%d): %s", attempt, history.solo_crashes, fault.message)
    if history.solo_crashes < SOLO_CRASHES:
        return Retry(lease, 0, history.pack())
    try:
        # Another child finds it doomed by its history, and runs its failed().
        told = await children.run(dataclasses.replace(lease, state=history.pack()), alone=True)
        if isinstance(told, Reject):
            return dataclasses.replace(told, lease=lease)
    except (ChildDiedError, OSError):
        pass
    return ending.rejected(attempt, DeadReason.POISON, error)


def _instance(attempt: Attempt, args: list[Any], kwargs: dict[str, Any]) -> Task[Any]:
    """Return the instance of a class task."""
    instance: Any = attempt.definition.target(*args, **kwargs)
    instance._task_id = attempt.task_id  # noqa: SLF001 - the contract's names
    instance._attempts = attempt.history.failures  # noqa: SLF001 - as above
    instance._dispatched_at = utc(attempt.envelope.dispatched_at_ms)  # noqa: SLF001 - as above
    return cast("Task[Any]", instance)
