"""What the parts of one open driver share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_task.spi.errors import DriverError

if TYPE_CHECKING:
    from async_task_mysql.connections import Connections
    from async_task_mysql.queries import Queries
    from async_task_mysql.template import Template
    from async_task_mysql.wakeup import Wakeup

_PURGE_LIMIT: Final = 5000
"""Most messages deleted in one transaction: about 200 ms of the server's time."""


@dataclass(frozen=True, slots=True)
class Store:
    """One namespace of one database.

    Attributes:
        connections: Where statements run.
        queries: The statements on the namespace's tables.
        wakeup: How waiters of this driver hear what it does itself.
        op_timeout_s: Bound of one call.
    """

    connections: Connections
    queries: Queries
    wakeup: Wakeup
    op_timeout_s: float

    async def purge(self, statement: Template, queue: str) -> int:
        """Delete all of something, a part at a time; return how many.

        Raises:
            DriverError: `op_timeout` was over before all was deleted.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.op_timeout_s
        count = 0
        while True:
            [gone] = await self.connections.write(statement(queue=queue, limit=_PURGE_LIMIT))
            count += gone.count
            if gone.count < _PURGE_LIMIT:
                return count
            if loop.time() > deadline:
                raise DriverError(
                    f"{count} messages of {queue!r} were deleted within op_timeout, and more are "
                    "left; purge again",
                    retryable=True,
                )
