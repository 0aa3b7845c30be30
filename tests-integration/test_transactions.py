"""Tasks in the application's own transactions, on every kind of connection it may hold."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from async_task import Worker, config, current_context, get_dispatcher, set_global_config, task
from async_task.config import get_global_config
from async_task.core.outcome import TaskStatus
from async_task.core.queue_driver import QueueDriver
from async_task.errors import ConfigurationError, LeaseLostError, TaskFailedError, UnsupportedError
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Lease, Release
from callers import ALL, DATABASES, SQLALCHEMY, Caller, Database, UrlOf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
place: tuple[Database, str]
"""The database of the running test, and the kind of connection that its tasks use."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ALL, ids=lambda param: " ".join(param))
def database(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url_of: UrlOf,
) -> Iterator[Database]:
    """A fresh database with a ledger, which is also where the driver keeps its tasks."""
    global place
    name, kind = request.param
    monkeypatch.setattr(config, "_global", None)
    with DATABASES[name](tmp_path, url_of) as database:
        set_global_config(**database.settings)
        place = database, kind
        asyncio.run(_made())
        yield database


async def _made() -> None:
    await get_dispatcher().driver.connect()


def opened() -> Any:
    database, kind = place
    return database.kinds[kind]()


async def enter_in(caller: Caller, entry: str) -> None:
    await caller.execute(f"INSERT INTO {place[0].ledger} (entry) VALUES ('{entry}')")


async def ledger() -> list[str]:
    async with place[0].kinds["connection"]() as caller:
        rows = caller.connection.exec_driver_sql(f"SELECT entry FROM {place[0].ledger}").fetchall()
    return [entry for (entry,) in rows]


async def ready() -> int:
    return await get_dispatcher().driver.get_queue_size("default")


async def work(count: int) -> None:
    await Worker(QueueDriver.from_config(get_global_config()), max_tasks=count).start()


@task
async def note(entry: str) -> None:
    del entry


@task(result_ttl=60, max_retries=0)
async def pay(entry: str, then: str) -> str:
    """Write to the ledger and end, as one transaction."""
    async with opened() as caller:
        transaction = current_context().transaction(caller.connection)
        if caller.is_async:
            async with transaction:
                transaction.result = await _inside(caller, entry, then)
        else:
            with transaction:
                transaction.result = await _inside(caller, entry, then)
    if then == "raise after":
        raise RuntimeError("too late to matter")
    return "from the end"


async def _inside(caller: Caller, entry: str, then: str) -> str:
    await enter_in(caller, entry)
    await note.dispatch("follows")
    if then == "raise inside":
        raise RuntimeError("nothing of this is kept")
    return "from inside"


async def test_a_task_exists_when_its_transaction_commits(database: Database) -> None:
    async with opened() as caller:
        await caller.begin()
        await enter_in(caller, "order")
        handle = await note("x").on_connection(caller.connection).dispatch()
        await caller.commit()
    assert await ready() == 1
    assert await handle.status() is TaskStatus.READY
    assert await ledger() == ["order"]


async def test_no_task_exists_when_its_transaction_is_rolled_back(database: Database) -> None:
    async with opened() as caller:
        await caller.begin()
        await enter_in(caller, "order")
        later = note("x").delay(10**7).priority(3).expires_in(10**8)
        await later.on_connection(caller.connection).dispatch()
        await caller.rollback()
    assert await get_dispatcher().driver.get_queue_size("default") == 0
    assert await ledger() == []


async def test_all_options_hold_in_a_transaction(database: Database) -> None:
    async with opened() as caller:
        await caller.begin()
        later = note("x").delay(10**7).priority(3).expires_in(10**8).on_queue("later")
        await later.on_connection(caller.connection).dispatch()
        await caller.commit()
    (stats,) = await get_dispatcher().driver.stats(["later"])
    assert (stats.ready, stats.delayed) == (0, 1)


async def test_code_without_a_loop_joins_its_transaction(database: Database) -> None:
    async with opened() as caller:
        if caller.is_async:
            return

        def plain() -> None:
            note("y").on_connection(caller.connection).dispatch_sync()
            caller.connection.commit()
            note("z").on_connection(caller.connection).dispatch_sync()
            caller.connection.rollback()

        await caller.begin()
        plain()
    assert await ready() == 1


async def test_a_task_ends_with_what_it_writes(database: Database) -> None:
    handle = await pay.dispatch("paid", "return")
    await work(1)
    assert await ledger() == ["paid"]
    assert await handle.result(5) == "from inside"
    assert await ready() == 1  # what it dispatched


async def test_an_error_rolls_everything_back(database: Database) -> None:
    handle = await pay.dispatch("paid", "raise inside")
    await work(1)
    assert await ledger() == []
    with pytest.raises(TaskFailedError, match="nothing of this is kept"):
        await handle.result(5)
    assert await ready() == 0


async def test_what_follows_the_commit_changes_nothing(database: Database) -> None:
    handle = await pay.dispatch("paid", "raise after")
    await work(1)
    assert await ledger() == ["paid"]
    assert await handle.result(5) == "from inside"
    assert await get_dispatcher().driver.dead_letters.browse("default") == []


async def test_a_lost_lease_rolls_everything_back(database: Database) -> None:
    seen: list[str] = []

    @task(name=f"lose-{uuid.uuid4()}", max_retries=0)
    async def lose() -> None:
        context = current_context()
        await _taken_away(context.task_id)
        async with opened() as caller:
            transaction = context.transaction(caller.connection)
            try:
                if caller.is_async:
                    async with transaction:
                        await enter_in(caller, "twice")
                else:
                    with transaction:
                        await enter_in(caller, "twice")
            except LeaseLostError:
                seen.append("lost")
                raise

    await lose.dispatch()
    await work(1)
    assert seen == ["lost"]
    assert await ledger() == []


async def _taken_away(task_id: str) -> None:
    """End the running task's lease behind its back, through the driver's own interface."""
    driver = get_dispatcher().driver.driver
    assert driver.transactions is not None
    async with place[0].kinds["connection"]() as caller:
        # Who knows the lease id may settle; only the test can, by reading it from the table.
        sql = driver.transactions.lock(Lease(bytes(16), "", b"", bytes(16), 1, 0)).sql
        name = next(word for word in sql.split() if word[0] in '"`' or "." in word)
        row = caller.connection.exec_driver_sql(f"SELECT id, lease_id FROM {name}").one()
        caller.connection.rollback()
    ids = [value if isinstance(value, bytes) else value.bytes for value in row]
    assert uuid.UUID(bytes=ids[0]) == uuid.UUID(task_id)
    lease = Lease(ids[0], "default", b"", ids[1], 1, 0)
    options = ConsumerOptions(queues=("default",), max_leases=1)
    async with driver.consumer(options) as consumer:
        assert await consumer.settle([Release(lease, 60_000, b"")]) in ((), [])


async def test_a_connection_of_something_else_is_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"builtins\.dict is no connection.*asyncpg"):
        await note("x").on_connection({}).dispatch()
    assert await ready() == 0


async def test_a_driver_without_transactions_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="memory", memory_name=uuid.uuid4().hex)
    with pytest.raises(UnsupportedError, match="memory"):
        await note("x").on_connection(object()).dispatch()


def test_every_kind_of_connection_is_tried() -> None:
    assert {kind for _, kind in ALL} >= set(SQLALCHEMY)
