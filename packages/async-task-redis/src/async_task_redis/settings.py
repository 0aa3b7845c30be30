"""Settings of the Redis driver."""

from __future__ import annotations

from dataclasses import dataclass

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting


@dataclass(frozen=True, kw_only=True)
class RedisSettings(DriverSettings):
    """Where Redis is and how it is used.

    Attributes:
        url: `redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS,
            `unix:///path/to/socket[?db=0]`, or `redis+sentinel://host[:port],.../service[/db]`
            (`rediss+sentinel://` for TLS). What is not a letter or digit in user, password and path
            is percent-encoded. Options are redis-py's: `db`, `username`, `password`, `client_name`,
            `socket_keepalive`, and with TLS its `ssl_...`, such as `ssl_ca_certs=/path/to/ca.pem`
            or `ssl_cert_reqs=none`. Sentinel's own: `sentinel_username`, `sentinel_password`. It is
            read when a driver is made.
        password: Wins over the one in the URL.
        db: Used where the URL names none.
        max_connections: Connections beyond this number are refused, not waited for. A worker holds
            four for each server it talks to, a process that waits for results one more.
        cluster: The URL names one node of a Redis Cluster.
        wait_replicas: How many replicas must have a message before an enqueue returns.
        allow_eviction: Use a server that may evict messages when it is full.

    Raises:
        ConfigurationError: A number is too small.
    """

    url: str = setting(
        "redis://localhost:6379",
        "Where Redis is: redis://, rediss://, unix:// or redis+sentinel://.",
        secret=True,
    )
    password: str | None = setting(
        None, "Password, instead of one in the URL; not percent-encoded.", secret=True
    )
    db: int = setting(0, "Number of the database, where the URL names none.")
    max_connections: int = setting(
        100, "Most connections of one process; a worker holds four for each server."
    )
    cluster: bool = setting(False, "The URL names one node of a Redis Cluster.")
    wait_replicas: int = setting(
        0, "Replicas that must have a message before it counts as dispatched."
    )
    allow_eviction: bool = setting(
        False, "Use a server that may evict messages when its memory is full."
    )

    def __post_init__(self) -> None:
        for name, least in (("db", 0), ("max_connections", 1), ("wait_replicas", 0)):
            if getattr(self, name) < least:
                raise ConfigurationError(
                    f"redis_{name} must be at least {least}, not {getattr(self, name)}"
                )
