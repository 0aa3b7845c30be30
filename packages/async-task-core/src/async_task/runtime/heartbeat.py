"""Renews leases from a thread with a loop and a connection of its own.

A task that blocks the worker's loop keeps its own lease and its neighbours'. The loop has to tick
now and then all the same: a worker whose loop has been dead for `STALL_LIMIT_S` loses its leases.
C code that holds the interpreter's lock longer than a lease starves this thread too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

from async_task.core.clock import boottime
from async_task.runtime.attempt import Attempt, Hold, Stop
from async_task.runtime.outage import Outage
from async_task.spi.messages import Extension

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from async_task.spi.driver import Driver, LeaseKeeper

log = logging.getLogger("async_task.worker")

STALL_LIMIT_S: Final = 600.0
"""How long a loop may be blocked before its leases are given up (delivery contract)."""
BLOCKED_S: Final = 2.5
"""How long without a tick (one a second) before the task that blocks is named in the log."""
MAX_BATCH: Final = 1000


def margin_s(visibility_s: float) -> float:
    """Return how long before its end a lease is taken for lost locally."""
    return min(max(1.0, visibility_s / 10), visibility_s / 3)


class Heartbeat:
    """The renewing thread of one worker.

    Args:
        driver: Whose leases to renew.
        held: The leases the worker holds; read from the thread.
        visibility_ms: How long a lease holds.
        end: Called in the worker's loop with an attempt and why it must end.
    """

    def __init__(
        self,
        driver: Driver,
        held: Collection[Hold],
        visibility_ms: int,
        end: Callable[[Hold, Stop], None],
    ) -> None:
        self._driver = driver
        self._held = held
        self._visibility_ms = visibility_ms
        self._hold_s = visibility_ms / 1000 - margin_s(visibility_ms / 1000)
        self._interval_s = visibility_ms / 3000
        self._end = end
        self._max = min(driver.capabilities.max_batch or MAX_BATCH, MAX_BATCH)
        self._loop = asyncio.get_running_loop()
        self._worker_thread = threading.get_ident()
        self._ticked_at = boottime()
        self._ticker: asyncio.TimerHandle | None = None
        self._blocked = False
        self._stopping = threading.Event()
        self._wake: Callable[[], None] = lambda: None
        self._outage = Outage("renewing leases")
        self._thread = threading.Thread(target=self._run, name="async-task-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._tick()
        self._thread.start()

    async def stop(self, timeout_s: float) -> None:
        """End the thread, waiting for it for at most `timeout_s`."""
        self._stopping.set()
        self._wake()
        if self._ticker is not None:
            self._ticker.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, timeout_s)

    def _tick(self) -> None:
        self._ticked_at = boottime()
        self._ticker = self._loop.call_later(1.0, self._tick)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended already
                loop.call_soon_threadsafe(woken.set)

        self._wake = wake
        while not self._stopping.is_set():
            try:
                keeper = self._driver.keeper()
                if keeper is None:
                    await self._renew_until_stopped(None, woken)
                else:
                    async with keeper as open_keeper:
                        await self._renew_until_stopped(open_keeper, woken)
            except Exception as exc:
                await _wait(woken, self._outage.failed(exc))

    async def _renew_until_stopped(self, keeper: LeaseKeeper | None, woken: asyncio.Event) -> None:
        step = min(1.0, self._interval_s)
        due = boottime() + self._interval_s
        while not self._stopping.is_set():
            await _wait(woken, step)
            now = boottime()
            self._watch(now)
            if keeper is None or now < due or now - self._ticked_at > STALL_LIMIT_S:
                continue
            await self._renew(keeper)
            self._outage.recovered()
            due = now + self._interval_s

    async def _renew(self, keeper: LeaseKeeper) -> None:
        holds = [hold for hold in list(self._held) if hold.stop is not Stop.LEASE_LOST]
        for start in range(0, len(holds), self._max):
            chunk = holds[start : start + self._max]
            asked_at = boottime()
            answers = await keeper.extend([hold.lease for hold in chunk], self._visibility_ms)
            for hold, answer in zip(chunk, answers, strict=True):
                if answer is Extension.LOST:
                    self._tell(hold, Stop.LEASE_LOST)
                    continue
                hold.deadline = asked_at + self._hold_s
                if answer is Extension.CANCELLED:
                    self._tell(hold, Stop.CANCELLED)

    def _tell(self, hold: Hold, stop: Stop) -> None:
        if hold in self._held:  # it may have been settled while the call was under way
            with contextlib.suppress(RuntimeError):  # the worker's loop may have ended
                self._loop.call_soon_threadsafe(self._end, hold, stop)

    def _watch(self, now: float) -> None:
        blocked_s = now - self._ticked_at
        if blocked_s < BLOCKED_S:
            self._blocked = False
        elif not self._blocked:
            self._blocked = True
            frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
            frame = frames.get(self._worker_thread)
            where = "".join(traceback.format_stack(frame, limit=3)) if frame else "unknown"
            log.warning(
                "%s has blocked the worker's event loop for %.1f s; use a def task or process=True"
                " for blocking work. It is at:\n%s",
                self._blocker(),
                blocked_s,
                where,
            )

    def _blocker(self) -> str:
        current = asyncio.current_task(self._loop)
        for hold in list(self._held):
            if isinstance(hold, Attempt) and current is not None and hold.runner is current:
                return repr(hold)
        return "something"


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
