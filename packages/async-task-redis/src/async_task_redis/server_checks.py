"""Whether a server can be trusted with messages; looked at once, when a driver is opened."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from async_task.spi.errors import AccessDeniedError, ConfigurationError

from async_task_redis.client import run_one

if TYPE_CHECKING:
    from async_task_redis.client import Client
    from async_task_redis.keys import QueueKeys
    from async_task_redis.settings import RedisSettings

_log = logging.getLogger("async_task.redis")

OLDEST: Final = (6, 2)
"""The first version with ZMSCORE."""

_warned: set[str] = set()
"""Servers that this process has been warned of."""


async def check_server(
    client: Client, place: QueueKeys, settings: RedisSettings, name: str
) -> None:
    """Refuse a server that would lose messages, and warn of one that may.

    Where INFO is forbidden nothing is known and nothing is refused.

    Raises:
        ConfigurationError: It is too old, is a cluster's and nobody said so, or may evict messages.
    """
    try:
        reply = await run_one(client, place, ("INFO",))
    except AccessDeniedError:
        return
    lines = reply.decode(errors="replace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    version = info.get("redis_version", "")
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if numbers and numbers < OLDEST:
        raise ConfigurationError(f"{name} runs Redis {version}; 6.2 or newer is needed")
    if info.get("redis_mode") == "cluster" and not settings.cluster:
        raise ConfigurationError(f"{name} is a node of a cluster; set redis_cluster=True")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and not settings.allow_eviction:
        raise ConfigurationError(
            f"{name} has maxmemory-policy {policy} and deletes messages or results when its memory "
            "is full; set it to noeviction, or set redis_allow_eviction=True to accept the loss"
        )
    if info.get("aof_enabled") == "0" and name not in _warned:
        _warned.add(name)
        _log.warning(
            "%s writes no append-only file: tasks of up to the last snapshot are lost when it is "
            "killed. Set appendonly yes (appendfsync everysec loses at most a second or two of a "
            "power cut).",
            name,
        )
