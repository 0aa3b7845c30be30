"""What servers do: die, fill up, change places, refuse."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import pytest
from async_task.spi.driver import Consumer, ConsumerOptions
from async_task.spi.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    OutcomeUnknownError,
)
from async_task.spi.messages import (
    Ack,
    Extension,
    Lease,
    Message,
    MessageState,
    Reject,
    Release,
    StoredResult,
)
from async_task.testing.servers.redis import RedisSentinel, RedisServer, redis_cluster
from async_task_redis.driver import RedisDriver
from async_task_redis.keys import Keys, QueueKeys
from redis.crc import key_slot

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[RedisDriver]]

T = TypeVar("T")
OPTIONS = ConsumerOptions(queues=("q",), max_leases=1000)


def message(body: bytes = b"body", **more: Any) -> Message:
    return Message(os.urandom(16), "q", body, **more)


def there(facet: T | None) -> T:
    assert facet is not None
    return facet


async def take(consumer: Consumer, limit: int = 1, *, wait_ms: int = 0) -> list[Lease]:
    return list(
        await consumer.lease(
            ("q",), limit, wait_ms=wait_ms, lease_id=os.urandom(16), visibility_ms=60_000
        )
    )


async def until_it_works(driver: RedisDriver, within_s: float) -> None:
    """Wait until a ping is answered; failures before are retryable."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await driver.ping()
            except DriverError as error:
                assert error.retryable, repr(error)
                await asyncio.sleep(0.05)


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call until it is answered, as core does."""
    while True:
        try:
            return await call()
        except DriverError as error:
            assert error.retryable, repr(error)
            await asyncio.sleep(0.01)


class Load:
    """A producer and a worker that go on whatever happens, and what they were told."""

    def __init__(self, driver: RedisDriver, consumer: Consumer) -> None:
        self.stored: set[bytes] = set()
        self.done: list[bytes] = []
        self._driver = driver
        self._consumer = consumer

    async def produce(self) -> None:
        while True:
            batch = [message() for _ in range(10)]
            try:
                await self._driver.enqueue(batch)
            except DriverError as error:
                assert error.retryable, repr(error)
                await asyncio.sleep(0.01)
            else:
                self.stored.update(each.id for each in batch)

    async def work(self) -> None:
        while True:
            lease_id = os.urandom(16)
            try:
                # A call that is carried out after `recover` has looked gives back after this.
                leases = await self._consumer.lease(
                    ("q",), 20, wait_ms=100, lease_id=lease_id, visibility_ms=15_000
                )
            except DriverError as error:
                assert error.retryable, repr(error)
                leases = await repeated(partial(self._consumer.recover, lease_id))
            endings = [Ack(each) for each in leases]
            await repeated(partial(self._consumer.settle, endings))
            self.done += [each.id for each in leases]

    async def progress(self, count: int) -> None:
        goal = len(self.done) + count
        while len(self.done) < goal:  # noqa: ASYNC110 - counts what another task appends
            await asyncio.sleep(0.01)


async def test_a_killed_server_loses_nothing_it_acknowledged(
    server: RedisServer, opened: Opened
) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        load = Load(driver, consumer)
        worker = asyncio.create_task(load.work())
        producer = asyncio.create_task(load.produce())
        try:
            for _ in range(3):
                async with asyncio.timeout(30):
                    await load.progress(200)
                await asyncio.to_thread(server.kill9)
                await asyncio.to_thread(server.start)
                async with asyncio.timeout(5):  # consumers are back
                    await load.progress(1)
            producer.cancel()
            async with asyncio.timeout(30):
                while load.stored - set(load.done):
                    await load.progress(1)
        finally:
            for task in (producer, worker):
                task.cancel()
            await asyncio.gather(producer, worker, return_exceptions=True)
        assert len(load.done) == len(set(load.done))


async def test_a_server_that_is_away_is_said_to_be_and_found_again(
    server: RedisServer, opened: Opened
) -> None:
    async with opened(server.url) as driver:
        await asyncio.to_thread(server.stop)
        with pytest.raises((ConnectionLostError, OutcomeUnknownError)):
            await driver.ping()  # it may not have noticed yet
        for _ in range(3):
            with pytest.raises(ConnectionLostError, match="cannot be reached"):
                await driver.enqueue([message()])
        await asyncio.to_thread(server.start)
        await driver.enqueue([message()])


async def test_a_frozen_server_makes_outcomes_unknown(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url, op_timeout_ms=300) as driver:
        await driver.enqueue([message()])
        one = message()
        server.freeze()
        try:
            with pytest.raises(OutcomeUnknownError):
                await driver.enqueue([one])
        finally:
            server.thaw()
        await until_it_works(driver, 2)
        assert list(await driver.enqueue([one])) == [0]  # it was carried out after all


async def test_a_full_server_refuses_tasks_and_is_worked_off(
    server: RedisServer, opened: Opened
) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        await driver.enqueue([message(bytes(1000)) for _ in range(500)])
        [one] = await take(consumer)
        await consumer.settle([Reject(one, "failed", b"")])
        server.say("CONFIG SET maxmemory 1mb")
        with pytest.raises(DriverError, match="memory is full") as caught:
            await driver.enqueue([message()])
        assert caught.value.retryable
        assert not isinstance(caught.value, OutcomeUnknownError)
        assert await there(driver.dead_letters).requeue("q", {one.id: b"again"}) == 1
        leases = await take(consumer, 100)
        async with driver.keeper() as renewal:
            assert set(await renewal.extend(leases, 60_000)) == {Extension.HELD}
        assert list(await there(driver.control).cancel([leases[0].id])) == [MessageState.LEASED]
        await consumer.settle([Release(each, 0, b"state") for each in leases])
        await consumer.settle([Reject(each, "failed", b"") for each in await take(consumer, 10)])
        while leases := await take(consumer, 100):
            await consumer.settle([Ack(each, StoredResult(b"done", 60_000)) for each in leases])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased, stats.dead) == (0, 0, 10)
        server.say("CONFIG SET maxmemory 0")
        await driver.enqueue([message()])


async def test_a_server_that_evicts_is_refused_unless_allowed(opened: Opened) -> None:
    with RedisServer("--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(ConfigurationError, match="set it to noeviction"):
            async with opened(server.url):
                pass
        async with opened(server.url, allow_eviction=True) as driver:
            await driver.enqueue([message()])


async def test_a_server_without_append_only_file_is_warned_of_once(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer() as server, caplog.at_level(logging.WARNING, "async_task"):
        for _ in range(2):
            async with opened(server.url):
                pass
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["redis"]
    assert "appendonly yes" in caplog.text


async def test_kinds_of_servers_are_not_mixed_up(server: RedisServer, opened: Opened) -> None:
    with pytest.raises(ConfigurationError, match="redis_cluster=False"):
        async with opened(server.url, cluster=True):
            pass
    with redis_cluster(1) as [node]:
        opening = opened(node.url)
        with pytest.raises(ConfigurationError, match="redis_cluster=True"):
            await opening.__aenter__()


async def test_a_script_that_the_server_forgot_is_sent_again(
    server: RedisServer, opened: Opened
) -> None:
    async with opened(server.url) as driver, driver.consumer(OPTIONS) as consumer:
        for _ in range(2):
            await driver.enqueue([message() for _ in range(2)])
            [one, two] = await take(consumer, 2)
            await consumer.settle([Ack(one), Ack(two)])
            server.say("SCRIPT FLUSH")


async def test_a_replica_is_no_master(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url) as driver:
        server.say("REPLICAOF 127.0.0.1 1")
        with pytest.raises(ConnectionLostError, match="is a replica"):
            await driver.enqueue([message()])
        server.say("REPLICAOF NO ONE")
        await driver.enqueue([message()])


async def test_a_busy_server_is_tried_again(server: RedisServer, opened: Opened) -> None:
    async with opened(server.url) as driver:
        server.say("CONFIG SET lua-time-limit 10")
        endless = asyncio.create_task(
            asyncio.to_thread(server.say, 'EVAL "while true do end" 0'),
        )
        with pytest.raises(DriverError, match="a script runs for too long") as caught:
            async with asyncio.timeout(10):
                while True:
                    await driver.ping()
        assert caught.value.retryable
        server.say("SCRIPT KILL")
        assert "Script killed" in await endless
        await driver.enqueue([message()])


ALLOWED = (
    "+eval +evalsha +time +ping +auth +select +blpop +rpush +exists +get +set +del +mget +hget "
    "+hset +hmget +hdel +hexists +zadd +zrem +zrange +zrangebyscore +zrangebylex +zremrangebyrank "
    "+zmscore +zscore +zcard +zcount +sadd +srem +sismember +smembers +subscribe +unsubscribe "
    "+publish"
)


async def test_few_permissions_are_enough(server: RedisServer, opened: Opened) -> None:
    server.say(f"ACL SETUSER worker on >p@:/%25 ~async_task:* &async_task:* {ALLOWED}")
    url = f"redis://worker:p%40%3A%2F%2525@127.0.0.1:{server.port}"
    async with opened(url) as driver, driver.consumer(OPTIONS) as consumer:
        await driver.provision(["q"])
        messages = [message(), message(), message(delay_ms=60_000, expires_in_ms=1)]
        await driver.enqueue(messages)
        [one] = await take(consumer)
        assert await consumer.recover(one.lease_id) == [one]
        async with driver.keeper() as renewal:
            assert await renewal.extend([one], 60_000) == [Extension.HELD]
        result = asyncio.create_task(there(driver.results).wait([one.id], wait_ms=60_000))
        await consumer.settle([Ack(one, StoredResult(b"done", 60_000))])
        assert await result == {one.id: b"done"}
        [two] = await take(consumer, wait_ms=1000)
        await consumer.settle([Reject(two, "failed", b"")])
        dead = there(driver.dead_letters)
        assert [each.id for each in await dead.browse("q", limit=9)] == [two.id]
        assert await dead.requeue("q", {two.id: b""}) == 1
        assert await there(driver.control).cancel([two.id]) == [MessageState.READY]
        await there(driver.control).pause("q")
        assert await there(driver.control).paused() == ["q"]
        await there(driver.control).resume("q")
        await there(driver.results).put({two.id: StoredResult(b"", 1)})
        await driver.maintain()
        await driver.stats(["q"])
        assert await dead.purge("q") == 0
        assert await driver.purge("q") == 1
        assert not await take(consumer, wait_ms=20)


async def test_a_wrong_password_is_said_and_not_shown(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer("--requirepass", "p@:/%25") as server, caplog.at_level(logging.DEBUG):
        for url in (server.url, f"redis://:wr0ng@127.0.0.1:{server.port}"):
            with pytest.raises(AccessDeniedError, match="redis_password") as caught:
                async with opened(url):
                    pass
            assert not caught.value.retryable
            assert "wr0ng" not in repr(caught.value) + caplog.text
        async with opened(server.url, password="p@:/%25") as driver:
            await driver.ping()
            server.say("AUTH p@:/%25")
        assert "p@:/%25" not in caplog.text


async def test_the_password_of_a_sentinel_is_its_own(opened: Opened) -> None:
    with RedisServer() as master, RedisSentinel(master) as sentinel:
        sentinel.say("ACL SETUSER default resetpass >s3cret")
        for wrong in ("", "?sentinel_password=wr0ng"):
            with pytest.raises(AccessDeniedError, match="check sentinel_username") as caught:
                async with opened(sentinel.url + wrong):
                    pass
            assert "wr0ng" not in str(caught.value)
        async with opened(sentinel.url + "?sentinel_password=s3cret") as driver:
            await driver.ping()


async def test_no_more_connections_than_allowed(server: RedisServer, opened: Opened) -> None:
    gone = Lease(os.urandom(16), "q", b"", os.urandom(16), 1, 0)
    async with opened(server.url, max_connections=2) as driver, driver.keeper() as renewal:
        async with driver.consumer(OPTIONS) as consumer:
            await driver.enqueue([message()])
            assert await take(consumer)  # the second
            assert not await take(consumer, wait_ms=50)  # it polls instead of listening
            with pytest.raises(DriverError, match="redis_max_connections=2"):
                await renewal.extend([gone], 1000)
        assert await renewal.extend([gone], 1000) == [Extension.LOST]  # the consumer's is free


async def test_replicas_that_have_a_message_are_waited_for(
    server: RedisServer, opened: Opened
) -> None:
    with RedisServer("--replicaof", f"127.0.0.1 {server.port}") as replica:
        async with opened(server.url, op_timeout_ms=1000, wait_replicas=1) as driver:
            one = message()
            await repeated(lambda: driver.enqueue([one]))  # until the replica has caught up
            replica.freeze()
            two = message()
            with pytest.raises(OutcomeUnknownError, match="0 of 1 replicas"):
                await driver.enqueue([two])
            replica.thaw()
            assert list(await repeated(lambda: driver.enqueue([one, two]))) == [0, 1]


async def test_a_promoted_replica_is_followed(opened: Opened) -> None:
    with (
        RedisServer("--appendonly", "yes") as master,
        RedisServer("--appendonly", "yes", "--replicaof", f"127.0.0.1 {master.port}") as replica,
        RedisSentinel(master) as sentinel,
    ):
        while "slaves=1" not in sentinel.say("INFO sentinel"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        messages = [message() for _ in range(20)]
        async with opened(sentinel.url, wait_replicas=1) as driver:
            await repeated(lambda: driver.enqueue(messages))
        async with opened(sentinel.url) as driver, driver.consumer(OPTIONS) as consumer:
            leases = await take(consumer, 10)
            await asyncio.to_thread(master.kill9)
            await until_it_works(driver, 20)
            assert "role:master" in replica.say("INFO replication")
            await consumer.settle([Ack(each) for each in leases])
            rest = await take(consumer, 20)
            assert {each.id for each in leases + rest} == {each.id for each in messages}


async def test_a_queue_that_moves_to_another_node_is_followed(
    opened: Opened, namespace: str
) -> None:
    with redis_cluster() as nodes:
        driving = opened(nodes[0].url, cluster=True)
        async with driving as driver, driver.consumer(OPTIONS) as consumer:
            await driver.enqueue([message()])
            [lease] = await take(consumer)
            await consumer.settle([Ack(lease)])
            _move_queue(nodes, Keys(namespace)["q"])
            one = message()
            await driver.enqueue([one])
            assert [each.id for each in await take(consumer)] == [one.id]


async def test_a_dead_node_of_a_cluster_takes_its_queues_only(opened: Opened) -> None:
    with redis_cluster() as nodes:
        for node in nodes:
            node.say("CONFIG SET cluster-require-full-coverage no")
        async with opened(nodes[0].url, cluster=True, op_timeout_ms=1000) as driver:
            queues = [f"q{number}" for number in range(30)]
            await driver.provision(queues)
            await asyncio.to_thread(nodes[2].kill9)
            outcomes: list[bool] = []
            for queue in queues:
                each = message()
                each.queue = queue
                try:
                    await driver.enqueue([each])
                except DriverError as error:
                    assert error.retryable, repr(error)
                    outcomes.append(False)
                else:
                    outcomes.append(True)
            assert outcomes.count(True) > 5
            assert outcomes.count(False) > 2
            await asyncio.to_thread(nodes[2].start)
            await until_it_works(driver, 10)


def _move_queue(nodes: list[RedisServer], keys: QueueKeys) -> None:
    """Give the slot of a queue, which is empty, to the next node."""
    slot = key_slot(keys.prefix)
    owner = next(
        number
        for number, node in enumerate(nodes)
        if "MOVED" not in node.say(f"EXISTS {keys.body.decode()}")
    )
    source, target = nodes[owner], nodes[(owner + 1) % len(nodes)]
    for key in (keys.last, keys.wake):
        source.say(f"DEL {key.decode()}")
    target_id = target.say("CLUSTER MYID").split("\r\n")[1]
    for node in (target, source, nodes[(owner + 2) % len(nodes)]):
        node.say(f"CLUSTER SETSLOT {slot} NODE {target_id}")
