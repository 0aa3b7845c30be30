"""TLS and socket files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest
from async_task.spi.errors import ConfigurationError, ConnectionLostError
from async_task.spi.messages import Message
from async_task.testing.servers.base import free_port
from async_task.testing.servers.redis import RedisServer
from async_task_redis.driver import RedisDriver

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[RedisDriver]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself; its key is beside it."""
    openssl, redis = shutil.which("openssl"), shutil.which("redis-server")
    if openssl is None or redis is None:
        pytest.skip("needs openssl, and a redis-server built with TLS")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem",
        shell=True,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    port = free_port()
    key = certificate.with_name("key.pem")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    more = ("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no")
    with RedisServer("--tls-port", str(port), *files, *more):
        yield port


async def works(driver: RedisDriver) -> None:
    await driver.enqueue([Message(os.urandom(16), "q", bytes(1 << 20))])
    assert await driver.purge("q") == 1


async def test_a_trusted_certificate_is_taken(
    tls_port: int, certificate: Path, opened: Opened
) -> None:
    async with opened(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificate}") as driver:
        await works(driver)


async def test_a_certificate_nobody_vouches_for_is_refused(tls_port: int, opened: Opened) -> None:
    with pytest.raises(ConfigurationError, match="ssl_ca_certs"):
        async with opened(f"rediss://127.0.0.1:{tls_port}"):
            pass


async def test_certificates_need_not_be_checked(tls_port: int, opened: Opened) -> None:
    async with opened(f"rediss://127.0.0.1:{tls_port}?ssl_cert_reqs=none") as driver:
        await works(driver)


async def test_a_certificate_that_cannot_be_read_is_named(tls_port: int, opened: Opened) -> None:
    with pytest.raises(ConfigurationError, match="a certificate cannot be read"):
        async with opened(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs=/nowhere.pem"):
            pass


async def test_plain_and_tls_do_not_mix(tls_port: int, server: RedisServer, opened: Opened) -> None:
    for url in (f"redis://127.0.0.1:{tls_port}", f"rediss://127.0.0.1:{server.port}"):
        with pytest.raises(ConnectionLostError):
            async with opened(url, op_timeout_ms=1000):
                pass


async def test_a_socket_file_is_a_way(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer("--unixsocket", str(path)):
        async with opened(f"unix://{path}") as driver:
            await works(driver)
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        async with opened(f"unix://{path}"):
            pass


async def test_a_name_is_resolved(server: RedisServer, opened: Opened) -> None:
    async with opened(f"redis://localhost:{server.port}") as driver:
        await works(driver)
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        async with opened("redis://nowhere.invalid"):
            pass
