"""What a running task sees of itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from async_task.core.clock import utc
from async_task.core.context import TaskContext
from async_task.core.transactions import TaskTransaction, no_transactions
from async_task.runtime.attempt import Attempt, Stop
from async_task.runtime.ending import done

if TYPE_CHECKING:
    from async_task.core.queue_driver import QueueDriver


class Run:
    """One run of a task, as `current_context` finds it.

    Args:
        attempt: The attempt that runs.
        driver: Where its message is; None where none is at hand.
    """

    __slots__ = ("_attempt", "_driver")

    def __init__(self, attempt: Attempt, driver: QueueDriver | None) -> None:
        self._attempt = attempt
        self._driver = driver

    def context(self) -> TaskContext:
        """Return what the task can know about itself."""
        attempt = self._attempt
        return TaskContext(
            task_id=attempt.task_id,
            task=attempt.definition.name,
            queue=attempt.lease.queue,
            attempt=attempt.history.failures,
            deliveries=attempt.lease.deliveries,
            max_retries=attempt.policy.max_retries,
            dispatched_at=utc(attempt.envelope.dispatched_at_ms),
            join=self._transaction,
        )

    def _transaction(self, connection: Any) -> TaskTransaction:
        if self._driver is None:
            return no_transactions(connection)
        return TaskTransaction(
            self._driver,
            connection,
            self._attempt.lease,
            ack=partial(done, self._attempt),
            committed=self._committed,
            lost=self._lost,
        )

    def _committed(self) -> None:
        self._attempt.settled = True

    def _lost(self) -> None:
        self._attempt.stop = Stop.LEASE_LOST
