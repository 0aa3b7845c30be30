"""Dispatching: cancelled anywhere, it leaves the others alone; many at once share round trips."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from async_task import Dispatcher, QueueDriver
from async_task.core.ids import id_text

from faults.app import nap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.driver import Driver
    from async_task.spi.messages import Message

    from faults.scene import Scene

pytestmark = pytest.mark.anyio


class CountingDriver:
    """A driver that counts how often it is asked to store something."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.calls: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        self.calls.append(len(messages))
        return await self._driver.enqueue(messages)


async def test_a_dispatch_can_be_cancelled_at_any_step(scene: Scene) -> None:
    """The steps are turns of the event loop: one, two, and so on until it is done before."""
    dispatcher = Dispatcher(scene.driver)
    certain: set[str] = set()
    uncertain = finished = 0
    steps = 1
    while finished < 3:
        neighbours = [asyncio.create_task(dispatcher.dispatch(nap(0))) for _ in range(2)]
        victim = asyncio.create_task(dispatcher.dispatch(nap(0)))
        neighbours += [asyncio.create_task(dispatcher.dispatch(nap(0))) for _ in range(2)]
        for _ in range(steps):
            await asyncio.sleep(0)
        victim.cancel()
        certain |= set(await asyncio.gather(*neighbours))
        try:
            certain.add(await victim)
            finished += 1
        except asyncio.CancelledError:
            uncertain += 1
        certain.add(await dispatcher.dispatch(nap(0)))
        steps += 1 if steps < 30 else max(1, steps // 10)

    stored = {id_text(lease.id) for lease in await scene.inspect()}
    assert stored >= certain
    assert len(stored) <= len(certain) + uncertain
    assert uncertain


async def test_a_dispatch_cancelled_before_it_went_out_is_withdrawn(scene: Scene) -> None:
    dispatcher = Dispatcher(scene.driver)
    victim = asyncio.create_task(dispatcher.dispatch(nap(0)))
    await asyncio.sleep(0)
    victim.cancel()
    await dispatcher.dispatch(nap(0))
    assert await scene.waiting() == 1


async def test_concurrent_dispatches_share_round_trips(scene: Scene) -> None:
    counting = CountingDriver(scene.driver.driver)
    driver: Any = counting
    dispatcher = Dispatcher(QueueDriver(driver, name="counting", config=scene.driver.config))
    await dispatcher.dispatch(nap(0))
    await asyncio.gather(*(dispatcher.dispatch(nap(0)) for _ in range(100)))
    assert sum(counting.calls) == 101
    assert len(counting.calls) <= 3
    assert await scene.waiting() == 101
