"""A TCP proxy that does to connections what bad networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CHUNK = 65536


class Proxy:
    """Stands between clients and one server of 127.0.0.1, on a port of its own.

    It passes everything on until told otherwise; what it is told holds for connections that exist
    and for new ones. Entered as an async context manager it listens, left it drops everything.

    Args:
        port: The server's.

    Attributes:
        port: Where clients connect.
        dropped: How many replies were dropped by `drop_replies`.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._every = 0
        self._seen = 0
        self._open = asyncio.Event()
        self._open.set()
        self._latency_s = 0.0
        self.port = 0
        self.dropped = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        links = list(self._links)
        await asyncio.gather(*(link.ended() for link in links))
        await self._server.wait_closed()

    def pass_all(self) -> None:
        """Undo everything: what was held back goes on its way."""
        self._every = 0
        self._latency_s = 0.0
        self._open.set()

    def drop_replies(self, every: int) -> None:
        """Drop every n-th chunk that a server sends, and reset its connection.

        The server has done what it was asked, and the client cannot know. A chunk is what one read
        returns: for a client with one call in flight, one reply.
        """
        self._every = every

    def reset(self) -> None:
        """Reset all connections there are now (RST); new ones are accepted."""
        for link in list(self._links):
            link.reset()

    def black_hole(self) -> None:
        """Pass nothing in either direction, and close nothing, until `pass_all`."""
        self._open.clear()

    def delay(self, seconds: float) -> None:
        """Let every chunk of both directions take so long."""
        self._latency_s = seconds

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((reader, writer), server)
        self._links.add(link)
        try:
            await link.run(self._to_server, self._to_client)
        finally:
            self._links.discard(link)

    async def _to_server(self, link: _Link) -> None:
        await self._wait()

    async def _to_client(self, link: _Link) -> None:
        await self._wait()
        self._seen += 1
        if self._every and self._seen % self._every == 0:
            self.dropped += 1
            link.reset()

    async def _wait(self) -> None:
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        await self._open.wait()


class _Link:
    """One client's connection and its continuation to the server."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._pumps: list[asyncio.Task[None]] = []
        self._done = asyncio.Event()

    async def run(
        self,
        upward: Callable[[_Link], Awaitable[None]],
        downward: Callable[[_Link], Awaitable[None]],
    ) -> None:
        """Pass bytes on, each chunk after its gate has opened, until an end closes."""
        self._pumps = [
            asyncio.create_task(self._pump(self._from_client, self._to_server, upward)),
            asyncio.create_task(self._pump(self._from_server, self._to_client, downward)),
        ]
        try:
            await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            for writer in (self._to_client, self._to_server):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            self._done.set()

    def reset(self) -> None:
        """End both sides at once, the client's with RST."""
        peer = self._to_client.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._to_client.transport.abort()
        self._to_server.transport.abort()
        for pump in self._pumps:
            pump.cancel()

    async def ended(self) -> None:
        """Wait until nothing is left of it."""
        await self._done.wait()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gate: Callable[[_Link], Awaitable[None]],
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(_CHUNK):
                await gate(self)
                sink.write(chunk)
                await sink.drain()
