"""A memory store of its own for every test, and a look at what was stored there."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest
from async_task import config
from async_task.config import get_global_config, set_global_config
from async_task.core.codec import codec
from async_task.core.envelope import Envelope, unpack
from async_task.core.queue_driver import QueueDriver
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Lease

Stored: TypeAlias = tuple[Lease, Envelope, list[Any], dict[str, Any]]
Sent: TypeAlias = Callable[..., Awaitable[list[Stored]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="memory", memory_name=uuid.uuid4().hex)
    yield


@pytest.fixture
def sent() -> Sent:
    """Return a function that takes all that is ready, in the order workers would get it."""

    async def sent(*queues: str) -> list[Stored]:
        queues = queues or ("default",)
        async with QueueDriver.from_config(get_global_config(), name="memory") as driver:
            options = ConsumerOptions(queues=queues, max_leases=1000)
            async with driver.driver.consumer(options) as consumer:
                leases = await consumer.lease(
                    queues, 1000, wait_ms=0, lease_id=uuid.uuid4().bytes, visibility_ms=60_000
                )
        found: list[Stored] = []
        for lease in leases:
            envelope = unpack(lease.body)
            found.append((lease, envelope, *codec().decode_arguments(envelope.arguments)))
        return found

    return sent
