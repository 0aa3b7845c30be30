from __future__ import annotations

from collections.abc import Iterator

import pytest
from async_task.testing.servers.base import shared
from async_task.testing.servers.mysql import MariadbServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with shared(MariadbServer) as url:
        yield url
