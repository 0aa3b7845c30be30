"""A store and workers inside the test's own process, for promises that need no process to die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from async_task import Config, Dispatcher, QueueDriver, Worker
from async_task.core.registry import Registry, registry

from faults.scene import SETTINGS

if TYPE_CHECKING:
    from async_task import Task
    from async_task.core.dead_letters import DeadTask
    from async_task.core.pending import PendingCall

    from faults.backends import Store


class Bench:
    """One store.

    Attributes:
        driver: It, connected.
    """

    def __init__(self, store: Store) -> None:
        # Nothing fails here on purpose, so that a stall of the machine must not look like it.
        self.driver = QueueDriver.from_config(
            Config(**{**SETTINGS, "op_timeout": 5.0, **store.config})
        )
        self._dispatcher = Dispatcher(self.driver)

    async def __aenter__(self) -> Self:
        await self.driver.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.disconnect()

    async def dispatch(self, *calls: PendingCall[Any] | Task[Any]) -> list[str]:
        """Send tasks one after the other; return their ids."""
        return [await self._dispatcher.dispatch(call) for call in calls]

    async def work(self, *queues: str, concurrency: int = 10, max_tasks: int | None = None) -> None:
        """Have a worker run what there is until nothing is ready any more."""
        worker = self.worker(*queues, concurrency=concurrency, max_tasks=max_tasks)
        await worker.start()
        await self.driver.connect()  # the worker disconnects it

    def worker(self, *queues: str, **options: Any) -> Worker:
        """Return a worker that stops when nothing is ready any more.

        It knows the scenarios' tasks alone: those of other tests of this process may ask for what
        a driver has not, which no worker lets pass.
        """
        tasks = Registry()
        for definition in registry:
            if definition.target.__module__.startswith("faults."):
                tasks.add(definition)
        return Worker(self.driver, queues, stop_when_empty=True, tasks=tasks, **options)

    async def run(self, *calls: PendingCall[Any] | Task[Any], concurrency: int = 10) -> list[str]:
        """Send tasks, then have them worked off."""
        ids = await self.dispatch(*calls)
        await self.work(concurrency=concurrency)
        return ids

    async def dead(self, queue: str = "default") -> list[DeadTask]:
        """Return the dead letters."""
        return await self.driver.dead_letters.browse(queue)

    async def left(self, queue: str = "default") -> int:
        """Return how many tasks the queue still holds: ready, delayed or leased."""
        return await self.driver.get_queue_size(queue, include_in_flight=True)
