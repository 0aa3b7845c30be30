"""Databases to have rows in, and a queue in memory to send them through."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from async_task import Worker, config, get_dispatcher, set_global_config
from async_task.config import get_global_config
from async_task.core.dead_letters import DeadTask
from async_task.core.queue_driver import QueueDriver
from async_task.spi.messages import Message
from async_task.testing.servers.base import shared
from async_task.testing.servers.postgres import PostgresServer
from psycopg.sql import SQL, Identifier


class Queue:
    """A queue in memory, and workers on it."""

    async def work(self, **options: Any) -> None:
        """Work off what is ready."""
        options.setdefault("concurrency", 50)
        driver = QueueDriver.from_config(get_global_config())
        await Worker(driver, stop_when_empty=True, **options).start()

    async def put(self, body: bytes) -> None:
        """Store a message as it is."""
        driver = get_dispatcher().driver
        await driver.connect()
        await driver.driver.enqueue([Message(uuid.uuid4().bytes, "default", body)])

    async def dead(self) -> list[DeadTask]:
        """Return the dead letters."""
        return await get_dispatcher().driver.dead_letters.browse("default")

    async def bodies(self) -> list[bytes]:
        """Return what is stored of the tasks that are ready, which they stay."""
        driver: Any = get_dispatcher().driver.driver
        return [stored.message.body for stored in driver.store.messages.values()]

    async def ready(self) -> int:
        """Return how many tasks wait."""
        return await get_dispatcher().driver.get_queue_size("default")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="memory", namespace=f"t{uuid.uuid4().hex[:12]}", default_retry_delay=0)


@pytest.fixture
async def queue(settings: None) -> AsyncIterator[Queue]:
    await get_dispatcher().driver.connect()
    yield Queue()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A database of PostgreSQL's for the tests of this process, as `host:port/name`."""
    with shared(PostgresServer) as url:
        name = f"orm_{uuid.uuid4().hex}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            yield f"{url.partition('://')[2].rpartition('/')[0]}/{name}"
            drop = SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name))
            connection.execute(drop)
