"""Sends what ends tasks, many at a time: what comes during a call goes out in the next."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, TypeAlias

from async_task.core.clock import boottime
from async_task.errors import DriverError
from async_task.runtime.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task.runtime.attempt import Hold
    from async_task.spi.messages import Settlement

    Item: TypeAlias = tuple[Hold, Settlement]

log = logging.getLogger("async_task.worker")

MAX_BATCH: Final = 1000
"""Most settlements in one call; keeps a backend's script or statement short."""


class Outbox(ABC):
    """Sends until each item is done, refused, or its lease has ended locally.

    Args:
        what: What it does, for the log.
        refused: What becomes of an item that the backend refuses, for the log.
        max_batch: Most items in one call.
        on_lost: Called with what could not be sent before its lease ended.
    """

    def __init__(
        self,
        what: str,
        refused: str,
        max_batch: int | None,
        on_lost: Callable[[Sequence[Hold]], None],
    ) -> None:
        self._max = min(max_batch or MAX_BATCH, MAX_BATCH)
        self._refused = refused
        self._on_lost = on_lost
        self._waiting: list[Item] = []
        self._sender: asyncio.Task[None] | None = None
        self._outage = Outage(what)

    @property
    def failing(self) -> bool:
        """Whether something waits for a call that fails: taking more work would only pile up."""
        return self._outage.lasting and self._sender is not None

    def add(self, hold: Hold, settlement: Settlement) -> None:
        """Send soon."""
        self._waiting.append((hold, settlement))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything added is sent, for at most `timeout_s`."""
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

    async def _send(self, batch: list[Item]) -> None:
        repeated = False
        while batch:
            try:
                await self._call(batch, repeated=repeated)
            except DriverError as exc:
                if exc.retryable:
                    repeated = True
                    await asyncio.sleep(self._outage.failed(exc))
                    batch = self._still_ours(batch)
                    continue
                if len(batch) > 1:
                    for item in batch:  # one that is refused holds up no other
                        await self._send([item])
                    return
                log.error("%r: %s: %s", batch[0][0], self._refused, exc)  # noqa: TRY400 - its words say it
            except Exception:  # a bug in the driver; held on to, these would be renewed for ever
                log.exception("%d tasks: %s", len(batch), self._refused)
            else:
                self._outage.recovered()
            break
        self._sent(batch)

    def _still_ours(self, batch: list[Item]) -> list[Item]:
        now = boottime()
        kept: list[Item] = []
        for hold, settlement in batch:
            if now < hold.deadline:
                kept.append((hold, settlement))
            else:
                log.warning("%r could not be settled before its lease ended", hold)
                self._on_lost([hold])
        return kept

    @abstractmethod
    async def _call(self, batch: list[Item], *, repeated: bool) -> None:
        """Send a batch, for the first time or again after an outcome that may be unknown."""

    @abstractmethod
    def _sent(self, batch: list[Item]) -> None:
        """Go on with items there is nothing left to do about here."""
