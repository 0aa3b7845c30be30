"""One run of a worker over an open consumer: lease into free slots, run, settle, and drain."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from async_task.core.clock import boottime
from async_task.core.codec import codec
from async_task.core.elsewhere import ControlElsewhere
from async_task.core.events import EventKind, emit, listeners
from async_task.core.references import SharedFetch
from async_task.errors import DriverError, OutcomeUnknownError
from async_task.runtime import ending
from async_task.runtime.attempt import Attempt, Hold, Stop
from async_task.runtime.depositor import Depositor
from async_task.runtime.executor import Executor
from async_task.runtime.happening import event, settled_event
from async_task.runtime.heartbeat import Heartbeat, margin_s
from async_task.runtime.outage import Outage
from async_task.runtime.outbox import MAX_BATCH
from async_task.runtime.settler import Settler
from async_task.runtime.steering import Steering
from async_task.runtime.table import Table
from async_task.spi.messages import Ack, Lease, Settlement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from async_task.core.queue_driver import QueueDriver
    from async_task.runtime.admission import Admission
    from async_task.runtime.isolation import Children
    from async_task.runtime.outbox import Outbox
    from async_task.runtime.session_options import SessionOptions
    from async_task.spi.driver import Consumer

log = logging.getLogger("async_task.worker")

LONGEST_WAIT_MS: Final = 5_000
"""Longest that one lease call waits; a sixth of the lease where that is shorter, since the local
deadline counts from before the call."""
CANCEL_GRACE_S: Final = 3.0
"""What cancelled tasks get to clean up when a worker stops (delivery contract)."""
MAINTAIN_S: Final = 1.0
QUICK_S: Final = 0.1
"""Tasks that take less on average are worth leasing ahead of free slots; slower ones are not, since
what waits here could run elsewhere."""
MAX_UNSETTLED: Final = 10_000
"""Most leases held at once besides those that run, so that a slow store bounds memory."""


class Session:
    """Works until told to stop. Belongs to one event loop."""

    def __init__(
        self,
        queue_driver: QueueDriver,
        consumer: Consumer,
        admission: Admission,
        children: Children,
        options: SessionOptions,
    ) -> None:
        driver = queue_driver.driver
        self._maintained = [driver, *(store.driver for store in queue_driver.stores)]
        self._capabilities = driver.capabilities
        self._consumer = consumer
        self._admission = admission
        self._options = options
        self._remaining = options.max_tasks
        self._most = driver.capabilities.max_batch or MAX_BATCH
        visibility_s = options.visibility_ms / 1000
        renewed = driver.keeper() is not None
        self._hold_s = visibility_s - margin_s(visibility_s) if renewed else float("inf")
        self._table = Table(self._end, self._put_back)
        self._threads = ThreadPoolExecutor(options.concurrency, "async-task")
        self._children = children
        self._executor = Executor(self._threads, children, self._begin, queue_driver)
        settler = Settler(consumer, max_batch=self._most, on_settled=self._on_settled)
        self._settler: Outbox = settler
        if queue_driver.results is not None and driver.results is None:
            self._settler = Depositor(queue_driver.results, settler, on_lost=self._on_settled)
        self._heartbeat = Heartbeat(driver, self._table.held, options.visibility_ms, self._end)
        self._steering: Steering | None = None
        if isinstance(queue_driver.control, ControlElsewhere):
            self._steering = Steering(
                queue_driver.control,
                self._table.held,
                options.visibility_ms,
                self._end,
                self._on_steered,
            )
        self._order = options.order()
        # Every run starts from this: what one task sets in its context, the next does not see.
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._unheard: tuple[bytes, float] | None = None  # a lease call, and when its leases end
        self._average_s = 0.0
        self._stopping = False
        self._changed = asyncio.Event()
        self._at_once = asyncio.Event()

    @property
    def spent(self) -> bool:
        """Whether all of `max_tasks` were run."""
        return self._remaining == 0

    @property
    def running(self) -> int:
        """How many tasks are running."""
        return len(self._table.running)

    def stop(self) -> None:
        """Lease no more; then drain."""
        self._stopping = True
        self._consumer.interrupt()
        self._changed.set()

    def stop_now(self) -> None:
        """Lease no more; then drain without waiting for what runs."""
        self._at_once.set()
        self.stop()

    async def run(self) -> None:
        """Work until stopped, out of tasks or empty, then drain."""
        self._heartbeat.start()
        beside = [asyncio.create_task(self._maintain())]
        if self._steering is not None:
            beside.append(asyncio.create_task(self._steering.follow()))
        try:
            await self._lease_until_stopped()
        except asyncio.CancelledError:
            self._at_once.set()  # whoever cancels a worker does not want to wait
            raise
        finally:
            self._stopping = True
            await self._drain()
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            self._table.close()
            await self._heartbeat.stop(self._options.op_timeout_s)
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._children.close()

    async def _lease_until_stopped(self) -> None:
        outage = Outage("leasing tasks")
        while not self._stopping:
            room = self._room()
            if room <= 0:
                if self._remaining == 0 and not self._table.held:
                    return
                await self._change()
                continue
            # A settlement on its way may give back what a lease at the same time does not see.
            held = bool(self._table.held)
            try:
                found = await self._recover() or await self._lease(room)
            except DriverError as exc:
                await self._pause(outage.failed(exc))
                continue
            outage.recovered()
            if found:
                # What has just been started goes first: quick tasks are over then, and the next
                # call is about all slots, not about the few ahead of them (no-op tasks on Redis:
                # 112 leases a call instead of 62).
                await asyncio.sleep(0)
            elif self._options.stop_when_empty:
                if not held:
                    return
                await self._change()
        with contextlib.suppress(DriverError):
            await self._recover()  # to give it back

    async def _lease(self, room: int) -> bool:
        """Lease once and start what fits; return whether there was anything."""
        patient = not self._options.stop_when_empty
        queues: Sequence[str] = self._order.next()
        if self._steering is not None:
            queues = self._steering.unpaused(queues)
            if not queues:
                if patient:
                    await self._change()
                return False
        lease_id, deadline = os.urandom(16), boottime() + self._hold_s
        visibility_ms = self._options.visibility_ms
        try:
            leases = await self._consumer.lease(
                queues,
                room,
                wait_ms=min(LONGEST_WAIT_MS, visibility_ms // 6) if patient else 0,
                lease_id=lease_id,
                visibility_ms=visibility_ms,
            )
        except OutcomeUnknownError:
            if self._capabilities.recoverable_lease:
                self._unheard = lease_id, deadline
            raise
        return await self._start(leases, deadline)

    async def _recover(self) -> bool:
        """Start what an unheard lease call took: after the pause, for it may still be worked on."""
        if self._unheard is None:
            return False
        lease_id, deadline = self._unheard
        leases = await self._consumer.recover(lease_id) if boottime() < deadline else ()
        self._unheard = None
        return await self._start(leases, deadline)

    async def _start(self, leases: Sequence[Lease], deadline: float) -> bool:
        self._order.served(lease.queue for lease in leases)
        cancelled = await self._steering.cancelled(leases) if self._steering is not None else ()
        self._take(leases, deadline, cancelled)
        self._fill_slots()
        return bool(leases)

    def _room(self) -> int:
        table, options = self._table, self._options
        if self._steering is not None and not self._steering.known:
            return 0
        if self._settler.failing or len(table.held) - len(table.running) > MAX_UNSETTLED:
            return 0
        ahead = options.ahead if self._average_s < QUICK_S else 0
        room = options.concurrency + ahead - len(table.running) - len(table.waiting)
        return min(room, self._most, room if self._remaining is None else self._remaining)

    def _take(self, leases: Sequence[Lease], deadline: float, cancelled: Collection[bytes]) -> None:
        judge, refers, fetch = self._admission.judge, codec().refers, SharedFetch()
        attempts: list[Attempt] = []
        for lease in leases:
            judged: Attempt | Settlement = judge(lease, deadline)
            if cancelled and lease.id in cancelled and isinstance(judged, Attempt):
                judged = ending.cancelled(judged)
            if not isinstance(judged, Attempt):
                hold = Hold(lease, deadline)
                self._table.held.add(hold)
                self._settle(hold, judged)
                continue
            if refers(judged.envelope.arguments) and not judged.apart:
                fetch.add(judged.envelope.arguments)
                judged.fetch = fetch
            attempts.append(judged)
        if self._remaining is not None:
            self._remaining -= len(attempts)
        self._table.lease(attempts)

    def _fill_slots(self) -> None:
        waiting, running = self._table.waiting, self._table.running
        if not waiting or self._stopping:
            return
        now = boottime()
        while waiting and len(running) < self._options.concurrency:
            attempt = waiting.popleft()
            if now >= attempt.deadline:  # after a SIGSTOP, say: it may be somebody else's by now
                self._unreserve()
                self._drop(attempt)
                continue
            running.add(attempt)
            context = self._context.copy()
            attempt.runner = self._loop.create_task(self._run(attempt), context=context)

    def _begin(self, attempt: Attempt) -> None:
        if listeners and attempt.doom is None:
            emit(event(attempt, EventKind.STARTED))
        if attempt.timeout_s is not None:
            attempt.timeout_at = boottime() + attempt.timeout_s
            self._table.watch(attempt.timeout_at)

    async def _run(self, attempt: Attempt) -> None:
        began = time.monotonic()
        settlement = None
        try:
            settlement = await self._executor.run(attempt)
        finally:
            took_s = time.monotonic() - began
            self._average_s += (took_s - self._average_s) / 16
            self._table.running.discard(attempt)
            if settlement is not None:
                self._settle(attempt, settlement, took_s)
            elif attempt.settled and attempt.stop is not Stop.LEASE_LOST:
                self._committed(attempt, took_s)
            else:
                self._drop(attempt)
            self._fill_slots()
        if isinstance(settlement, Ack) and not attempt.stop and log.isEnabledFor(logging.INFO):
            log.info("%r done in %.3f s", attempt, took_s)

    def _settle(self, hold: Hold, settlement: Settlement, took_s: float | None = None) -> None:
        if not hold.settled:
            hold.settled = True
            self._settler.add(hold, settlement)
            if listeners:
                emit(settled_event(hold, settlement, took_s))
        self._changed.set()

    def _committed(self, attempt: Attempt, took_s: float) -> None:
        """Forget an attempt that its own transaction has settled."""
        if listeners:
            emit(event(attempt, EventKind.DONE, took_s))
        self._on_settled([attempt])

    def _put_back(self, attempt: Attempt) -> None:
        """Release an attempt that was not started, uncharged."""
        self._table.waiting.remove(attempt)
        self._unreserve()
        self._settle(attempt, ending.put_back(attempt))

    def _drop(self, hold: Hold) -> None:
        """Forget a lease that is not ours any more."""
        log.warning("%r: its lease was lost; another worker may run it again", hold)
        hold.settled = True
        if listeners:
            emit(event(hold, EventKind.LEASE_LOST))
        self._on_settled([hold])

    def _on_settled(self, holds: Sequence[Hold]) -> None:
        self._table.held.difference_update(holds)
        self._changed.set()

    def _on_steered(self) -> None:
        """Look at the queues again, now that others are paused."""
        self._consumer.interrupt()
        self._changed.set()

    def _unreserve(self) -> None:
        if self._remaining is not None:
            self._remaining += 1

    def _end(self, hold: Hold, stop: Stop) -> None:
        """End a lease early; how an attempt is settled then follows from its `stop`."""
        if hold not in self._table.held or hold.stop is Stop.LEASE_LOST:
            return
        if hold.stop is not None and stop is not Stop.LEASE_LOST:
            return
        hold.stop = stop
        if not isinstance(hold, Attempt):
            return
        if hold in self._table.waiting:
            self._table.waiting.remove(hold)
            self._unreserve()
            if stop is Stop.LEASE_LOST:
                self._drop(hold)
            else:
                self._settle(hold, ending.cancelled(hold))
        elif hold in self._table.running and not hold.in_thread:
            assert hold.runner is not None  # noqa: S101 - running attempts have one
            hold.runner.cancel()

    async def _drain(self) -> None:
        """Let running tasks finish, then cancel them, put back what is left, settle all."""
        for attempt in list(self._table.waiting):
            self._put_back(attempt)
        await self._finished(self._options.grace_s, cut_short=True)
        for attempt in list(self._table.running):
            self._end(attempt, Stop.SHUTDOWN)
        await self._finished(CANCEL_GRACE_S, cut_short=False)
        for attempt in list(self._table.running):  # threads, and coroutines that refuse to end
            self._settle(attempt, ending.put_back(attempt))
        await self._settler.drain(self._options.op_timeout_s)

    async def _finished(self, timeout_s: float, *, cut_short: bool) -> None:
        """Wait at most `timeout_s` for what runs; `stop_now` cuts it short if it may."""
        runners = [a.runner for a in self._table.running if a.runner is not None]
        if not runners:
            return
        waits = {asyncio.create_task(asyncio.wait(runners))}
        if cut_short:
            waits.add(asyncio.create_task(self._at_once.wait()))  # type: ignore[arg-type]  # of any kind
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _maintain(self) -> None:
        outages = [(driver, Outage("maintenance")) for driver in self._maintained]
        while True:
            await asyncio.sleep(MAINTAIN_S * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            for driver, outage in outages:
                try:
                    await driver.maintain()
                except DriverError as exc:
                    outage.failed(exc)
                else:
                    outage.recovered()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _pause(self, seconds: float) -> None:
        """Sleep, cut short by `stop`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._stopping:
                    await self._change()
