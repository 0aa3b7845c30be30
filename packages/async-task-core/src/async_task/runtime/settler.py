"""Sends settlements, many at a time: what ends while a call is in flight goes out in the next."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from async_task.core.clock import boottime
from async_task.errors import DriverError
from async_task.runtime.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_task.runtime.attempt import Hold
    from async_task.spi.driver import Consumer
    from async_task.spi.messages import Settlement

log = logging.getLogger("async_task.worker")

MAX_BATCH: Final = 1000
"""Most settlements in one call; keeps a backend's script or statement short."""


class Settler:
    """Settles leases until each is done, stale, or its lease has ended locally."""

    def __init__(
        self,
        consumer: Consumer,
        *,
        max_batch: int | None,
        on_settled: Callable[[Hold], None],
    ) -> None:
        self._consumer = consumer
        self._max = min(max_batch or MAX_BATCH, MAX_BATCH)
        self._on_settled = on_settled
        self._waiting: list[tuple[Hold, Settlement]] = []
        self._sender: asyncio.Task[None] | None = None
        self._outage = Outage("settling tasks")

    @property
    def failing(self) -> bool:
        """Whether something waits for a call that fails: taking more work would only pile up."""
        return self._outage.lasting and self._sender is not None

    def add(self, hold: Hold, settlement: Settlement) -> None:
        """Settle soon. `on_settled` is called when there is nothing left to do about it."""
        self._waiting.append((hold, settlement))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything added is settled, for at most `timeout_s`."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=timeout_s)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._max]
                del self._waiting[: self._max]
                await self._send(batch)
        finally:
            self._sender = None

    async def _send(self, batch: list[tuple[Hold, Settlement]]) -> None:
        repeated = False
        while batch:
            try:
                stale = await self._consumer.settle([settlement for _, settlement in batch])
            except DriverError as exc:
                if not exc.retryable and len(batch) > 1:
                    for item in batch:  # one that cannot be settled holds up no other
                        await self._send([item])
                    return
                if not exc.retryable:
                    log.error("%r cannot be settled and will run again: %s", batch[0][0], exc)  # noqa: TRY400
                    break
                repeated = True
                await asyncio.sleep(self._outage.failed(exc))
                batch = self._still_ours(batch)
                continue
            except Exception:  # a bug in the driver; held on to, these would be renewed for ever
                log.exception("settling %d tasks raised; they run again if not done", len(batch))
                break
            self._outage.recovered()
            for position in () if repeated else stale:
                # After a repeat stale is normal: it was done the first time.
                log.warning("%r was no longer ours: its outcome is discarded", batch[position][0])
            break
        for hold, _ in batch:
            self._on_settled(hold)

    def _still_ours(self, batch: list[tuple[Hold, Settlement]]) -> list[tuple[Hold, Settlement]]:
        now = boottime()
        kept: list[tuple[Hold, Settlement]] = []
        for hold, settlement in batch:
            if now < hold.deadline:
                kept.append((hold, settlement))
            else:
                log.warning("%r could not be settled before its lease ended", hold)
                self._on_settled(hold)
        return kept
