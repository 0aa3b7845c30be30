"""What the driver and its facets stand on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from async_task.spi.errors import OutcomeUnknownError

from async_task_redis.client import run_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_redis.client import Client
    from async_task_redis.keys import Keys, QueueKeys
    from async_task_redis.wire import Command


class Store:
    """One connection's view of a namespace.

    Attributes:
        client: Where calls are sent.
        keys: The names of what is there.
    """

    def __init__(self, client: Client, keys: Keys, op_timeout_s: float) -> None:
        self.client = client
        self.keys = keys
        self._op_timeout_s = op_timeout_s

    async def queues(self) -> Sequence[QueueKeys]:
        """Return the queues that were provisioned or ever held a message, sorted."""
        names = await run_one(self.client, self.keys.elsewhere, ("SMEMBERS", self.keys.registry))
        return [self.keys[name] for name in sorted(name.decode() for name in names)]

    async def repeat(self, keys: QueueKeys, command: Command, batch: int) -> int:
        """Repeat a call that does up to `batch` things until it does fewer; return the sum.

        Raises:
            OutcomeUnknownError: It took longer than one call may; a part is done.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._op_timeout_s
        done = 0
        while True:
            number: int = await run_one(self.client, keys, command)
            done += number
            if number < batch:
                return done
            if loop.time() > ends:
                raise OutcomeUnknownError(f"{done} are done, and there are more: repeat the call")
