"""Connecting and introducing oneself."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from async_task.spi.errors import ConfigurationError, ConnectionLostError
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from async_task_redis.failures import REFUSALS, refused
from async_task_redis.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_task_redis.address import Address, Host

Dial: TypeAlias = "Callable[[float], Awaitable[Wire]]"
"""Makes a connection that is ready to use, or raises `DriverError`, before a deadline."""


def dialer(address: Address) -> Dial:
    """Return what connects to a server, wherever its Sentinels say it is."""

    async def direct(deadline: float) -> Wire:
        return await dial(address, deadline)

    async def through_sentinel(deadline: float) -> Wire:
        return await dial(address.at(await find_master(address, deadline)), deadline)

    return direct if address.service is None else through_sentinel


async def dial(address: Address, deadline: float) -> Wire:
    """Connect to a server and introduce ourselves.

    Raises:
        ConnectionLostError: It cannot be reached, or is starting.
        AccessDeniedError: It does not take our password.
        ConfigurationError: A certificate cannot be read, or is not trusted.
    """
    name = str(address)
    stream = address.stream()
    if isinstance(stream, SSLConnection):
        read_certificates(stream)
    try:
        try:
            async with asyncio.timeout_at(deadline):
                await stream.connect()
        except BaseException:
            await stream.disconnect(nowait=True)
            raise
    except TimeoutError:
        raise ConnectionLostError(f"{name} cannot be reached: no answer in time") from None
    except REFUSALS as error:
        raise refused(error, name) from error
    except RedisError as error:
        reason = error.__context__
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ConfigurationError(
                f"{name}: its certificate is not trusted ({reason.verify_message}); name its "
                "authority in redis_url by ssl_ca_certs=/path/to/ca.pem"
            ) from error
        raise ConnectionLostError(f"{name} cannot be reached: {error}") from error
    return Wire(stream, name)


def read_certificates(stream: SSLConnection) -> None:
    """Read the files that a connection names, so that their errors are not the network's.

    Raises:
        ConfigurationError: One cannot be read.
    """
    try:
        cast("Any", stream.ssl_context).get()  # has no types either; keeps what it returns
    except OSError as error:
        raise ConfigurationError(
            f"redis_url: a certificate cannot be read ({error}); check ssl_ca_certs, "
            "ssl_certfile and ssl_keyfile"
        ) from error


async def find_master(address: Address, deadline: float) -> Host:
    """Ask the Sentinels, in turn, where the server is now.

    Raises:
        ConnectionLostError: None of them knows.
        DriverError: One of them does not let us ask.
    """
    # One that is silent must not use up the time of the others.
    share_s = (deadline - asyncio.get_running_loop().time()) / len(address.hosts)
    timeouts = {"socket_timeout": share_s, "socket_connect_timeout": share_s}
    options = {**address.sentinel_options, **timeouts}
    # Its constructor has no types.
    sentinel: Sentinel = cast("Any", Sentinel)(address.hosts, sentinel_kwargs=options)
    try:
        async with asyncio.timeout_at(deadline):
            return cast("Host", await sentinel.discover_master(address.service or ""))
    except REFUSALS as error:
        raise refused(error, str(address)) from error
    except (TimeoutError, RedisError) as error:
        said = str(error) or "no answer in time"
        raise ConnectionLostError(f"{address} cannot be asked: {said}") from error
    finally:
        for client in sentinel.sentinels:
            await client.connection_pool.disconnect()
