"""Connecting and introducing oneself."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    OutcomeUnknownError,
)
from redis.asyncio.connection import SSLConnection
from redis.exceptions import RedisError

from async_task_redis.failures import REFUSALS, refused
from async_task_redis.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

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
        ConnectionLostError: None of them knows, or it is down.
        DriverError: One of them does not let us ask.
    """
    problems: list[str] = []
    for host, until in in_turn(address.hosts, deadline):
        sentinel = address.sentinel(host)
        try:
            masters = await _masters(sentinel, until)
        except (ConnectionLostError, OutcomeUnknownError) as error:
            problems.append(str(error))
            continue
        except AccessDeniedError as error:
            raise AccessDeniedError(
                f"the Sentinel {sentinel} refused: {error.__cause__}; check sentinel_username and "
                "sentinel_password in redis_url, and its ACL"
            ) from error
        master = masters.get(address.service or "")
        if master is None:
            problems.append(f"{sentinel} watches no {address.service}")
        elif "s_down" in master["flags"] or "o_down" in master["flags"]:
            problems.append(f"{sentinel} says that {address.service} is down")
        else:
            return master["ip"], int(master["port"])
    raise ConnectionLostError(f"{address} cannot be reached: " + "; ".join(problems))


def in_turn(hosts: Sequence[Host], deadline: float) -> Iterator[tuple[Host, float]]:
    """Yield hosts, and when to give each up: one that is silent leaves the others their time."""
    loop = asyncio.get_running_loop()
    for number, host in enumerate(hosts):
        now = loop.time()
        yield host, now + (deadline - now) / (len(hosts) - number)


async def _masters(sentinel: Address, deadline: float) -> dict[str, dict[str, str]]:
    """Return what a Sentinel says of the servers it watches, by their names."""
    wire = await dial(sentinel, deadline)
    try:
        [reply] = await wire.call([("SENTINEL", "MASTERS")], deadline=deadline)
    finally:
        wire.end("has been asked")
        await wire.closed()
    if isinstance(reply, REFUSALS):
        raise refused(reply, str(sentinel))
    said = [[each.decode() for each in master] for master in reply]
    masters = [dict(zip(each[::2], each[1::2], strict=True)) for each in said]
    return {master["name"]: master for master in masters}
