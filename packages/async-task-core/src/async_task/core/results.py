"""Waiting for results: one waiter for any number of handles."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from async_task.errors import DriverError

if TYPE_CHECKING:
    from async_task.spi.facets import Results

WAIT_MS: Final = 10_000
"""Longest that one call to the backend waits."""
AGAIN_S: Final = 0.5
"""Pause before asking a backend again that did not answer."""


class ResultWaiter:
    """Waits on behalf of every handle of one loop and one backend, with one call at a time."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._waiting: defaultdict[bytes, set[asyncio.Future[bytes]]] = defaultdict(set)
        self._asker: asyncio.Task[None] | None = None
        self._scheduled = False

    async def wait(self, message_id: bytes) -> bytes:
        """Return the stored result of a message as soon as there is one.

        Raises:
            DriverError: The backend refuses for good.
            Exception: The driver has a bug.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting[message_id].add(future)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._ask_anew)  # one turn later, so that a gather asks once
        try:
            return await future
        finally:
            futures = self._waiting.get(message_id)
            if futures is not None:
                futures.discard(future)
                if not futures:
                    del self._waiting[message_id]

    def close(self) -> None:
        """Stop asking; who still waits is cancelled."""
        if self._asker is not None:
            self._asker.cancel()
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    def _ask_anew(self) -> None:
        self._scheduled = False
        if self._asker is not None:
            self._asker.cancel()  # cancelling a wait loses nothing
        self._asker = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        while self._waiting:
            try:
                found = await self._results.wait(list(self._waiting), wait_ms=WAIT_MS)
            except Exception as exc:  # whatever it is, nobody is to wait for ever
                if isinstance(exc, DriverError) and exc.retryable:
                    await asyncio.sleep(AGAIN_S)
                    continue
                for message_id in list(self._waiting):
                    for future in self._waiting.pop(message_id):
                        if not future.done():
                            future.set_exception(exc)
                return
            for message_id, body in found.items():
                for future in self._waiting.pop(message_id, ()):
                    if not future.done():
                        future.set_result(body)
