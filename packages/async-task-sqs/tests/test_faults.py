"""What SQS does rarely, done to order: a proxy that speaks HTTP stands between."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from async_task import Config, QueueDriver
from async_task.core.ids import new_id
from async_task.spi.driver import ConsumerOptions, DriverOptions
from async_task.spi.errors import (
    ConnectionLostError,
    DriverError,
    EnqueueError,
    OutcomeUnknownError,
    ThrottledError,
)
from async_task.spi.messages import Ack, Lease, Message, Reject, Retry
from async_task.testing.servers.sqs import MotoServer
from async_task_sqs.consumer import SqsConsumer
from async_task_sqs.driver import SqsDriver
from async_task_sqs.settings import SqsSettings

pytestmark = pytest.mark.anyio
SEND, RECEIVE, DELETE = "SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"
HOUR_MS = 3_600_000


class Faults:
    """Passes calls on to a server, but for the faults that were ordered.

    Attributes:
        calls: How often each operation was called.
        entries: How many entries its batches had.
        token: The session token of the latest call.
    """

    def __init__(self, endpoint: str, session: ClientSession) -> None:
        self._session = session
        self._endpoint = endpoint
        self._seen = asyncio.Condition()
        self._orders: dict[str, list[tuple[str, Sequence[int]]]] = {}
        self.calls: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.port = 0
        self.token: str | None = None

    @classmethod
    @asynccontextmanager
    async def before(cls, endpoint: str) -> AsyncGenerator[Faults]:
        async with ClientSession() as session:
            faults = cls(endpoint, session)
            app = web.Application(client_max_size=1 << 24)
            app.router.add_post("/", faults.answer)
            runner = web.AppRunner(app, shutdown_timeout=0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            faults.port = runner.addresses[0][1]
            try:
                yield faults
            finally:
                await runner.cleanup()

    def order(self, operation: str, kind: str, entries: Sequence[int] = ()) -> None:
        """Have the next call of an operation `throttled`, `lost`, `partial` or `repeated`."""
        self._orders.setdefault(operation, []).append((kind, entries))

    async def more(self, operation: str, than: int) -> None:
        """Wait until an operation was called more often than that."""
        async with self._seen:
            await self._seen.wait_for(lambda: self.calls[operation] > than)

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.loads(await request.read())
        self.token = request.headers.get("X-Amz-Security-Token")
        async with self._seen:
            self.calls[operation] += 1
            self._seen.notify_all()
        self.entries[operation] += len(body.get("Entries", ()))
        orders = self._orders.get(operation)
        kind, broken = orders.pop(0) if orders else ("passed", ())
        if kind == "throttled":
            error = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}
            return web.json_response(error, status=400)
        failed: list[dict[str, Any]] = []
        if kind == "partial":  # the entries at these positions are not carried out
            failed = [
                {"Id": str(at), "Code": "InternalError", "SenderFault": False} for at in broken
            ]
            body["Entries"] = [each for each in body["Entries"] if int(each["Id"]) not in broken]
        status, reply = await self._pass(request, body)
        if kind == "lost":
            assert request.transport is not None
            request.transport.abort()
        if kind == "repeated":  # the same message twice, as SQS does now and then
            reply["Messages"] += reply["Messages"]
        if failed:
            reply["Failed"] = failed
        return web.json_response(reply, status=status)

    async def _pass(self, request: web.Request, body: Any) -> tuple[int, Any]:
        if "Entries" in body and not body["Entries"]:
            return 200, {}
        names = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
        headers = {name: request.headers[name] for name in names}
        async with self._session.post(
            self._endpoint, data=json.dumps(body).encode(), headers=headers
        ) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
async def faults(moto: str) -> AsyncIterator[Faults]:
    async with Faults.before(SqsSettings.from_url(moto)["endpoint_url"]) as faults:
        yield faults


@pytest.fixture
async def strict(fauxqs: str) -> AsyncIterator[Faults]:
    """Before the server that hands no message to two who ask at once."""
    async with Faults.before(SqsSettings.from_url(fauxqs)["endpoint_url"]) as faults:
        yield faults


def new_driver(port: int, **more: Any) -> SqsDriver:
    url = SqsSettings.from_url(f"sqs://test:test@127.0.0.1:{port}")
    settings = SqsSettings.make(**url, fifo=more.pop("fifo", False))
    op_timeout_ms = more.pop("op_timeout_ms", 5000)
    options = DriverOptions(namespace=uuid.uuid4().hex, op_timeout_ms=op_timeout_ms)
    return SqsDriver(settings, options, poll_s=1, **more)


@asynccontextmanager
async def opened(driver: SqsDriver) -> AsyncGenerator[tuple[SqsDriver, SqsConsumer]]:
    await driver.open()
    try:
        await driver.provision(["q"])
        options = ConsumerOptions(queues=("q", "low"), max_leases=100)
        async with driver.consumer(options) as consumer:
            yield driver, consumer
    finally:
        await driver.close()


def messages(count: int) -> list[Message]:
    return [Message(new_id(), "q", b"body") for _ in range(count)]


async def take(consumer: SqsConsumer, count: int, *, visibility_ms: int = HOUR_MS) -> list[Lease]:
    leases: list[Lease] = []
    while len(leases) < count:
        leases += await consumer.lease(
            ("q",),
            count - len(leases),
            wait_ms=5000,
            lease_id=os.urandom(16),
            visibility_ms=visibility_ms,
        )
    return leases


async def look(consumer: SqsConsumer) -> list[Lease]:
    return [
        *await consumer.lease(("q",), 10, wait_ms=0, lease_id=os.urandom(16), visibility_ms=HOUR_MS)
    ]


async def test_a_batch_that_fails_in_part_names_what_was_not_stored(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        batch = messages(10)
        faults.order(SEND, "partial", [2, 7])
        with pytest.raises(EnqueueError) as caught:
            await driver.enqueue(batch)
        assert sorted(caught.value.failures) == [2, 7]
        assert caught.value.retryable
        stored = {each.id for at, each in enumerate(batch) if at not in (2, 7)}
        assert {lease.id for lease in await take(consumer, 8)} == stored


async def test_a_repeated_settlement_ends_only_what_is_left(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(10))
        endings = [Ack(lease) for lease in await take(consumer, 10)]
        faults.order(DELETE, "partial", [1, 3])
        with pytest.raises(OutcomeUnknownError):
            await consumer.settle(endings)
        stale = await consumer.settle(endings)
        assert list(stale) == [at for at in range(10) if at not in (1, 3)]
        assert faults.entries[DELETE] == 10 + 2
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased) == (0, 0)


@pytest.mark.parametrize("kind", ["given back", "rejected"])
async def test_a_copy_that_was_sent_is_not_sent_again(faults: Faults, kind: str) -> None:
    """Sending worked, deleting did not: the repeated call deletes and nothing else."""
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(1))
        [lease] = await take(consumer, 1)
        sent = faults.entries[SEND]
        ending = Retry(lease, 0, b"") if kind == "given back" else Reject(lease, "failed", b"")
        faults.order(DELETE, "partial", [0])
        with pytest.raises(OutcomeUnknownError):
            await consumer.settle([ending])
        assert list(await consumer.settle([ending])) == []
        assert faults.entries[SEND] == sent + 1
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased, stats.dead) == (
            (1, 0, 0) if kind == "given back" else (0, 0, 1)
        )


async def test_what_could_not_be_sent_on_is_still_held(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(1))
        [lease] = await take(consumer, 1)
        faults.order(SEND, "throttled")
        with pytest.raises(ThrottledError):
            await consumer.settle([Retry(lease, 0, b"")])
        assert faults.calls[DELETE] == 0
        assert list(await consumer.settle([Retry(lease, 0, b"again")])) == []
        [again] = await take(consumer, 1)
        assert (again.state, again.deliveries, again.crashes) == (b"again", 2, 0)


@pytest.mark.parametrize("operation", [SEND, RECEIVE])
async def test_throttling_is_said_and_not_waited_for(faults: Faults, operation: str) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        faults.order(operation, "throttled")
        with pytest.raises(ThrottledError) as caught:
            await (driver.enqueue(messages(1)) if operation == SEND else look(consumer))
        assert caught.value.retryable
        assert faults.calls[operation] == 1


async def test_a_lost_reply_to_sending_is_unknown_and_not_sent_again(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        faults.order(SEND, "lost")
        [message] = messages(1)
        with pytest.raises(OutcomeUnknownError):
            await driver.enqueue([message])
        assert faults.calls[SEND] == 1
        assert [lease.id for lease in await take(consumer, 1)] == [message.id]
        assert await look(consumer) == []


async def test_on_a_fifo_queue_a_lost_reply_to_sending_leaves_one_copy(faults: Faults) -> None:
    """Of a dispatch that is repeated, and of a retry."""
    async with opened(new_driver(faults.port, fifo=True)) as (driver, consumer):
        batch = messages(1)
        faults.order(SEND, "lost")
        with pytest.raises(OutcomeUnknownError):
            await driver.enqueue(batch)
        await driver.enqueue(batch)
        [lease] = await take(consumer, 1)
        faults.order(SEND, "lost")
        with pytest.raises(OutcomeUnknownError):
            await consumer.settle([Retry(lease, 0, b"")])
        assert list(await consumer.settle([Retry(lease, 0, b"")])) == []
        await consumer.settle([*map(Ack, await take(consumer, 1))])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased) == (0, 0)


async def test_a_lost_reply_to_receiving_costs_a_crash_and_nothing_more(faults: Faults) -> None:
    """SQS cannot tell a reply that was lost from a worker that died."""
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(1))
        faults.order(RECEIVE, "lost")
        with pytest.raises(OutcomeUnknownError):
            await take(consumer, 1, visibility_ms=1000)
        [lease] = await take(consumer, 1)
        assert (lease.deliveries, lease.crashes) == (2, 1)


async def test_a_message_that_comes_twice_is_settled_twice(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(1))
        faults.order(RECEIVE, "repeated")
        first, second = await take(consumer, 2)
        assert first.id == second.id
        await consumer.settle([Ack(first)])
        await consumer.settle([Ack(second)])
        assert await look(consumer) == []


async def test_two_copies_of_a_message_are_two_leases(faults: Faults) -> None:
    """A dispatch of unknown outcome that is repeated stores a second copy."""
    async with opened(new_driver(faults.port)) as (driver, consumer):
        await driver.enqueue(messages(1) * 2)
        first = await look(consumer)
        second = await look(consumer)
        assert [lease.id for lease in first] == [lease.id for lease in second]
        await consumer.settle([*map(Ack, first + second)])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.leased) == (0, 0)


async def test_a_temporary_key_goes_with_its_token(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("SESSION_TOKEN", "t")):
        monkeypatch.setenv(f"AWS_{name}", value)
    config = Config.from_env(driver="sqs", sqs_endpoint_url=f"http://127.0.0.1:{faults.port}")
    async with QueueDriver.from_config(config) as driver:
        await driver.driver.ping()
        assert faults.token == "t"


async def test_a_task_costs_three_calls_for_ten(strict: Faults) -> None:
    async with opened(new_driver(strict.port)) as (driver, consumer):
        await driver.enqueue(messages(1))  # finds the queue
        await consumer.settle([*map(Ack, await take(consumer, 1))])
        strict.calls.clear()
        await driver.enqueue(messages(100))
        leases = await take(consumer, 100)
        await consumer.settle([*map(Ack, leases)])
        assert strict.calls == {SEND: 10, RECEIVE: 10, DELETE: 10}


async def test_waiting_costs_a_call_for_each_poll_of_a_queue(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (_, consumer):
        await consumer.lease(
            ("q",), 10, wait_ms=2000, lease_id=os.urandom(16), visibility_ms=HOUR_MS
        )
        assert faults.calls[RECEIVE] <= 3
        faults.calls.clear()
        await consumer.lease(
            ("q", "low"), 10, wait_ms=1000, lease_id=os.urandom(16), visibility_ms=HOUR_MS
        )
        assert faults.calls[RECEIVE] <= 2 * 3


async def interrupt_a_poll(faults: Faults, driver: SqsDriver, consumer: SqsConsumer) -> None:
    """Interrupt a lease call, whose receive call cannot be taken back, and send it a message."""
    seen = faults.calls[RECEIVE]
    call = consumer.lease(
        ("q",), 10, wait_ms=HOUR_MS, lease_id=os.urandom(16), visibility_ms=HOUR_MS
    )
    waiting = asyncio.create_task(call)
    await faults.more(RECEIVE, seen)
    consumer.interrupt()
    assert await waiting == []
    await driver.enqueue(messages(1))


async def test_what_comes_after_an_interruption_is_given_back_uncharged(faults: Faults) -> None:
    """At once, since the consumer may stay open while tasks end; and again when it is left."""
    driver = new_driver(faults.port)
    async with opened(driver) as (_, other):
        async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=10)) as consumer:
            await interrupt_a_poll(faults, driver, consumer)
            [during] = await take(other, 1)
            await interrupt_a_poll(faults, driver, consumer)
        [after] = await take(other, 1)
        for lease in (during, after):
            assert (lease.deliveries, lease.crashes) == (1, 0)


async def test_polls_of_several_queues_ask_for_no_more_than_is_wanted(faults: Faults) -> None:
    async with opened(new_driver(faults.port)) as (driver, consumer):
        queues = ("a", "b", "c")
        await driver.provision(queues)
        for limit in (1, 2, 4, 7):
            call = consumer.lease(
                queues, limit, wait_ms=3000, lease_id=os.urandom(16), visibility_ms=HOUR_MS
            )
            waiting = asyncio.create_task(call)
            seen = faults.calls[RECEIVE]
            await faults.more(RECEIVE, seen)
            await driver.enqueue([Message(new_id(), queue, b"") for queue in queues * 4])
            leases = await waiting
            assert 1 <= len(leases) <= limit
            rest: list[Lease] = []
            while len(leases) + len(rest) < 12:
                rest += await consumer.lease(
                    queues, 100, wait_ms=3000, lease_id=os.urandom(16), visibility_ms=HOUR_MS
                )
            assert {lease.crashes for lease in [*leases, *rest]} == {0}
            await consumer.settle([*map(Ack, [*leases, *rest])])


async def test_a_long_delay_takes_hops_that_nobody_sees(faults: Faults) -> None:
    async with opened(new_driver(faults.port, hop_s=1)) as (driver, consumer):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        message = Message(new_id(), "q", b"body", delay_ms=2500, expires_in_ms=HOUR_MS)
        await driver.enqueue([message])
        [lease] = await take(consumer, 1)
        assert loop.time() - begun >= 2.5
        assert (lease.deliveries, lease.crashes, lease.expired) == (1, 0, False)
        assert faults.entries[SEND] == 3
        await consumer.settle([Ack(lease)])
        [stats] = await driver.stats(["q"])
        assert (stats.ready, stats.delayed, stats.leased) == (0, 0, 0)


async def test_a_server_that_went_away_is_found_again() -> None:
    with MotoServer() as server:
        async with opened(new_driver(server.port, op_timeout_ms=2000)) as (driver, consumer):
            await asyncio.to_thread(server.kill9)
            with pytest.raises(ConnectionLostError):
                await driver.enqueue(messages(1))
            with pytest.raises(ConnectionLostError):
                await look(consumer)
            await asyncio.to_thread(server.start)  # moto has forgotten all queues
            with pytest.raises(DriverError) as caught:
                await driver.enqueue(messages(1))
            assert caught.value.retryable
            await driver.enqueue(messages(1))
            assert len(await take(consumer, 1)) == 1


async def test_a_silent_server_keeps_nobody_for_longer_than_allowed() -> None:
    with MotoServer() as server:
        async with opened(new_driver(server.port, op_timeout_ms=1000)) as (driver, consumer):
            await asyncio.to_thread(server.freeze)
            async with asyncio.timeout(10):
                with pytest.raises(OutcomeUnknownError):
                    await driver.enqueue(messages(1))
            async with asyncio.timeout(10):
                with pytest.raises(OutcomeUnknownError):
                    await look(consumer)
            await asyncio.to_thread(server.thaw)
            await driver.enqueue(messages(1))
            assert await take(consumer, 1)
