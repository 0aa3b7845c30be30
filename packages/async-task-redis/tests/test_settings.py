"""What is declared, and how URLs are read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from async_task.spi.errors import ConfigurationError
from async_task_redis.address import Address, address_of
from async_task_redis.settings import RedisSettings
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

LOCAL = (("localhost", 6379),)
CACHE = (("cache", 6379),)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address(hosts=LOCAL)),
        ("redis://cache", Address(hosts=CACHE)),
        ("redis://cache:7000/3", Address(hosts=(("cache", 7000),), options={"db": 3})),
        ("redis://[::1]:7000", Address(hosts=(("::1", 7000),))),
        ("redis://cache?db=3", Address(hosts=CACHE, options={"db": 3})),
        ("redis://:word@cache", Address(hosts=CACHE, options={"password": "word"})),
        (
            "redis://me:word@cache?client_name=shop",
            Address(
                hosts=CACHE,
                options={"client_name": "shop", "username": "me", "password": "word"},
            ),
        ),
        ("rediss://cache", Address(hosts=CACHE, kind=SSLConnection)),
        (
            "rediss://cache?ssl_ca_certs=/ca.pem&ssl_check_hostname=no",
            Address(
                hosts=CACHE,
                kind=SSLConnection,
                options={"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
            ),
        ),
        (
            "unix:///run/redis.sock?db=2&password=word",
            Address(
                kind=UnixDomainSocketConnection,
                options={"db": 2, "password": "word", "path": "/run/redis.sock"},
            ),
        ),
        (
            "unix://:word@/run/redis.sock",
            Address(
                kind=UnixDomainSocketConnection,
                options={"path": "/run/redis.sock", "password": "word"},
            ),
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: Address) -> None:
    assert address_of(RedisSettings.make(**RedisSettings.from_url(url))) == address


def test_a_url_says_where_the_sentinels_are() -> None:
    url = "rediss+sentinel://:w@one,two:7000/main/4?sentinel_password=s&ssl_ca_certs=/ca.pem"
    address = address_of(RedisSettings(url=url))
    assert str(address) == "rediss+sentinel://one:26379,two:7000/main"
    assert address.options == {"password": "w", "db": 4, "ssl_ca_certs": "/ca.pem"}
    sentinel = address.sentinel(("two", 7000))
    assert str(sentinel) == "rediss://two:7000"
    assert sentinel.options == {"password": "s", "ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p%40%3A%2F%25w@host",
        "redis://u:p@:/%25w@host",
        "redis+sentinel://u:p@:/%25w@host/m",
    ],
)
def test_a_password_may_hold_anything(url: str) -> None:
    assert address_of(RedisSettings(url=url)).options["password"] == "p@:/%w"


def test_the_setting_wins_over_the_url() -> None:
    settings = RedisSettings(url="redis://:one@host", password="p@:/%41")
    assert address_of(settings).options["password"] == "p@:/%41"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "http://host"}, "none of"),
        ({"url": "host:6379"}, "none of"),
        ({"url": "redis://host:port"}, "none of"),
        ({"url": "redis+other://host"}, "none of"),
        ({"url": "redis://host/name"}, "a database is a number"),
        ({"url": "redis://host/1", "db": 2}, "give one of them"),
        ({"url": "redis://host?socket_timeout=3"}, "no option socket_timeout"),
        ({"url": "redis://host?ssl_ca_certs=/ca"}, "no option ssl_ca_certs"),
        ({"url": "redis://host?db=one"}, "host, port or option"),
        ({"url": "rediss://host?ssl_cert_reqs=maybe"}, "an option cannot be"),
        ({"url": "rediss://host?ssl_nothing=1"}, "an option cannot be"),
        ({"url": "unix://relative"}, "absolute path"),
        ({"url": "redis+sentinel://host"}, "name of the service"),
        ({"url": "redis://one,two"}, "several servers"),
        ({"url": "redis://host/1", "cluster": True}, "database 0 only"),
        ({"url": "redis+sentinel://host/main", "cluster": True}, "database 0 only"),
        ({"max_connections": 0}, "redis_max_connections must be at least 1"),
        ({"wait_replicas": -1}, "redis_wait_replicas must be at least 0"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        address_of(RedisSettings.make(**values))


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel", "wrong"])
@pytest.mark.parametrize("rest", ["/a", "host:port/main", "host/x/y?no=1", "host"])
def test_no_message_and_no_repr_shows_a_password(scheme: str, rest: str) -> None:
    url = f"{scheme}://user:s3cr3t-w0rd@{rest}"
    try:
        settings = RedisSettings(url=url, password="s3cr3t-w0rd")
        address = address_of(settings)
    except ConfigurationError as error:
        said = repr(error)
    else:
        said = f"{settings!r} {address!r} {address}"
    assert "s3cr3t" not in said


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys, async_task_redis.plugin, async_task_redis.settings\n"
        "[info] = async_task_redis.plugin.async_task_drivers()\n"
        "assert info.name == 'redis' and info.spi_version == 1, info\n"
        "print({'redis', 'asyncio', 'async_task_redis.driver'} & sys.modules.keys() or 'none')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "none\n"
