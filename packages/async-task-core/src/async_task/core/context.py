"""The attempt that is running now, visible to everything it calls."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from async_task.core.transactions import no_transactions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from async_task.core.transactions import TaskTransaction


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a running task can know about itself.

    Attributes:
        task_id: The id `dispatch` returned.
        task: The task's name.
        queue: The queue it came from.
        attempt: How many runs came before this one and failed; 0 on the first.
        deliveries: How often it was handed to a worker, crashes and releases included.
        max_retries: Its budget of re-runs.
        dispatched_at: When it was dispatched, by the dispatcher's clock; aware.
        join: What `transaction` calls.
    """

    task_id: str
    task: str
    queue: str
    attempt: int
    deliveries: int
    max_retries: int
    dispatched_at: datetime
    join: Callable[[Any], TaskTransaction] = field(
        default=no_transactions, repr=False, compare=False
    )

    def transaction(self, connection: Any) -> TaskTransaction:
        """Return a transaction that ends this task together with what it writes.

        Args:
            connection: A connection or session of the driver's database, in no transaction yet.

        Raises:
            UnsupportedError: The driver is not a database.
            ConfigurationError: The connection is of another kind or database.
        """
        return self.join(connection)


class Running(Protocol):
    """What is running: able to describe itself when asked, which most tasks never do."""

    def context(self) -> TaskContext:
        """Return what the task can know about itself."""
        ...


running: ContextVar[Running] = ContextVar("async_task_running")


def current_context() -> TaskContext:
    """Return the context of the task that is running.

    Raises:
        LookupError: No task is running here.
    """
    try:
        return running.get().context()
    except LookupError:
        msg = "no task is running here; current_context() works inside a task only"
        raise LookupError(msg) from None
