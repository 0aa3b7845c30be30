"""The driver: Redis or Valkey as a store of queues."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

from async_task.spi.driver import BaseDriver
from async_task.spi.errors import DriverError, EnqueueError, OutcomeUnknownError
from async_task.spi.messages import QueueStats

from async_task_redis.address import address_of
from async_task_redis.client import SingleClient, run_all, run_one
from async_task_redis.cluster import ClusterClient
from async_task_redis.connection import Slots
from async_task_redis.consumer import RedisConsumer, leasing
from async_task_redis.control import RedisControl
from async_task_redis.dead_letters import RedisDeadLetters
from async_task_redis.dialing import dialer
from async_task_redis.keeper import RedisKeeper
from async_task_redis.keys import Keys
from async_task_redis.leases import storing
from async_task_redis.plugin import CAPABILITIES
from async_task_redis.results import RedisResults
from async_task_redis.scripts import ENQUEUE, PURGE, STATS
from async_task_redis.server_checks import check_server
from async_task_redis.store import Store
from async_task_redis.subscription import Subscription
from async_task_redis.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_task.spi.driver import ConsumerOptions, DriverOptions
    from async_task.spi.messages import Message

    from async_task_redis.client import Client
    from async_task_redis.keys import QueueKeys
    from async_task_redis.settings import RedisSettings
    from async_task_redis.wire import Command, Reply

_BATCH: Final = 1000
"""Most messages of one script, which keeps everybody else waiting for one or two milliseconds."""

_QUEUES: Final = 100
"""Most queues of one script, for the same reason."""

_CALL_BYTES: Final = 16 << 20
"""About how much one script is sent: Redis refuses 1 GiB, and serves nobody else meanwhile."""


class RedisDriver(BaseDriver):
    """A store on a Redis server, on the one that Sentinels name, or on a cluster.

    Args:
        settings: Where it is.
        options: Namespace (a prefix of the keys) and the bound of a call.

    Raises:
        ConfigurationError: The URL is none, or does not fit the other settings.
    """

    capabilities = CAPABILITIES

    def __init__(self, settings: RedisSettings, options: DriverOptions) -> None:
        self._settings = settings
        self._address = address_of(settings)
        self._op_timeout_s = options.op_timeout_ms / 1000
        self._keys = Keys(options.namespace)
        self._slots = Slots(settings.max_connections)
        self._registered: set[str] = set()
        self._consuming: dict[Client, Wakeup] = {}
        self._client = self._make_client()
        self._subscription = Subscription(self._make_client(), self._op_timeout_s)
        self._store = Store(self._client, self._keys, self._op_timeout_s)
        self.dead_letters = RedisDeadLetters(self._store)
        self.results = RedisResults(self._store, self._subscription)
        self.control = RedisControl(self._store)

    async def open(self) -> None:
        """Connect, and check that the server keeps what it is given.

        Raises:
            ConfigurationError: It is too old, may evict messages, or is a cluster and the settings
                say otherwise.
            AccessDeniedError: It does not take our password.
            DriverError: It cannot be reached.
        """
        self._client.open()
        self._subscription.open()
        try:
            await self.ping()
            name = str(self._address)
            await check_server(self._client, self._keys.elsewhere, self._settings, name)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drop all connections but the keeper's; what waits on them fails."""
        while self._consuming:
            client, wakeup = next(iter(self._consuming.items()))
            await client.close()
            await wakeup.close()
            self._consuming.pop(client, None)
        await self._client.close()
        await self._subscription.close()

    async def ping(self) -> None:
        """Make one round trip."""
        await run_one(self._client, self._keys.elsewhere, ("PING",))

    async def provision(self, queues: Sequence[str]) -> None:
        """Note the names of queues; `enqueue` does the same by itself."""
        if queues:
            await run_one(self._client, self._keys.elsewhere, self._registering(queues))
            self._registered.update(queues)

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        """Store messages in one round trip, those of one queue and priority in one step.

        Returns:
            The positions of messages that are here already, dead letters included.
        """
        batches = _batches(messages)
        calls: list[tuple[QueueKeys, Command]] = []
        for positions in batches:
            batch = [messages[at] for at in positions]
            keys = self._keys[batch[0].queue]
            due = keys.due[batch[0].priority]
            calls.append((keys, ENQUEUE.call((*keys.enqueueing, due), storing(batch))))
        replies = await self._store_all(calls)
        duplicates: list[int] = []
        failures: dict[int, DriverError] = {}
        for positions, reply in zip(batches, replies, strict=True):
            if isinstance(reply, DriverError):
                failures |= dict.fromkeys(positions, reply)
            else:
                duplicates += [positions[at] for at in reply]
        if failures:
            _raise(failures, len(messages))
        return sorted(duplicates)

    @asynccontextmanager
    async def consumer(self, options: ConsumerOptions) -> AsyncGenerator[RedisConsumer]:
        """Yield what takes messages, on connections of its own: one to work, one to listen."""
        client = self._make_client()
        client.open()
        wakeup = Wakeup(self._make_client, client)
        self._consuming[client] = wakeup
        try:
            yield RedisConsumer(client, self._keys, options.queues, wakeup)
        finally:
            await wakeup.close()
            await client.close()
            self._consuming.pop(client, None)  # cancelled before, the driver's `close` goes on

    @asynccontextmanager
    async def keeper(self) -> AsyncGenerator[RedisKeeper]:
        """Yield what renews leases, on a connection of its own."""
        client = self._make_client()
        client.open()
        try:
            yield RedisKeeper(client, self._keys)
        finally:
            await client.close()

    async def maintain(self) -> None:
        """Reclaim expired leases of all queues, up to a thousand of each.

        Results go by themselves when their time has come.
        """
        if self._registered:  # also after somebody has emptied the server
            await run_one(
                self._client, self._keys.elsewhere, self._registering(sorted(self._registered))
            )
        queues = await self._store.queues()
        calls = [
            (group[0], leasing(group, b"", 0, 0, most_reclaimed=_BATCH))
            for at in range(0, len(queues), _QUEUES)
            for group in self._client.groups(queues[at : at + _QUEUES])
        ]
        await run_all(self._client, calls)

    async def stats(self, queues: Sequence[str]) -> Sequence[QueueStats]:
        """Count queues; costs the same however long they are."""
        calls = [(self._keys[name], STATS.call(self._keys[name].settling)) for name in queues]
        replies = await run_all(self._client, calls)
        return [QueueStats(name, *counts) for name, counts in zip(queues, replies, strict=True)]

    async def purge(self, queue: str) -> int:
        """Delete what is ready or delayed in a queue, a thousand a step; returns how many."""
        keys = self._keys[queue]
        return await self._store.repeat(keys, PURGE.call(keys.settling, (_BATCH,)), _BATCH)

    async def _store_all(
        self, calls: list[tuple[QueueKeys, Command]]
    ) -> Sequence[Reply | DriverError]:
        """Send the calls of `enqueue`, and wait for the replicas that have to have the messages."""
        ends = asyncio.get_running_loop().time() + self._op_timeout_s
        fresh = {keys.queue for keys, _ in calls} - self._registered
        if not fresh:
            replies = await self._client.run(calls)
        else:
            noted, *replies = await self._client.run(
                [(self._keys.elsewhere, self._registering(sorted(fresh))), *calls]
            )
            if not isinstance(noted, DriverError):
                self._registered |= fresh
        wanted = self._settings.wait_replicas
        if not wanted:
            return replies
        left_s = max(0.001, ends - asyncio.get_running_loop().time())
        wait: Command = ("WAIT", wanted, max(1, int(left_s * 900)))
        copies = await self._client.run([(keys, wait) for keys, _ in calls], within_s=left_s)
        return [
            reply if isinstance(reply, DriverError) else _copied(reply, copy, wanted)
            for reply, copy in zip(replies, copies, strict=True)
        ]

    def _registering(self, queues: Sequence[str]) -> Command:
        return ("SADD", self._keys.registry, *queues)

    def _make_client(self) -> Client:
        if self._settings.cluster:
            return ClusterClient(self._address, self._op_timeout_s, self._slots)
        dial = dialer(self._address)
        return SingleClient(str(self._address), dial, self._op_timeout_s, self._slots)


def _batches(messages: Sequence[Message]) -> list[list[int]]:
    """Split positions into calls: of one queue and priority, not too many, not too large."""
    batches: list[list[int]] = []
    latest: dict[tuple[str, int], list[int]] = {}
    sizes: dict[tuple[str, int], int] = {}
    for position, message in enumerate(messages):
        kind = (message.queue, message.priority)
        batch = latest.get(kind)
        if batch is None or len(batch) == _BATCH or sizes[kind] > _CALL_BYTES:
            batch = latest[kind] = []
            batches.append(batch)
            sizes[kind] = 0
        batch.append(position)
        sizes[kind] += len(message.body)
    return batches


def _copied(reply: Reply, copies: Reply | DriverError, wanted: int) -> Reply | DriverError:
    if isinstance(copies, int) and copies >= wanted:
        return reply
    many = f"{copies} of {wanted}" if isinstance(copies, int) else "an unknown number"
    return OutcomeUnknownError(
        f"stored, but only {many} replicas have it (redis_wait_replicas): it is lost if the master "
        "fails now; repeating the call is safe"
    )


def _raise(failures: dict[int, DriverError], count: int) -> NoReturn:
    """Raise what says it all: one error if nothing was stored, or all of it is unknown."""
    kinds = {type(error) for error in failures.values()}
    first = next(iter(failures.values()))
    if len(failures) == count and (len(kinds) == 1 or OutcomeUnknownError not in kinds):
        raise first
    raise EnqueueError(
        f"{len(failures)} of {count} messages were not stored, or may not be: {first}", failures
    ) from first
