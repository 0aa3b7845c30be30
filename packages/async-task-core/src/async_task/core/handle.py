"""What `dispatch` returns: the task's id, and what can be asked and done about the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar, cast

if TYPE_CHECKING:
    from async_task.core.outcome import TaskStatus
    from async_task.core.queue_driver import QueueDriver

R_co = TypeVar("R_co", covariant=True)


class TaskHandle(str, Generic[R_co]):
    """A dispatched task: its id, as text. Holds no connection; travels and pickles as its id.

    A handle can be made again from an id: `TaskHandle[int](task_id)`.
    """

    __slots__ = ("_driver", "_result_ttl_ms", "_task")  # a dict takes as long as all the rest

    _driver: str | QueueDriver | None
    _result_ttl_ms: int | None
    _task: str | None

    def __new__(
        cls,
        task_id: str,
        *,
        driver: str | QueueDriver | None = None,
        task: str | None = None,
        result_ttl_ms: int | None = None,
    ) -> Self:
        """Make a handle.

        Args:
            task_id: The id that `dispatch` returned.
            driver: Where the task was sent, if not to the default driver.
            task: The task's name, if known.
            result_ttl_ms: How long its result is kept; None with a `task` means not at all.
        """
        handle = super().__new__(cls, task_id)
        handle._driver = driver
        handle._task = task
        handle._result_ttl_ms = result_ttl_ms
        return handle

    async def result(self, timeout: float | None = None) -> R_co:
        """Wait for the task to end and return what it returned.

        Args:
            timeout: Seconds to wait at most; None for no limit.

        Raises:
            ConfigurationError: The task keeps no result; declare it with `result_ttl`.
            UnsupportedError: The driver keeps none.
            ResultNotReadyError: It has not ended in time.
            TaskFailedError: It was given up on; says why.
            TaskCancelledError: It was cancelled.
            DecodeError: What it returned cannot be decoded here.
        """
        from async_task.core.dispatcher import get_dispatcher  # which imports this module

        if self._task is not None and self._result_ttl_ms is None:
            from async_task.errors import ConfigurationError

            msg = (
                f"task {self._task!r} keeps no result; declare it with result_ttl=SECONDS, or set"
                " default_result_ttl"
            )
            raise ConfigurationError(msg)
        value = await get_dispatcher(self._driver).result(self, timeout)
        return cast("R_co", value)

    async def status(self) -> TaskStatus:
        """Say where the task is, or how it ended if that is kept.

        Raises:
            UnsupportedError: The driver has neither `control` nor `results`.
        """
        from async_task.core.dispatcher import get_dispatcher

        return await get_dispatcher(self._driver).status(self)

    async def cancel(self) -> bool:
        """Cancel the task: gone at once while it waits; told within a third of a lease if it runs.

        A coroutine gets a `CancelledError`, a child process is killed, a thread runs to its end
        and its outcome is dropped. However it ends, it does not run again.

        Returns:
            False if it had ended already.

        Raises:
            UnsupportedError: The driver has no `control`.
        """
        from async_task.core.dispatcher import get_dispatcher

        return await get_dispatcher(self._driver).cancel(self, self._result_ttl_ms)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))
