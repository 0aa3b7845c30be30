"""How those who wait hear that something may have come: a hint, for everybody looks anyway.

Within a driver, by an event. Between processes by `NOTIFY`, sent in a transaction of its own after
what it announces was committed: a commit with a `NOTIFY` in it waits for every other such commit of
the whole cluster (8 connections: 4-5 instead of 12-16 thousand messages a second).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from async_task.spi.errors import DriverError

from async_task_postgres.failures import CLIENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Generator

    from async_task_postgres.connections import Connections
    from async_task_postgres.server import Connection, Server

MESSAGES, RESULTS = "m", "r"
"""What somebody waits for."""

_GAP_S = 0.01
"""Least time between two notifications of a driver; what happens meanwhile goes out in one."""

_PATIENCE_S = (0.5, 1.5)
"""Pause before the listener connects again."""

_PROBE_S = 15.0
"""How often the listener asks whether its connection still lives."""


class Wakeup:
    """The waiters of one driver, and its sender and hearer of notifications.

    Args:
        server: Where to listen.
        channel: The name of the channel.
        connections: What to send through.
        sends: Whether to send notifications.
        hears: Whether to listen, on a connection of its own, while anybody waits for the first time
            and from then on.
    """

    def __init__(
        self, server: Server, channel: str, connections: Connections, *, sends: bool, hears: bool
    ) -> None:
        self._server = server
        self._channel = channel
        self._connections = connections
        self._sends = sends
        self._hears = hears
        self._self = os.urandom(4).hex()
        self._waiting: dict[asyncio.Event, str] = {}
        self._unsent = ""
        self._sender: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, kind: str) -> Generator[asyncio.Event]:
        """Yield an event that is set when something of a kind may have come."""
        if self._hears and self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listen())
        event = asyncio.Event()
        self._waiting[event] = kind
        try:
            yield event
        finally:
            del self._waiting[event]

    def announce(self, kinds: str) -> None:
        """Wake who waits for these kinds, here and elsewhere."""
        self._wake(kinds)
        if self._sends:
            self._unsent += kinds
            if self._sender is None:
                self._sender = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Send what is unsent, at most for `op_timeout`, and listen no more."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            self._listener = None
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=self._server.op_timeout_s)
        self._unsent = ""

    def _wake(self, kinds: str) -> None:
        for event, kind in self._waiting.items():
            if kind in kinds:
                event.set()

    async def _send(self) -> None:
        """Send one notification; another soon after if there is reason to by then."""
        try:
            while self._unsent:
                kinds, self._unsent = "".join(sorted(set(self._unsent))), ""
                with contextlib.suppress(DriverError):  # only a hint
                    await self._connections.fetch(
                        "SELECT pg_notify($1, $2)", self._channel, f"{kinds} {self._self}"
                    )
                await asyncio.sleep(_GAP_S)
        finally:
            self._sender = None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            deadline = loop.time() + self._server.op_timeout_s
            with contextlib.suppress(DriverError, *CLIENT_ERRORS):
                connection = await self._server.connect(deadline)
                try:
                    await self._hear(connection)
                finally:
                    connection.terminate()
            await asyncio.sleep(random.uniform(*_PATIENCE_S))  # noqa: S311 - jitter

    async def _hear(self, connection: Connection) -> None:
        """Listen until the connection ends."""
        ended = asyncio.Event()

        def end(_: Any) -> None:
            ended.set()

        connection.add_termination_listener(end)
        await self._bounded(connection, connection.add_listener(self._channel, self._heard))
        self._wake(MESSAGES + RESULTS)  # what came before would not be heard
        while not ended.is_set():
            try:
                async with asyncio.timeout(_PROBE_S):
                    await ended.wait()
            except TimeoutError:
                await self._bounded(connection, connection.fetchval("SELECT 1"))

    async def _bounded(self, connection: Connection, call: Any) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._server.op_timeout_s, connection.terminate)
        try:
            await call
        finally:
            timer.cancel()

    def _heard(self, connection: Any, process: int, channel: str, payload: str) -> None:
        del connection, process, channel
        kinds, _, sender = payload.partition(" ")
        if sender != self._self:
            self._wake(kinds)
