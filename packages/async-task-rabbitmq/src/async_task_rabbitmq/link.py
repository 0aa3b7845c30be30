"""One connection to RabbitMQ, made when it is needed and again after it was lost."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import aio_pika
from aiormq import Channel
from async_task.spi.errors import ConfigurationError
from yarl import URL

from async_task_rabbitmq.failures import meaning

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


HEARTBEAT_S: Final = 10
"""A server that hears nothing for twice as long gives the leases of a connection to others."""
_LEAST: Final = (3, 10)
"""The first version whose quorum queues take a time to live, which delays are made of."""

for _name in ("aiormq", "aio_pika"):
    # They log, with tracebacks, what they also raise.
    if logging.getLogger(_name).level == logging.NOTSET:
        logging.getLogger(_name).setLevel(logging.CRITICAL)


class Link:
    """A plain connection: no recovery of aio-pika's, which hides what was lost.

    Belongs to the loop of the I/O thread. Calls that find it lost fail; the next one connects.

    Args:
        url: Where RabbitMQ is.
        role: What it is for; RabbitMQ shows it.
        timeout_s: Bound of connecting and of opening a channel.
    """

    def __init__(self, url: str, role: str, timeout_s: float) -> None:
        given = URL(url)
        said = "heartbeat" in given.query
        self._url = given if said else given.update_query(heartbeat=HEARTBEAT_S)
        self._role = role
        self._timeout_s = timeout_s
        self._connection: aio_pika.Connection | None = None
        self._connecting = asyncio.Lock()

    async def connect(self) -> None:
        """Make sure that there is a connection.

        Raises:
            ConfigurationError: The server is too old, or has no such virtual host.
            AccessDeniedError: It does not know us.
            ConnectionLostError: It cannot be reached.
        """
        async with self._connecting:
            if self._connection is not None and _is_open(self._connection):
                return
            await self.close()  # what is left of one that was lost
            name = f"async-task {self._role}"
            connection = aio_pika.Connection(self._url, client_properties={"connection_name": name})
            try:
                with meaning("connecting"):
                    await connection.connect(timeout=self._timeout_s)
                _check(_server(connection))
            except BaseException:
                # One that is only dropped closes itself when it is collected, in whichever thread.
                await _closed(connection)
                raise
            self._connection = connection

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel, after connecting if need be."""
        await self.connect()
        connection = self._connection
        with meaning("opening a channel"):
            async with asyncio.timeout(self._timeout_s):
                assert connection is not None  # noqa: S101 - connected
                channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
                await channel.initialize()
                underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, Channel)  # noqa: S101 - the only kind there is
        return underlay

    @asynccontextmanager
    async def fleeting(self) -> AsyncGenerator[Channel]:
        """Yield a channel for one purpose: what RabbitMQ refuses closes it."""
        channel = await self.channel()
        try:
            yield channel
        finally:
            with suppress(Exception, asyncio.CancelledError):
                await channel.close()

    async def close(self) -> None:
        """Close the connection, bounded in time; a later call would make another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _closed(connection)


async def _closed(connection: aio_pika.Connection) -> None:
    with suppress(Exception, asyncio.CancelledError):
        async with asyncio.timeout(1):  # there is nobody to answer where a server is frozen
            await connection.close()


def _is_open(connection: aio_pika.Connection) -> bool:
    transport = connection.transport
    return transport is not None and not transport.connection.is_closed


def _server(connection: aio_pika.Connection) -> dict[str, Any]:
    transport = connection.transport
    return dict(transport.connection.server_properties) if transport is not None else {}


def _check(server: dict[str, Any]) -> None:
    version = str(server.get("version", ""))
    found = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if found < _LEAST:
        raise ConfigurationError(
            f"this is {server.get('product', 'a server')} {version}; the rabbitmq driver needs "
            f"RabbitMQ {'.'.join(map(str, _LEAST))} or newer"
        )
