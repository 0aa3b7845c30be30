"""async-task, on every driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from async_task import Config, QueueDriver, get_dispatcher, set_global_config, task

from benchmarks.adapters import QUEUE, URL, BaseAdapter, Call
from benchmarks.ledger import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.core.pending import PendingCall

set_global_config(url=URL, default_queue=QUEUE)


@task
async def noop(index: int) -> None:
    """Do nothing."""
    mark(index)


@task
async def pause(index: int, seconds: float) -> None:
    """Wait, as for a server's answer."""
    mark(index)
    await asyncio.sleep(seconds)


def called(call: Call) -> PendingCall[Any]:
    """Return the call of a task."""
    pending: PendingCall[Any]
    pending = noop(call.number) if call.seconds is None else pause(call.number, call.seconds)
    return pending if call.delay is None else pending.delay(call.delay)


class Adapter(BaseAdapter):
    """Sends as an application does, through the dispatcher of the running loop."""

    concurrent = True

    async def prepare(self) -> None:
        """Make the schema, where the driver has one."""
        driver = QueueDriver.from_config(Config(url=URL)).driver
        if driver.migrations is not None:
            await driver.migrations.apply()

    async def open(self) -> None:
        """Connect."""
        await get_dispatcher().driver.connect()

    async def close(self) -> None:
        """Disconnect."""
        await get_dispatcher().close()

    async def one(self, call: Call) -> None:
        """Send one."""
        if call.seconds is None and call.delay is None:
            await noop.dispatch(call.number)
        else:
            await called(call).dispatch()

    async def bulk(self, calls: Sequence[Call]) -> None:
        """Send many."""
        for outcome in await get_dispatcher().dispatch_many(map(called, calls)):
            if isinstance(outcome, Exception):
                raise outcome
