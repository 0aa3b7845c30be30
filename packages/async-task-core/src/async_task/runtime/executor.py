"""Runs one attempt and says how its lease ends. The only place that catches what tasks raise."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, Final

from async_task.core.clock import utc, wall_ms
from async_task.core.codec import codec
from async_task.core.context import running
from async_task.core.definition import Execution
from async_task.core.history import Failure
from async_task.core.reasons import DeadReason
from async_task.core.retry import RejectTask, ReleaseTask, RetryTask
from async_task.errors import (
    DecodeError,
    TaskArgumentsError,
    TaskCancelledError,
    TaskTimeoutError,
)
from async_task.runtime.admission import SOLO_CRASHES, rejection
from async_task.runtime.attempt import Attempt, Stop
from async_task.runtime.handover import Fault
from async_task.runtime.isolation import ChildDiedError, Children
from async_task.spi.messages import Ack, Reject, Release, Retry, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from async_task.core.task import Task

log = logging.getLogger("async_task.worker")


SPAWN_AGAIN_MS: Final = 5_000
"""When a task that found no child process is tried again."""


class Executor:
    """Runs attempts: coroutines here, functions in threads, the rest in child processes.

    Args:
        threads: Where functions run; None to run them here, as a child process does.
        children: Where process tasks and suspects run; None to run them here.
    """

    def __init__(
        self, threads: ThreadPoolExecutor | None, children: Children | None = None
    ) -> None:
        self._threads = threads
        self._children = children

    async def run(self, attempt: Attempt) -> Settlement | None:
        """Run an attempt to its end; return its settlement, or None to leave the lease alone.

        Never raises what the task raises, whatever that is. To end it early set `attempt.stop`
        and, unless it runs in a thread, cancel the asyncio task that awaits this.
        """
        alone = attempt.suspect or attempt.history.solo_crashes > 0
        try:
            if self._children is not None and (
                alone or attempt.definition.execution is Execution.PROCESS
            ):
                return await self._isolated(self._children, attempt, alone=alone)
            return await self._run(attempt)
        except asyncio.CancelledError:  # while failed() ran
            if attempt.stop is Stop.LEASE_LOST:
                return None
            return Release(attempt.lease, 0, attempt.lease.state)

    async def _run(self, attempt: Attempt) -> Settlement | None:
        running.set(attempt)
        instance: Task[Any] | None = None
        try:
            if attempt.doom is not None:
                return await self._doomed(attempt)
            args, kwargs = codec().decode_arguments(attempt.envelope.arguments)
            attempt.definition.check(args, kwargs)
            instance, body = _bound(attempt, args, kwargs)
            if attempt.fault is not None:
                return await self._failed(attempt, instance, attempt.fault)
            if attempt.definition.execution is Execution.THREAD and self._threads is not None:
                context = contextvars.copy_context()
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, context.run, body)
            else:
                result = body()
                if inspect.isawaitable(result):
                    await result
        except DecodeError as exc:
            return rejection(attempt.lease, attempt.history, DeadReason.BAD_PAYLOAD, exc)
        except TaskArgumentsError as exc:
            return rejection(attempt.lease, attempt.history, DeadReason.BAD_ARGUMENTS, exc)
        except BaseException as exc:
            return await self._ended(attempt, instance, exc)
        if attempt.in_thread and attempt.stop is Stop.TIMEOUT:
            return await self._ended(attempt, instance, None)  # it went on past its time
        if attempt.stop is Stop.LEASE_LOST:
            return None
        return Ack(attempt.lease)

    async def _isolated(
        self, children: Children, attempt: Attempt, *, alone: bool
    ) -> Settlement | None:
        lease = attempt.lease
        try:
            return await children.run(lease, alone=alone)
        except OSError as exc:
            log.warning("no child process can be started for %r: %s", attempt, exc)
            return Release(lease, SPAWN_AGAIN_MS, lease.state)
        except asyncio.CancelledError:
            if attempt.stop is not Stop.TIMEOUT:
                return await self._ended(attempt, None, None)
            fault = Fault("timeout", f"ran longer than its timeout of {attempt.timeout_s} s")
        except ChildDiedError as exc:
            fault = Fault("crash", f"its process {exc}")
            if attempt.doom is not None:
                return rejection(lease, attempt.history, *attempt.doom)
            if attempt.suspect:
                return await self._crashed_alone(children, attempt, fault)
        try:
            # A fresh child deals with the failure: nothing of the task runs in this process.
            return await children.run(lease, alone=True, fault=fault)
        except (ChildDiedError, OSError):
            return await self._failed(attempt, None, fault.error())

    async def _crashed_alone(
        self, children: Children, attempt: Attempt, fault: Fault
    ) -> Settlement | None:
        failure = Failure.of(fault.error(), attempt=attempt.history.failures, at_ms=wall_ms())
        history = attempt.history.crashed_alone(failure)
        lease = attempt.lease
        log.error("%r crashed alone (%d): %s", attempt, history.solo_crashes, fault.message)
        if history.solo_crashes < SOLO_CRASHES:
            return Retry(lease, 0, history.pack())
        try:
            judged = dataclasses.replace(lease, state=history.pack())
            settlement = await children.run(judged, alone=True)  # it is doomed: runs failed()
            if isinstance(settlement, Reject):
                return dataclasses.replace(settlement, lease=lease)
        except (ChildDiedError, OSError):
            pass
        return Reject(lease, DeadReason.POISON.value, history.pack())

    async def _ended(
        self, attempt: Attempt, instance: Task[Any] | None, error: BaseException | None
    ) -> Settlement | None:
        match attempt.stop:
            case Stop.LEASE_LOST:
                return None
            case Stop.CANCELLED:
                return Ack(attempt.lease)
            case Stop.SHUTDOWN:
                return Release(attempt.lease, 0, attempt.lease.state)
            case Stop.TIMEOUT:
                timeout = TaskTimeoutError(f"ran longer than its timeout of {attempt.timeout_s} s")
                timeout.__cause__ = error
                return await self._failed(attempt, instance, timeout)
            case None:
                pass
        match error:
            case ReleaseTask():
                return Release(attempt.lease, int(error.delay * 1000), attempt.lease.state)
            case RejectTask():
                return await self._dead(attempt, instance, DeadReason.REJECTED, error)
            case Exception():
                return await self._failed(attempt, instance, error)
            case _:
                # CancelledError from inside, SystemExit, KeyboardInterrupt.
                inner = TaskCancelledError(f"ended by {type(error).__name__} from inside")
                inner.__cause__ = error
                return await self._failed(attempt, instance, inner)

    async def _failed(
        self, attempt: Attempt, instance: Task[Any] | None, error: Exception
    ) -> Settlement:
        failure = Failure.of(error, attempt=attempt.history.failures, at_ms=wall_ms())
        attempt.history = history = attempt.history.failed(failure)
        chosen = error.delay if isinstance(error, RetryTask) else None
        policy = attempt.policy
        if (
            history.failures <= policy.max_retries
            and (isinstance(error, RetryTask) or policy.permits(error))
            and _should_retry(instance, error)
        ):
            delay_ms = policy.delay_ms(history.failures) if chosen is None else int(chosen * 1000)
            log.warning(
                "%r failed (run %d of %d), again in %.1f s: %s: %s",
                attempt,
                history.failures,
                policy.max_retries + 1,
                delay_ms / 1000,
                failure.type,
                failure.message,
            )
            return Retry(attempt.lease, delay_ms, history.pack())
        log.error("%r failed for good: %s: %s", attempt, failure.type, failure.message)
        await _call_failed(attempt, instance, error)
        return Reject(attempt.lease, DeadReason.FAILED.value, history.pack())

    async def _dead(
        self, attempt: Attempt, instance: Task[Any] | None, reason: DeadReason, error: Exception
    ) -> Reject:
        log.error("%r is dead (%s): %s", attempt, reason, error)
        await _call_failed(attempt, instance, error)
        return rejection(attempt.lease, attempt.history, reason, error)

    async def _doomed(self, attempt: Attempt) -> Settlement:
        assert attempt.doom is not None  # noqa: S101 - the caller's condition
        reason, error = attempt.doom
        instance: Task[Any] | None = None
        if attempt.definition.method is not None:
            try:
                args, kwargs = codec().decode_arguments(attempt.envelope.arguments)
                instance, _ = _bound(attempt, args, kwargs)
            except Exception as exc:
                log.warning("%r: failed() cannot run: %s", attempt, exc)
        return await self._dead(attempt, instance, reason, error)


def _bound(
    attempt: Attempt, args: list[Any], kwargs: dict[str, Any]
) -> tuple[Task[Any] | None, Callable[[], Any]]:
    """Return the instance, for class tasks, and the body to call."""
    definition = attempt.definition
    if definition.method is None:
        return None, functools.partial(definition.target, *args, **kwargs)
    instance: Any = definition.target(*args, **kwargs)
    instance._task_id = attempt.task_id  # noqa: SLF001 - the contract's names
    instance._attempts = attempt.history.failures  # noqa: SLF001
    instance._dispatched_at = utc(attempt.envelope.dispatched_at_ms)  # noqa: SLF001
    body = getattr(instance, definition.method)
    return instance, body


def _should_retry(instance: Task[Any] | None, error: Exception) -> bool:
    if instance is None:
        return True
    try:
        return instance.should_retry(error)
    except Exception:
        log.exception("should_retry() of %s raised; the retry policy decides", type(instance))
        return True


async def _call_failed(attempt: Attempt, instance: Task[Any] | None, error: Exception) -> None:
    if instance is None:
        return
    try:
        async with asyncio.timeout(attempt.timeout_s):
            await instance.failed(error)
    except Exception:
        log.exception("failed() of %r raised", attempt)
    except asyncio.CancelledError:
        if attempt.stop is not None:
            raise
        log.warning("failed() of %r was cancelled from inside", attempt)
