"""Settings of the Redis driver."""

from __future__ import annotations

from dataclasses import dataclass

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting

from async_task_redis.address import Address, parse


@dataclass(frozen=True, kw_only=True)
class RedisSettings(DriverSettings):
    """Where Redis is and how it is used.

    Attributes:
        url: `redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS,
            `unix:///path/to/socket[?db=0]`, or `redis+sentinel://host[:port],.../service[/db]`
            (`rediss+sentinel://` for TLS). What is not a letter or digit in user, password and path
            is percent-encoded. TLS options: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (paths)
            and `ssl_cert_reqs=none`. Sentinel's own: `sentinel_username`, `sentinel_password`.
        password: Wins over the one in the URL.
        db: Used where the URL names none.
        max_connections: Connections beyond this number are refused, not waited for. A worker holds
            four for each server it talks to, a process that waits for results one more.
        cluster: The URL names one node of a Redis Cluster.
        wait_replicas: How many replicas must have a message before an enqueue returns.
        allow_eviction: Use a server that may evict messages when it is full.

    Raises:
        ConfigurationError: A value cannot be; no message shows the password.
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
        address = self.address
        if not self.cluster and address.service is None and len(address.hosts) > 1:
            raise ConfigurationError(
                "redis_url names several servers; that is for redis_cluster=True or for Sentinels "
                "(redis+sentinel://)"
            )
        if self.cluster and (address.db or address.service or address.path):
            raise ConfigurationError(
                "redis_cluster: a cluster has database 0 only, and its nodes are reached by host "
                "and port; write redis://host:port"
            )

    @property
    def address(self) -> Address:
        """The URL, read, with `password` and `db` applied."""
        return parse(self.url, password=self.password, db=self.db)
