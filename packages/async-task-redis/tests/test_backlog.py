"""What a lease costs, whatever waits."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Message, Release
from async_task.testing.servers.redis import RedisServer
from async_task_redis.driver import RedisDriver

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[RedisDriver]]


def message(body: bytes = b"body", **more: Any) -> Message:
    return Message(os.urandom(16), "q", body, **more)


def commands(server: RedisServer) -> Counter[str]:
    """Count the commands the server has carried out, also inside scripts."""
    reply = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"INFO commandstats\r\n")
        while not reply.endswith(b"\r\n\r\n") and (part := connection.recv(65536)):
            reply += part
    lines = [line for line in reply.decode().splitlines() if line.startswith("cmdstat_")]
    counts = {line.split(":")[0][8:]: int(line.split("calls=")[1].split(",")[0]) for line in lines}
    return Counter({name: count for name, count in counts.items() if not name.startswith("info")})


async def fill(driver: RedisDriver, count: int, delay_ms: int = 0) -> None:
    for _ in range(count // 1000):
        await driver.enqueue([message(delay_ms=delay_ms) for _ in range(1000)])


async def test_a_lease_does_not_look_at_the_backlog(server: RedisServer, opened: Opened) -> None:
    """The same commands with the same limits: none of them walks what it does not return."""
    server.say("CONFIG SET appendonly no")
    options = ConsumerOptions(queues=("q",), max_leases=100)
    async with opened(server.url) as driver, driver.consumer(options) as consumer:

        async def cost() -> Counter[str]:
            before = commands(server)
            leases = await consumer.lease(
                ("q",), 100, wait_ms=0, lease_id=os.urandom(16), visibility_ms=60_000
            )
            cost = commands(server) - before
            assert len(leases) == 100
            await consumer.settle([Release(each, 0, b"") for each in leases])
            return cost

        await fill(driver, 1000)
        await cost()  # the server learns the scripts
        few = await cost()
        await fill(driver, 199_000)
        await fill(driver, 200_000, delay_ms=3_600_000)
        assert await cost() == few
        assert few.total() < 30, few
