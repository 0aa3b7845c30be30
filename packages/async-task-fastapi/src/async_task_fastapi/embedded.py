"""A worker inside the application's own process and event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from async_task.core.worker import Worker

log = logging.getLogger("async_task.fastapi")


class EmbeddedWorker:
    """Runs a worker while it is entered; leaving lets running tasks finish within the grace time.

    Args:
        worker: The worker. Signals stay with the server, which then ends the application.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._running: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether it works no more, for whatever reason."""
        return self._running is None or self._running.done()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._worker.start(handle_signals=False))
        working = asyncio.create_task(self._worker.working.wait())
        try:
            await asyncio.wait({self._running, working}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._running.cancel()
            raise
        finally:
            working.cancel()
        if self._running.done():
            self._running.result()
        self._running.add_done_callback(_tell)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running is not None:
            self._worker.stop()
            await asyncio.wait({self._running})


def _tell(running: asyncio.Task[None]) -> None:
    """Log why the worker ended, if not because it was told to."""
    if not running.cancelled() and (error := running.exception()) is not None:
        log.error("the embedded worker has ended; restart the application", exc_info=error)
