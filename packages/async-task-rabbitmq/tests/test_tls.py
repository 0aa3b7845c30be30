"""TLS: what is trusted, what is refused, and what is said then."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest
from async_task.core.ids import new_id
from async_task.spi.errors import ConfigurationError, ConnectionLostError
from async_task.spi.messages import Ack, Message
from async_task.testing.servers.base import free_port
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.driver import RabbitmqDriver

pytestmark = pytest.mark.anyio

Opening: TypeAlias = AbstractAsyncContextManager[tuple[RabbitmqDriver, RabbitmqConsumer]]
Opened: TypeAlias = Callable[..., Opening]


class TlsServer(RabbitmqServer):
    """A server with TLS too, an authority, and its certificate for 127.0.0.1.

    Args:
        **settings: More lines of its configuration.
    """

    def __init__(self, **settings: str) -> None:
        self.tls_port = free_port()
        super().__init__(
            listeners__ssl__1=f"127.0.0.1:{self.tls_port}",
            ssl_options__cacertfile="ca.pem",  # in the folder that it runs in
            ssl_options__certfile="cert.pem",
            ssl_options__keyfile="key.pem",
            **settings,
        )

    def prepare(self) -> None:
        super().prepare()
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("needs openssl to make a certificate")
        new = (openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
        self.run(*new, "-subj", "/CN=test", "-keyout", "ca-key.pem", "-out", "ca.pem")
        signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "basicConstraints=CA:FALSE")
        name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
        self.run(*new, *signed, *name, "-keyout", "key.pem", "-out", "cert.pem")

    def start(self) -> None:
        """Start it, and wait for TLS too, which comes last."""
        super().start()
        while not super(RabbitmqServer, self).answers("127.0.0.1", self.tls_port):
            time.sleep(0.02)

    def tls_url(self, host: str = "127.0.0.1", **options: str) -> str:
        """Return a URL with options; those that name files of the server are completed."""
        files = {"cafile", "certfile", "keyfile"}
        query = "&".join(
            f"{name}={self.folder / value if name in files else value}"
            for name, value in options.items()
        )
        return f"amqps://guest:guest@{host}:{self.tls_port}/?{query}"


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsServer]:
    with TlsServer() as server:
        yield server


@pytest.fixture(scope="module")
def mutual() -> Iterator[TlsServer]:
    """A server that wants to see a certificate of its clients too."""
    with TlsServer(
        ssl_options__verify="verify_peer", ssl_options__fail_if_no_peer_cert="true"
    ) as server:
        yield server


async def works(opening: Opening) -> None:
    async with opening as (driver, consumer):
        await driver.enqueue([Message(new_id(), "q", bytes(1 << 20))])
        leases = await consumer.lease(
            ["q"], 1, wait_ms=5000, lease_id=os.urandom(16), visibility_ms=5000
        )
        assert [len(lease.body) for lease in leases] == [1 << 20]
        assert list(await consumer.settle([*map(Ack, leases)])) == []


async def is_refused(opening: Opening, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        async with opening:
            pass
    assert "guest" not in str(caught.value)


async def test_a_trusted_certificate_is_taken(tls: TlsServer, opened: Opened) -> None:
    await works(opened(tls.tls_url(cafile="ca.pem")))


async def test_a_certificate_nobody_vouches_for_is_refused(tls: TlsServer, opened: Opened) -> None:
    await is_refused(opened(tls.tls_url()), r"not trusted \(.*self-signed .*cafile=")


async def test_a_certificate_for_another_host_is_refused(tls: TlsServer, opened: Opened) -> None:
    url = tls.tls_url("localhost", cafile="ca.pem")
    await is_refused(opened(url), r"not trusted \(Hostname mismatch.*the host as the certificate")


async def test_certificates_need_not_be_checked(tls: TlsServer, opened: Opened) -> None:
    await works(opened(tls.tls_url(no_verify_ssl="1")))


@pytest.mark.parametrize(
    "files",
    [
        {"cafile": "nowhere.pem"},
        {"cafile": "key.pem"},
        {"cafile": "ca.pem", "certfile": "cert.pem", "keyfile": "cert.pem"},
    ],
)
async def test_a_certificate_that_cannot_be_read_is_named(
    tls: TlsServer, opened: Opened, files: dict[str, str]
) -> None:
    await is_refused(opened(tls.tls_url(**files)), "a certificate cannot be read .*check cafile")


async def test_a_server_may_want_to_see_ours(mutual: TlsServer, opened: Opened) -> None:
    """Without one it hangs up, and says why in its own log only: TLS 1.3 has begun by then."""
    await works(opened(mutual.tls_url(cafile="ca.pem", certfile="cert.pem", keyfile="key.pem")))
    with pytest.raises(ConnectionLostError):
        async with opened(mutual.tls_url(cafile="ca.pem")):
            pass


async def test_plain_and_tls_do_not_mix(tls: TlsServer, opened: Opened) -> None:
    for url in (
        f"amqp://guest:guest@127.0.0.1:{tls.tls_port}/",
        f"amqps://guest:guest@127.0.0.1:{tls.port}/",
    ):
        with pytest.raises(ConnectionLostError):
            async with opened(url, op_timeout_ms=1000):
                pass
