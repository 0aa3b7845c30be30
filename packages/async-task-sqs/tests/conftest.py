from __future__ import annotations

from collections.abc import Iterator

import pytest
from async_task.testing.servers.base import shared
from async_task.testing.servers.sqs import FauxqsServer, MotoServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of a server that others may use too."""
    with shared(MotoServer) as url:
        yield url


@pytest.fixture(scope="session")
def fauxqs() -> Iterator[str]:
    with shared(FauxqsServer) as url:
        yield url
