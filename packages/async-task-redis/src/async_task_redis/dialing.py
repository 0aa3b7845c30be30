"""Connecting and introducing oneself."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from async_task.spi.errors import (
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    OutcomeUnknownError,
)

from async_task_redis.failures import refused
from async_task_redis.wire import Command, ReplyError, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_task_redis.address import Address, Tls

Dial: TypeAlias = "Callable[[float], Awaitable[Wire]]"
"""Makes a connection that is ready to use, or raises `DriverError`, before a deadline."""


def dialer(address: Address) -> Dial:
    """Return what connects to a server, wherever its Sentinels say it is."""

    async def direct(deadline: float) -> Wire:
        return await dial(address, deadline)

    async def through_sentinel(deadline: float) -> Wire:
        return await dial(await find_master(address, deadline), deadline)

    return direct if address.service is None else through_sentinel


async def dial(address: Address, deadline: float) -> Wire:
    """Connect to a server and introduce ourselves.

    Raises:
        ConnectionLostError: It cannot be reached, or is starting.
        AccessDeniedError: It does not take our password.
        ConfigurationError: A certificate cannot be read.
    """
    name = str(address)
    try:
        async with asyncio.timeout_at(deadline):
            wire = await _connect(address, name, deadline)
    except TimeoutError:
        raise ConnectionLostError(f"{name} cannot be reached: no answer in time") from None
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"{name}: its certificate is not trusted ({error.verify_message}); name its authority "
            "in redis_url by ssl_ca_certs=/path/to/ca.pem"
        ) from error
    except OSError as error:
        raise ConnectionLostError(f"{name} cannot be reached: {error}") from error
    try:
        await _introduce(wire, address, name, deadline)
    except BaseException:
        wire.end("was given up")
        raise
    return wire


async def find_master(address: Address, deadline: float) -> Address:
    """Ask the Sentinels, in turn, where the server is now.

    Raises:
        ConnectionLostError: None of them knows.
    """
    loop = asyncio.get_running_loop()
    question: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service or "")
    problems: list[str] = []
    for number, host in enumerate(address.hosts):
        sentinel = replace(
            address,
            hosts=(host,),
            service=None,
            db=0,
            username=address.sentinel_username,
            password=address.sentinel_password,
        )
        # One that is silent must not use up the time of the others.
        now = loop.time()
        until = now + (deadline - now) / (len(address.hosts) - number)
        try:
            wire = await dial(sentinel, until)
            try:
                [reply] = await wire.call([question], deadline=until)
            finally:
                wire.end("has answered")
        except DriverError as error:
            problems.append(str(error))
            continue
        if isinstance(reply, ReplyError):
            problems.append(str(refused(reply, str(sentinel))))
        elif reply is None:
            problems.append(f"{sentinel} knows no service {address.service!r}")
        else:
            host, port = reply
            return address.at((host.decode(), int(port)))
    raise ConnectionLostError("; ".join(problems))


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Make the context of a TLS connection; certificates are checked unless the URL says no."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        raise ConfigurationError(
            f"redis_url: a certificate cannot be read ({error}); check ssl_ca_certs, "
            "ssl_certfile and ssl_keyfile"
        ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _connect(address: Address, name: str, deadline: float) -> Wire:
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, wire = await loop.create_unix_connection(partial(Wire, name), address.path)
        return wire
    host, port = address.hosts[0]
    context = None if address.tls is None else tls_context(address.tls)
    server_name = None if context is None else host
    places = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (*_, place) in enumerate(places):
        now = loop.time()  # an address that is silent must not use up the time of the others
        try:
            async with asyncio.timeout_at(now + (deadline - now) / (len(places) - number)):
                _, wire = await loop.create_connection(
                    partial(Wire, name),
                    str(place[0]),
                    port,
                    ssl=context,
                    server_hostname=server_name,
                )
        except (OSError, TimeoutError):
            if number == len(places) - 1:
                raise
        else:
            return wire
    raise OSError(f"{host} has no address")


async def _introduce(wire: Wire, address: Address, name: str, deadline: float) -> None:
    commands: list[Command] = []
    if address.password is not None:
        user = () if address.username is None else (address.username,)
        commands.append(("AUTH", *user, address.password))
    if address.db:
        commands.append(("SELECT", address.db))
    commands.append(("PING",))
    try:
        replies = await wire.call(commands, deadline=deadline)
    except OutcomeUnknownError as error:  # of these commands; what we are here for was not sent
        raise ConnectionLostError(f"{name} cannot be reached: {error}") from error
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise refused(reply, name)
