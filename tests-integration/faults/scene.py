"""A scenario's stage: a store, its workers, the history, and what a test asks about them."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from async_task import Dispatcher, PendingCall, QueueDriver
from async_task.config import Config
from async_task.errors import DriverError
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Release

from faults.checker import Checker, Violation
from faults.history import Event, History, Kind, now_ns
from faults.waiting import until
from faults.workers import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable
    from pathlib import Path

    from async_task.spi.messages import Lease

    from faults.backends import Store

LEASE_S: Final = 3.0
"""T in all scenarios; ten times shorter than the default."""
RECOVERY_S: Final = LEASE_S + 2
"""When a dead worker's tasks are leasable again, counted from their last renewal (contract)."""
_AT_ONCE: Final = 100
"""Tasks dispatched at once: a broker confirms as many well within `op_timeout`."""
SETTINGS: Final = {"visibility_timeout": LEASE_S, "op_timeout": 1.0, "default_retry_delay": 0.0}


class Scene:
    """One scenario.

    Attributes:
        driver: The store, connected.
        outages: Ways to take it away, by name.
        history: What happened.
        fleet: The worker processes.
    """

    def __init__(self, driver: QueueDriver, store: Store, history: History, fleet: Fleet) -> None:
        self.driver = driver
        self.outages = store.outages
        self.history = history
        self.fleet = fleet
        self._folder = history.path.parent
        self._dispatcher = Dispatcher(driver)

    @classmethod
    @asynccontextmanager
    async def on(cls, store: Store, folder: Path) -> AsyncGenerator[Scene]:
        """Set the stage in `folder`; at the end everything is ended."""
        config = {**SETTINGS, **store.config}
        history = History(folder / "history.txt")
        fleet = Fleet(config, history)
        try:
            async with QueueDriver.from_config(Config(**config)) as driver:
                yield cls(driver, store, history, fleet)
        finally:
            fleet.close()
            for log in fleet.logs:  # shown where a test fails
                print(log[-3000:])
            print(f"history: {history.path}")
            history.close()

    def gate(self, name: str) -> str:
        """Return the path of a gate, closed."""
        return str(self._folder / f"gate-{name}")

    def open(self, name: str) -> None:
        """Open a gate."""
        (self._folder / f"gate-{name}").touch()

    async def dispatch(self, calls: Iterable[PendingCall[Any]]) -> set[str]:
        """Send tasks and write into the history that they were accepted; return their ids."""
        calls, accepted = list(calls), set[str]()
        for first in range(0, len(calls), _AT_ONCE):
            accepted |= await self._dispatch(calls[first : first + _AT_ONCE])
        return accepted

    async def _dispatch(self, calls: list[PendingCall[Any]]) -> set[str]:
        at_ns = now_ns()
        outcomes = await self._dispatcher.dispatch_many(calls)
        accepted: list[Event] = []
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            accepted.append(_accepted(call, at_ns, outcome))
        self.history.append(*accepted)
        return {event.task_id for event in accepted}

    async def insist(self, calls: Iterable[PendingCall[Any]]) -> set[str]:
        """Send tasks, each again until it is accepted; otherwise as `dispatch`."""
        return set(await asyncio.gather(*map(self._insist, calls)))

    async def _insist(self, call: PendingCall[Any]) -> str:
        at_ns = now_ns()
        while True:
            try:
                task_id = await self._dispatcher.dispatch(call)
            except DriverError as error:
                if not error.retryable:
                    raise
            else:
                self.history.append(_accepted(call, at_ns, task_id))
                return task_id

    async def seen(self, kind: Kind, count: int, ids: set[str] | None = None) -> None:
        """Wait until `count` tasks, of these or of all, have an event of this kind."""
        what = f"{count} x {kind}"
        await until(lambda: self.history.count(kind, ids) >= count, what)

    async def waiting(self, *queues: str) -> int:
        """Return how many tasks the store holds, leased or not, dead letters aside."""
        stats = await self.driver.stats(queues or ("default",))
        return sum((s.ready or 0) + (s.delayed or 0) + (s.leased or 0) for s in stats)

    async def leased(self, *queues: str) -> int:
        """Return how many tasks workers hold."""
        return sum(s.leased or 0 for s in await self.driver.stats(queues or ("default",)))

    async def is_drained(self, *queues: str) -> bool:
        """Say whether the store holds no task any more, dead letters aside.

        One that counts only what is ready tells nothing of the others; there the history has to.
        One that does not answer, in the second that `op_timeout` leaves it, is asked again.
        """
        try:
            stats = await self.driver.stats(queues or ("default",))
        except DriverError:
            return False
        if any(s.ready or s.delayed or s.leased for s in stats):
            return False
        if all(s.leased is not None and s.delayed is not None for s in stats):
            return True
        accepted = {e.task_id for e in self.history.events(Kind.ACCEPTED)}
        done = {e.task_id for e in self.history.events(Kind.DONE)}
        return accepted <= done or accepted <= done | await self.dead(*queues)

    async def drained(self, *queues: str) -> None:
        """Wait until the store holds no task any more."""

        async def empty() -> bool:
            return await self.is_drained(*queues)

        await until(empty, "an empty store")

    async def dead(self, *queues: str) -> set[str]:
        """Return the ids of the dead letters."""
        letters = self.driver.dead_letters
        return {
            letter.id
            for queue in queues or ("default",)
            for letter in await letters.browse(queue, limit=100_000)
        }

    async def inspect(self, *queues: str, wait_ms: int = 0) -> list[Lease]:
        """Return all tasks that are ready, with what they are charged; they stay where they are."""
        names = queues or ("default",)
        driver = self.driver.driver
        options = ConsumerOptions(queues=names, max_leases=100_000)
        most = driver.capabilities.max_batch or 1000
        found: list[Lease] = []
        async with driver.consumer(options) as consumer:
            while page := await consumer.lease(
                names, most, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=60_000
            ):
                found += page
                wait_ms = 0
            for first in range(0, len(found), most):
                page = found[first : first + most]
                await consumer.settle([Release(lease, 0, lease.state) for lease in page])
        return found

    def violations(
        self,
        *,
        dead: Collection[str] = (),
        left: int = 0,
        resent: Collection[str] = (),
        recover_s: float | None = None,
    ) -> list[Violation]:
        """Return which promises were not kept, see `Checker`; no worker may have shown an error."""
        checker = Checker(
            self.history.events(),
            lease_s=LEASE_S,
            dead=dead,
            left=left,
            resent=resent,
            copies=not self.driver.driver.capabilities.atomic_settle,
            recover_s=recover_s,
        )
        errors = [log for log in self.fleet.logs if "Traceback" in log]
        return checker.violations() + [Violation("traceback", "-", log[-3000:]) for log in errors]


def _accepted(call: PendingCall[Any], at_ns: int, task_id: str) -> Event:
    due_ns = at_ns + call.options.delay_ms * 1_000_000
    return Event(Kind.ACCEPTED, at_ns, 0, task_id, value=due_ns)
