from __future__ import annotations

from collections.abc import Iterator

import pytest
from async_task.testing.servers.base import shared
from async_task.testing.servers.redis import RedisServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A server that others may use too."""
    with shared(RedisServer) as url:
        yield url
