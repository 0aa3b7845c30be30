"""A rig for code that is not asynchronous and runs in another thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any, TypeVar

from async_task.testing.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_task.testing.harness import DriverHarness

T = TypeVar("T")


class Session:
    """A rig that lives in one task of the test's loop and is used from Hypothesis's thread."""

    def __init__(self, harness: DriverHarness, loop: asyncio.AbstractEventLoop) -> None:
        self.harness = harness
        self._loop = loop
        self._jobs: asyncio.Queue[Any] = asyncio.Queue()
        self._life = asyncio.run_coroutine_threadsafe(self._live(), loop)

    def do(self, call: Callable[[Rig], Awaitable[T]]) -> T:
        """Run a call in the rig's task and return what it returns."""
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, (call, answer))
        either: list[concurrent.futures.Future[Any]] = [answer, self._life]
        concurrent.futures.wait(either, return_when=concurrent.futures.FIRST_COMPLETED)
        if not answer.done():
            self._life.result()  # raises: the rig could not be opened
        return answer.result()

    def end(self) -> None:
        """Close the rig."""
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)
        self._life.result()

    async def _live(self) -> None:
        async with Rig.of(self.harness, await self.harness.make()) as rig:
            while (job := await self._jobs.get()) is not None:
                call, answer = job
                try:
                    answer.set_result(await call(rig))
                except BaseException as error:
                    answer.set_exception(error)
