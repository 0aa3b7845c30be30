"""Every test has a memory store for the integration, and another that is the global default."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest
from async_task import Config, config, set_global_config
from async_task.core.queue_driver import QueueDriver


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the global configuration one that no test means to use."""
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="memory", memory_name=f"elsewhere-{uuid.uuid4().hex}")


@pytest.fixture
def own() -> Config:
    """What the integration is given."""
    return Config(driver="memory", memory_name=uuid.uuid4().hex)


@pytest.fixture
def waiting() -> Callable[[Config], int]:
    """Return a function that counts the tasks of a configuration's default queue."""

    async def counted(config: Config) -> int:
        async with QueueDriver.from_config(config) as driver:
            return await driver.get_queue_size("default")

    return lambda config: asyncio.run(counted(config))
