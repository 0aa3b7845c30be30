"""What the conformance suite must be told about a backend."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_task.spi.driver import Consumer, Driver

Kill: TypeAlias = "Callable[[Consumer], Awaitable[None]]"
Restart: TypeAlias = "Callable[[], Awaitable[None]]"
Bare: TypeAlias = "Callable[[], Awaitable[Driver]]"


class DriverHarness(ABC):
    """Makes drivers and holds the ugly knowledge about their backend.

    One harness serves one test. The numbers are for a backend on this machine; override those that
    do not fit yours. No test measures how fast a driver is.

    Attributes:
        tick_ms: The short duration tests are made of: what lapses lasts one tick, what must not
            lapse meanwhile lasts ten or for ever. Whole seconds for a clock that counts seconds.
        glance_ms: How long a lease call waits before a test believes that nothing is there.
        patience_ms: How long a lease call waits for what must come.
        op_timeout_ms: The `DriverOptions.op_timeout_ms` that `make` gives its drivers.
        manual_clock: Whether `advance` moves the store's clock by hand, so that hours cost
            nothing and nothing lapses by itself.
        tied: Whether leases end with the connection that they came over, if not by time before,
            and the backend itself may count a crash too many.
        kill: Drop a consumer's connection without a farewell, as a crashed process would. `None`
            where a lease ends by time alone, so that forgetting the consumer is the same.
        restart: Restart the server, keeping what it had acknowledged. `None` if impossible.
        bare: Make a driver like `make` does, whose `migrations` were not applied. `None` for a
            driver without them.
    """

    tick_ms: int = 100
    glance_ms: int = 50
    patience_ms: int = 5000
    op_timeout_ms: int = 5000
    manual_clock: bool = False
    tied: bool = False
    kill: Kill | None = None
    restart: Restart | None = None
    bare: Bare | None = None

    @abstractmethod
    async def make(self) -> Driver:
        """Return an unopened driver in a fresh namespace, its schema (if any) in place."""

    @abstractmethod
    async def again(self, driver: Driver) -> Driver:
        """Return another unopened driver on the store and namespace of `driver`.

        It shares what two processes would share and nothing else.
        """

    async def advance(self, ms: int) -> None:
        """Let the store's clock pass by at least `ms`. The default really waits."""
        await asyncio.sleep(ms / 1000)

    async def aclose(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what the harness left in the backend; every driver is closed by then."""


def missing_server(reason: str) -> NoReturn:
    """Skip the test on a desk; fail it under `CI=true`, where nothing may go untested unseen.

    Args:
        reason: Which server is missing and how to provide it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
