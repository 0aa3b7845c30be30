"""Hints that there may be work: a token in a list, for one of those who wait.

No message moves by it. A hint that is lost costs up to `POLL_S`, a needless one a look.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from async_task.spi.errors import DriverError

from async_task_redis.client import run_one
from async_task_redis.scripts import WAKE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from async_task_redis.client import Client
    from async_task_redis.keys import QueueKeys
    from async_task_redis.wire import Command

POLL_S: Final = 1.0
"""How long anybody waits without looking; the scripts know it as `SOON`."""

_LISTEN_S: Final = 5
"""How long one blocking call listens. A process that takes nothing meanwhile passes hints on."""


class Waiter:
    """One call that waits for work.

    Attributes:
        queues: What it waits for.
        interrupted: Whether it shall wait no longer.
    """

    def __init__(self, queues: Sequence[QueueKeys]) -> None:
        self.queues = queues
        self.interrupted = False
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Make it look again."""
        self._event.set()

    def forget(self) -> None:
        """Take note of hints from now on; called before looking."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a hint, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass


class Wakeup:
    """Listens for hints while anybody waits, on a connection for each set of queues.

    Args:
        make_client: Makes a client to listen with; a call of it blocks its connection.
        client: Passes hints on.
    """

    def __init__(self, make_client: Callable[[], Client], client: Client) -> None:
        self._make_client = make_client
        self._client = client
        self._waiters: set[Waiter] = set()
        self._tasks: dict[frozenset[bytes], asyncio.Task[None]] = {}
        self._closed = False

    @contextmanager
    def waiting(self, queues: Sequence[QueueKeys]) -> Generator[Waiter]:
        """Have a waiter woken while inside."""
        waiter = Waiter(queues)
        self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Wait for a hint, at most so long, and a random bit less than `POLL_S`."""
        if not self._closed:
            for group in self._client.groups(waiter.queues):
                self._tend(group)
        # Random, so that processes that began together do not look together for ever.
        await waiter.wait(min(seconds, random.uniform(0.8, 1.0) * POLL_S))  # noqa: S311 - no secret

    def interrupt(self) -> None:
        """Make everybody who waits return."""
        for waiter in self._waiters:
            waiter.interrupted = True
            waiter.wake()

    async def close(self) -> None:
        """Stop listening; who waits looks once more."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiter in self._waiters:
            waiter.wake()

    def _tend(self, group: Sequence[QueueKeys]) -> None:
        """Have a task listen for these queues, in whatever order they come."""
        names = frozenset(keys.wake for keys in group)
        if names not in self._tasks:
            task = self._tasks[names] = asyncio.create_task(self._listen(group))
            task.add_done_callback(lambda _: self._tasks.pop(names))

    async def _listen(self, group: Sequence[QueueKeys]) -> None:
        by_name = {keys.wake: keys for keys in group}
        command: Command = ("BLPOP", *by_name, _LISTEN_S)
        client = self._make_client()
        client.open()
        try:
            while any(keys in waiter.queues for waiter in self._waiters for keys in group):
                hint = await run_one(client, group[0], command, wait_s=_LISTEN_S)
                if hint is not None and not self._wake(by_name[hint[0]]):
                    keys = by_name[hint[0]]
                    await run_one(self._client, keys, WAKE.call((keys.wake,)))
        except DriverError:
            pass  # whoever waits looks after POLL_S and says what is wrong; then this starts anew
        finally:
            await client.close()

    def _wake(self, keys: QueueKeys) -> bool:
        waiters = [waiter for waiter in self._waiters if keys in waiter.queues]
        for waiter in waiters:
            waiter.wake()
        return bool(waiters)
