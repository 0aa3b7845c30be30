"""SQS behind a proxy that fails at everything: nothing is lost, and every rerun has a reason."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from faults.app import nap, stumble
from faults.backends import Store, fauxqs_server, sqs_config
from faults.history import History, Kind
from faults.scene import Scene
from faults.sqs_proxy import SqsProxy

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def behind_a_proxy(
    folder: Path, odds: float, chance: random.Random, **config: object
) -> AsyncGenerator[tuple[Scene, SqsProxy]]:
    told = History(folder / "history.txt")
    proxy = SqsProxy(fauxqs_server().port, odds, chance, told)
    try:
        async with proxy.listening():
            store = Store(sqs_config(proxy.port) | config)
            async with Scene.on(store, folder) as scene:
                yield scene, proxy
    finally:
        told.close()
        print(proxy.done)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
async def test_nothing_is_lost_whatever_fails(
    tmp_path: Path, size: Callable[[int, int], int], chance: random.Random, fifo: bool
) -> None:
    count = size(200, 600)
    # One lost reply charges ten messages a crash each. With twice the odds some come to five or
    # more, whose back-off is up to a minute each time.
    async with behind_a_proxy(tmp_path, 0.02, chance, sqs_fifo=fifo) as (scene, proxy):
        await scene.fleet.started(4)
        calls = [nap(chance.uniform(0, 0.05)) for _ in range(count)]
        calls += [stumble() for _ in range(count)]  # each is sent back twice
        if not fifo:
            calls += [nap(0).delay(chance.uniform(0, 2)) for _ in range(count)]
        ids = await scene.insist(calls)
        await scene.drained()
        assert scene.history.count(Kind.DONE, ids) == len(calls)
        assert scene.violations() == []
        assert min(proxy.done.values()) > 0, proxy.done


async def test_killing_workers_behind_it_loses_nothing(
    tmp_path: Path, size: Callable[[int, int], int], chance: random.Random
) -> None:
    count, kills = size(300, 1500), size(5, 20)
    async with behind_a_proxy(tmp_path, 0.02, chance) as (scene, _):
        workers = await scene.fleet.started(4)
        ids = await scene.insist(nap(chance.uniform(0.02, 0.1)) for _ in range(count))
        for kill in range(1, kills + 1):
            await scene.seen(Kind.DONE, count * kill // (2 * kills + 1))
            victim = workers.pop(chance.randrange(len(workers)))
            victim.kill()
            workers.append(scene.fleet.start())
        await scene.drained()
        assert scene.history.count(Kind.DONE, ids) == count
        assert scene.violations() == []
