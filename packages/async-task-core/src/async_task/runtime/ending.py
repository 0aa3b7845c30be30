"""How a task's end becomes a settlement: done, tried again, put back, or given up on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from async_task.core.clock import wall_ms
from async_task.core.codec import codec
from async_task.core.history import Failure
from async_task.core.outcome import Outcome, TaskStatus
from async_task.core.reasons import DeadReason
from async_task.core.retry import RejectTask, ReleaseTask, RetryTask
from async_task.errors import EncodeError, TaskCancelledError, TaskTimeoutError
from async_task.runtime.attempt import Attempt, Stop
from async_task.spi.messages import Ack, Reject, Release, Retry, Settlement, StoredResult

if TYPE_CHECKING:
    from async_task.core.task import Task

log = logging.getLogger("async_task.worker")


def done(attempt: Attempt, value: object) -> Ack:
    """Return the settlement of a task that returned `value`."""
    if attempt.result_ttl_ms is None:
        return Ack(attempt.lease)
    try:
        outcome = Outcome(TaskStatus.DONE, codec().encode(value, "result"))
    except EncodeError as exc:  # its work is done all the same: running it again would not help
        log.error("%r is done, but its result cannot be kept: %s", attempt, exc)  # noqa: TRY400 - the task's, not ours
        outcome = Outcome(TaskStatus.FAILED, failure=_failure(attempt, exc), reason="bad_result")
    return Ack(attempt.lease, _kept(attempt, outcome))


def cancelled(attempt: Attempt) -> Ack:
    """Return the settlement of a task that somebody cancelled."""
    return Ack(attempt.lease, _kept(attempt, Outcome(TaskStatus.CANCELLED)))


def put_back(attempt: Attempt, delay_ms: int = 0) -> Release:
    """Return the settlement that hands a task back, uncharged."""
    return Release(attempt.lease, delay_ms, attempt.history.pack())


def rejected(attempt: Attempt, reason: DeadReason, error: Exception) -> Reject:
    """Return the settlement of a task that is given up on for `error`."""
    failure = _failure(attempt, error)
    return _rejected(attempt, reason, failure, attempt.history.noted(failure).pack())


async def dead(
    attempt: Attempt, instance: Task[Any] | None, reason: DeadReason, error: Exception
) -> Reject:
    """Give up on a task for `error`: tell it, and return its settlement."""
    failure = _failure(attempt, error)
    log.error("%r is dead (%s): %s: %s", attempt, reason, failure.type, failure.message)
    await _tell(attempt, instance, error)
    return rejected(attempt, reason, error)


async def failed(attempt: Attempt, instance: Task[Any] | None, error: Exception) -> Settlement:
    """Charge a task one failure; return its settlement: again later, or given up on."""
    failure = _failure(attempt, error)
    attempt.history = history = attempt.history.failed(failure)
    policy = attempt.policy
    asked = isinstance(error, RetryTask)
    if history.failures <= policy.max_retries and (
        asked or (policy.permits(error) and _should_retry(instance, error))
    ):
        delay_ms = policy.delay_ms(history.failures)
        if isinstance(error, RetryTask) and error.delay is not None:
            delay_ms = int(error.delay * 1000)
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
    await _tell(attempt, instance, error)
    return _rejected(attempt, DeadReason.FAILED, failure, history.pack())


async def ended(
    attempt: Attempt, instance: Task[Any] | None, error: BaseException | None
) -> Settlement | None:
    """Return the settlement of a task that raised `error`, or was ended for `attempt.stop`.

    Why the worker ended it comes before what it raised then. None leaves the lease alone.
    """
    match attempt.stop:
        case Stop.LEASE_LOST:
            return None
        case Stop.CANCELLED:
            return cancelled(attempt)
        case Stop.SHUTDOWN:
            return put_back(attempt)
        case Stop.TIMEOUT:
            timeout = TaskTimeoutError(f"ran longer than its timeout of {attempt.timeout_s} s")
            timeout.__cause__ = error
            return await failed(attempt, instance, timeout)
        case None:
            return await _raised(attempt, instance, error)


async def _raised(
    attempt: Attempt, instance: Task[Any] | None, error: BaseException | None
) -> Settlement:
    match error:
        case ReleaseTask():
            return put_back(attempt, int(error.delay * 1000))
        case RejectTask():
            return await dead(attempt, instance, DeadReason.REJECTED, error)
        case Exception():
            return await failed(attempt, instance, error)
        case _:
            # A CancelledError nobody asked for, SystemExit, KeyboardInterrupt.
            inner = TaskCancelledError(f"ended by {type(error).__name__} from inside")
            inner.__cause__ = error
            return await failed(attempt, instance, inner)


def _rejected(attempt: Attempt, reason: DeadReason, failure: Failure, state: bytes) -> Reject:
    outcome = Outcome(TaskStatus.FAILED, failure=failure, reason=reason.value)
    return Reject(attempt.lease, reason.value, state, _kept(attempt, outcome))


def _kept(attempt: Attempt, outcome: Outcome) -> StoredResult | None:
    if attempt.result_ttl_ms is None:
        return None
    return StoredResult(outcome.pack(), attempt.result_ttl_ms)


def _failure(attempt: Attempt, error: Exception) -> Failure:
    return Failure.of(error, attempt=attempt.history.failures, at_ms=wall_ms())


def _should_retry(instance: Task[Any] | None, error: Exception) -> bool:
    if instance is None:
        return True
    try:
        return instance.should_retry(error)
    except Exception:
        log.exception("should_retry() of %s raised; the retry policy decides", type(instance))
        return True


async def _tell(attempt: Attempt, instance: Task[Any] | None, error: Exception) -> None:
    """Run a class task's `failed()`."""
    attempt.timeout_at = None  # that was the body's; what follows has as much again
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
