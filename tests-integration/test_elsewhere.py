"""Results and control for brokers, which have neither, from Redis or a SQL driver."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from async_task import QueueDriver, Worker, config, get_dispatcher, set_global_config, task
from async_task.config import Config, get_global_config, set_config
from async_task.core.registry import Registry
from async_task.errors import (
    ConfigurationError,
    ResultNotReadyError,
    TaskCancelledError,
    TaskFailedError,
    UnsupportedError,
)
from async_task.testing.servers.postgres import PostgresServer, asyncpg_orphans
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task.testing.servers.redis import RedisServer
from async_task.testing.servers.sqs import FauxqsServer

if TYPE_CHECKING:
    from pathlib import Path

    from async_task.testing.servers.base import LocalServer
    from callers import UrlOf

pytestmark = pytest.mark.anyio

BROKERS: dict[str, type[LocalServer]] = {"rabbitmq": RabbitmqServer, "sqs": FauxqsServer}
STORES = ("redis", "postgres", "sqlite")

started = asyncio.Event()
seen: list[object] = []


@task(name="elsewhere-add", result_ttl=60)
async def add(a: int, b: int) -> int:
    seen.append((a, b))
    return a + b


@task(name="elsewhere-add-apart", result_ttl=60, process=True)
def add_apart(a: int, b: int) -> int:
    return a + b


@task(name="elsewhere-divide", result_ttl=60, max_retries=0)
async def divide(a: int, b: int) -> float:
    return a / b


@task(name="elsewhere-signal", result_ttl=60)
async def signal() -> str:
    seen.append("signal")
    started.set()
    return "signalled"


@task(name="elsewhere-endless", result_ttl=60)
async def endless() -> None:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("told")
        raise


TASKS = Registry()
for each in (add, add_apart, divide, signal, endless):
    TASKS.add(each.definition)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def fresh(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    global started
    started = asyncio.Event()
    seen.clear()
    monkeypatch.setattr(config, "_global", None)
    with asyncpg_orphans():
        yield
        if set_config() is not None:
            await get_dispatcher().close()


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, url_of: UrlOf) -> str:
    """The URL of a broker."""
    return url_of(BROKERS[request.param])


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, url_of: UrlOf, tmp_path: Path) -> str:
    """What `results=` and `control=` say."""
    match request.param:
        case "redis":
            return url_of(RedisServer)
        case "postgres":
            return url_of(PostgresServer)
        case _:
            return f"sqlite:///{tmp_path / 'facets.db'}"


@pytest.fixture
def app(broker: str, store: str) -> None:
    """An application on a broker, with a store beside it."""
    configure(broker, results=store, control=store)


def configure(url: str, **settings: Any) -> None:
    namespace = f"t{uuid.uuid4().hex[:12]}"
    set_global_config(url=url, namespace=namespace, visibility_timeout=3, **settings)


@asynccontextmanager
async def working(**options: Any) -> AsyncGenerator[Worker]:
    """Have a worker work."""
    driver = QueueDriver.from_config(get_global_config())
    worker = Worker(driver, tasks=TASKS, grace=0, **options)
    running = asyncio.create_task(worker.start(handle_signals=False))
    try:
        yield worker
    finally:
        worker.stop()
        await running


@pytest.mark.usefixtures("app")
async def test_results_come_from_the_store() -> None:
    handles = [await add(n, 1).dispatch() for n in range(20)]
    failing, apart = await divide.dispatch(1, 0), await add_apart.dispatch(2, 3)
    with pytest.raises(ResultNotReadyError):
        await handles[0].result(timeout=0.01)
    async with working():
        assert await asyncio.gather(*(h.result(timeout=60) for h in handles)) == [*range(1, 21)]
        assert await apart.result(timeout=60) == 5
        with pytest.raises(TaskFailedError) as failure:
            await failing.result(timeout=60)
    assert failure.value.type == "ZeroDivisionError"
    assert await handles[0].status() == "done"
    assert await failing.status() == "failed"
    assert len(seen) == 20
    assert not await handles[0].cancel()  # it has ended


@pytest.mark.usefixtures("app")
async def test_a_cancelled_task_that_waits_is_never_run() -> None:
    unwanted, wanted = await add(1, 1).dispatch(), await add(2, 2).dispatch()
    assert await unwanted.cancel()
    async with working():
        with pytest.raises(TaskCancelledError):
            await unwanted.result(timeout=60)
        assert await wanted.result(timeout=60) == 4
    assert await unwanted.status() == "cancelled"
    assert seen == [(2, 2)]


@pytest.mark.usefixtures("app")
async def test_a_cancelled_task_that_runs_is_told() -> None:
    handle = await endless.dispatch()
    async with working():
        await started.wait()
        assert await handle.cancel()
        with pytest.raises(TaskCancelledError):
            await handle.result(timeout=60)
    assert seen == ["told"]


@pytest.mark.usefixtures("app")
async def test_a_paused_queue_gives_nothing_out() -> None:
    driver = get_dispatcher().driver
    await driver.pause("default")
    assert list(await driver.paused()) == ["default"]
    held = await add(1, 1).dispatch()
    free = await add(2, 2).on_queue("other").dispatch()
    async with working(queues=["default", "other"]):
        assert await free.result(timeout=60) == 4
        assert seen == [(2, 2)]
        await driver.pause("other")  # while the worker waits at it
        await driver.resume("default")
        assert await held.result(timeout=60) == 2
    async with working(queues=["other"], stop_when_empty=True) as worker:
        await add(3, 3).on_queue("other").dispatch()
        await worker.working.wait()
    assert seen == [(2, 2), (1, 1)]


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
async def test_a_result_waits_for_its_store_and_its_task_for_the_result(broker: str) -> None:
    """Nor does a task run again because its result had to wait."""
    with RedisServer("--appendonly", "yes") as server:
        configure(broker, results=server.url, op_timeout=0.5)
        async with working():
            assert await (await add(1, 1).dispatch()).result(timeout=60) == 2
            server.freeze()
            try:
                handle = await signal.dispatch()
                await started.wait()
                with pytest.raises(ResultNotReadyError):
                    await handle.result(timeout=1)
            finally:
                server.thaw()
            assert await handle.result(timeout=60) == "signalled"
    assert seen == [(1, 1), "signal"]


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
async def test_dispatch_needs_no_store(broker: str) -> None:
    configure(broker, results="redis://127.0.0.1:1", control="redis://127.0.0.1:1")
    await add.dispatch(1, 1)


async def test_a_store_must_have_what_it_is_named_for() -> None:
    for facet in ("results", "control"):
        settings = Config(url="amqp://localhost", **{facet: "sqs"})
        with pytest.raises(ConfigurationError, match=f"{facet}= names driver 'sqs', which has no"):
            QueueDriver.from_config(settings)
    with pytest.raises(ConfigurationError, match=r"redsi"):
        QueueDriver.from_config(Config(url="amqp://localhost", results="redsi"))


async def test_a_driver_that_keeps_results_itself_goes_on_doing_so() -> None:
    driver = QueueDriver.from_config(Config(driver="memory", results="redis", control="redis"))
    assert driver.stores == ()
    assert driver.results is driver.driver.results
    assert driver.control is driver.driver.control


async def test_one_store_for_both_is_opened_once() -> None:
    given = Config(url="amqp://localhost", results="redis", control="redis")
    assert len(QueueDriver.from_config(given).stores) == 1


async def test_without_a_store_results_are_refused_at_start(broker: str) -> None:
    configure(broker)
    worker = Worker(QueueDriver.from_config(get_global_config()), tasks=TASKS)
    with pytest.raises(UnsupportedError, match=r"keeps no results, as task 'elsewhere-.*results="):
        await worker.start(handle_signals=False)
    with pytest.raises(UnsupportedError, match="keeps no results; set results= to the name"):
        await add.dispatch(1, 1)
    with pytest.raises(UnsupportedError, match="cannot pause queues; set control="):
        await get_dispatcher().driver.pause("default")


async def test_no_password_of_a_store_is_shown() -> None:
    given = Config(url="amqp://localhost", results="redis://:s3cret@host/0")
    assert "s3cret" not in repr(given)
    assert "s3cret" not in repr(QueueDriver.from_config(given).stores)


@pytest.mark.parametrize("broker", ["sqs"], indirect=True)
async def test_the_doctor_says_where_they_are(broker: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "async_task", "doctor", "--url", broker, "--json"]
    command += ["--results", f"sqlite:///{tmp_path / 'facets.db'}"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    checks = {row["check"]: row["detail"] for row in json.loads(done.stdout)["checks"]}
    assert (checks["results"], checks["control"]) == ("in sqlite", "none")
