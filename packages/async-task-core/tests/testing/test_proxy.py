from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from async_task.testing.proxy import Proxy

pytestmark = pytest.mark.anyio


class Echo:
    """A server that repeats what it is told, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(100):
            self.heard += said
            writer.write(said)
            await writer.drain()
        writer.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def say(proxy: Proxy, word: bytes) -> bytes:
    """Open a connection, say a word and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(word)
        return await reader.read(100)
    finally:
        writer.close()


async def test_it_passes_everything_on(proxy: Proxy) -> None:
    heard = await asyncio.gather(say(proxy, b"one"), say(proxy, b"two"))
    assert [*heard] == [b"one", b"two"]


async def test_every_nth_reply_is_dropped_although_the_server_heard(
    proxy: Proxy, echo: Echo
) -> None:
    proxy.drop_replies(3)
    answers: list[bytes | None] = []
    for word in (b"1", b"2", b"3", b"4"):
        try:
            answers.append(await say(proxy, word))
        except ConnectionResetError:
            answers.append(None)
    assert answers == [b"1", b"2", None, b"4"]
    assert (echo.heard, proxy.dropped) == (b"1234", 1)


async def test_a_reset_ends_what_is_there_and_nothing_else(proxy: Proxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"a")
    assert await reader.read(100) == b"a"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read(100)
    writer.close()
    assert await say(proxy, b"b") == b"b"


async def test_a_black_hole_holds_back_until_it_is_passed(proxy: Proxy, echo: Echo) -> None:
    proxy.black_hole()
    waiting = asyncio.create_task(say(proxy, b"late"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert echo.heard == b""
    proxy.pass_all()
    assert await waiting == b"late"


async def test_a_delay_lets_chunks_take_time(proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    proxy.delay(0.02)
    began = loop.time()
    assert await say(proxy, b"slow") == b"slow"
    assert loop.time() - began >= 0.04


async def test_without_a_server_it_refuses() -> None:
    server = await asyncio.start_server(Echo().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Proxy(port) as proxy:
        with pytest.raises(ConnectionResetError):
            assert await say(proxy, b"anybody?") == b""
            raise ConnectionResetError  # an orderly end says the same
