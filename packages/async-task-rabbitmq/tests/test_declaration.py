"""What is declared without importing the client, what is refused at start, and what goes where."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import product
from typing import Any, TypeAlias

import pytest
from async_task import Worker, task
from async_task.config import Config
from async_task.core.ids import new_id
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import Registry
from async_task.spi.driver import DriverOptions
from async_task.spi.errors import AccessDeniedError, ConfigurationError, DriverError
from async_task.spi.messages import Message
from async_task_rabbitmq.consumer import RabbitmqConsumer
from async_task_rabbitmq.driver import RabbitmqDriver
from async_task_rabbitmq.ladder import RUNGS, UNIT_MS, Ladder
from async_task_rabbitmq.names import Names
from async_task_rabbitmq.settings import RabbitmqSettings

pytestmark = pytest.mark.anyio

Opened: TypeAlias = Callable[
    ..., AbstractAsyncContextManager[tuple[RabbitmqDriver, RabbitmqConsumer]]
]
YEAR_MS = 366 * 24 * 3_600_000


def test_declaring_imports_no_client() -> None:
    code = (
        "import sys, async_task_rabbitmq.plugin, async_task_rabbitmq.settings;"
        "print(*{'aio_pika', 'aiormq', 'pamqp', 'yarl'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"url": "http://guest:secret@host"}, "rabbitmq_url must begin with amqp"),
        ({"exchange_name": "amq.topic"}, "rabbitmq_exchange_name"),
        ({"exchange_name": ""}, "rabbitmq_exchange_name"),
        ({"prefetch_count": 0}, "rabbitmq_prefetch_count must be at least 1"),
        ({"consumer_timeout_seconds": -1}, "rabbitmq_consumer_timeout_seconds"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        RabbitmqSettings(**values)
    assert "secret" not in str(caught.value)


def test_a_repr_shows_no_password() -> None:
    assert "secret" not in repr(RabbitmqSettings(url="amqp://user:secret@host"))


def test_no_two_queues_share_a_name() -> None:
    namespaces = ("", "a", "a_b")
    queues = ("a", "b", "dead", "a-b", "1")
    names = [
        name
        for namespace, queue in product(namespaces, queues)
        for name in Names(namespace).all(queue)
    ]
    assert len(set(names)) == len(names)
    assert not any("." in name for name in names)


@pytest.mark.parametrize("delay_ms", [1, UNIT_MS, 1000, 60_000, 3_600_000, YEAR_MS, 100 * YEAR_MS])
def test_a_way_takes_as_long_as_the_delay(delay_ms: int) -> None:
    route = Ladder("x").route("q", delay_ms)
    waited_ms = sum(UNIT_MS << rung for rung in route.rungs)
    assert delay_ms <= waited_ms + route.rest_ms < delay_ms + UNIT_MS
    assert len(route.key) <= 255
    assert route.key.split(".")[-1] == "q"


def test_seconds_take_few_rungs() -> None:
    assert len(Ladder("x").route("q", 1000).rungs) == 1
    assert len(Ladder("x").route("q", 60_000).rungs) == 4
    assert RUNGS * 2 + 2 + 40 + 1 + 80 + len("@dead") <= 255  # the longest key


def test_no_delay_takes_no_rung() -> None:
    route = Ladder("x").route("q", 0)
    assert (route.exchange, route.key, route.rungs) == ("x", "q", ())


async def test_a_task_longer_than_the_consumer_timeout_is_refused_at_start() -> None:
    """Before anything is connected to."""
    tasks = Registry()

    # Its queue is nobody else's: other workers of this process see all tasks of it.
    @task(name="rabbitmq-tireless", timeout=3600, queue="endless")
    def tireless() -> None: ...

    tasks.add(tireless.definition)
    config = Config(driver="rabbitmq", rabbitmq_url="amqp://nowhere.invalid")
    worker = Worker(QueueDriver.from_config(config), ["endless"], tasks=tasks)
    with pytest.raises(ConfigurationError, match="may run for 3600 s, but rabbitmq takes it back"):
        await worker.start()


@pytest.mark.parametrize(("seconds", "ms"), [(60, 60_000), (0, None)])
def test_the_consumer_timeout_is_what_the_settings_say(seconds: int, ms: int | None) -> None:
    settings = RabbitmqSettings(consumer_timeout_seconds=seconds)
    assert RabbitmqDriver(settings, DriverOptions()).capabilities.max_visibility_ms == ms


async def test_a_wrong_password_is_said_and_not_shown(url: str) -> None:
    wrong = url.replace("guest:guest", "guest:s3cret")
    driver = RabbitmqDriver(RabbitmqSettings(url=wrong), DriverOptions())
    with pytest.raises(AccessDeniedError, match="user and password of rabbitmq_url") as caught:
        await driver.open()
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r}"


async def test_a_virtual_host_that_is_not_there_is_said(url: str) -> None:
    driver = RabbitmqDriver(RabbitmqSettings(url=f"{url.rstrip('/')}/nowhere"), DriverOptions())
    with pytest.raises(ConfigurationError, match="check the virtual host"):
        await driver.open()


async def test_nobody_there_is_said() -> None:
    driver = RabbitmqDriver(RabbitmqSettings(url="amqp://127.0.0.1:1/"), DriverOptions())
    with pytest.raises(DriverError) as caught:
        await driver.open()
    assert caught.value.retryable


async def test_a_passive_driver_uses_what_is_there_and_declares_nothing(
    url: str, opened: Opened
) -> None:
    message = Message(new_id(), "q", b"", delay_ms=1)
    async with opened(url) as (active, _):
        await active.enqueue([message])
        async with opened(url, passive=True) as (driver, consumer):
            await driver.enqueue([message])
            found = 0
            while found < 2:
                found += len(
                    await consumer.lease(
                        ["q"], 2, wait_ms=5000, lease_id=os.urandom(16), visibility_ms=5000
                    )
                )
            with pytest.raises(DriverError, match=r"no queue .*:new@1'.*x-queue-type") as caught:
                await driver.provision(["new"])
            assert not caught.value.retryable
            assert [stats.ready for stats in await driver.stats(["new"])] == [0]
