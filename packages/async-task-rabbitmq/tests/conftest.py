from __future__ import annotations

from collections.abc import Iterator

import pytest
from async_task.testing.servers.base import shared
from async_task.testing.servers.rabbitmq import RabbitmqServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The URL of a server that others may use too."""
    with shared(RabbitmqServer) as url:
        yield url
