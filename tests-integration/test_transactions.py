"""Tasks in the application's own transactions, on every kind of connection it may hold."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
import pytest
from async_task import Worker, config, current_context, get_dispatcher, set_global_config, task
from async_task.config import get_global_config
from async_task.core.outcome import TaskStatus
from async_task.core.queue_driver import QueueDriver
from async_task.errors import ConfigurationError, LeaseLostError, TaskFailedError, UnsupportedError
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = pytest.mark.anyio
LEDGER = "CREATE TABLE ledger (entry TEXT)"
INSERT = "INSERT INTO ledger (entry) VALUES ('{}')"
opened: dict[str, Any] = {}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(LEDGER)
    db.close()
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="sqlite", sqlite_path=str(path))
    opened["path"] = path
    return path


class Caller:
    """A connection as an application holds it, and how it writes, commits and rolls back."""

    def __init__(self, connection: Any, sql: Callable[[str], Any] = str) -> None:
        self.connection = connection
        self._sql = sql

    async def write(self, entry: str) -> None:
        await _awaited(self.connection.execute(self._sql(INSERT.format(entry))))

    async def commit(self) -> None:
        await _awaited(self.connection.commit())

    async def rollback(self) -> None:
        await _awaited(self.connection.rollback())


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


@contextmanager
def _engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


@asynccontextmanager
async def _async_engine(path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _sqlite3(path: Path) -> AsyncIterator[Caller]:
    with closing(sqlite3.connect(path)) as db:
        yield Caller(db)


@asynccontextmanager
async def _aiosqlite(path: Path) -> AsyncIterator[Caller]:
    async with aiosqlite.connect(path) as db:
        yield Caller(db)


@asynccontextmanager
async def _connection(path: Path) -> AsyncIterator[Caller]:
    with _engine(path) as engine, engine.connect() as connection:
        yield Caller(connection, text)


@asynccontextmanager
async def _session(path: Path) -> AsyncIterator[Caller]:
    with _engine(path) as engine, Session(engine) as session:
        yield Caller(session, text)


@asynccontextmanager
async def _async_connection(path: Path) -> AsyncIterator[Caller]:
    async with _async_engine(path) as engine, engine.connect() as connection:
        yield Caller(connection, text)


@asynccontextmanager
async def _async_session(path: Path) -> AsyncIterator[Caller]:
    async with _async_engine(path) as engine, AsyncSession(engine) as session:
        yield Caller(session, text)


KINDS = {
    "sqlite3": _sqlite3,
    "aiosqlite": _aiosqlite,
    "sqlalchemy connection": _connection,
    "sqlalchemy session": _session,
    "sqlalchemy async connection": _async_connection,
    "sqlalchemy async session": _async_session,
}
SYNC = ("sqlite3", "sqlalchemy connection", "sqlalchemy session")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _open(kind: str, path: Path) -> AbstractAsyncContextManager[Caller]:
    return KINDS[kind](path)


@task
async def note(entry: str) -> None:
    del entry


@task(result_ttl=60, max_retries=0)
async def enter(kind: str, entry: str, then: str) -> str:
    """Write to the ledger and end, as one transaction."""
    async with KINDS[kind](opened["path"]) as caller:
        transaction = current_context().transaction(caller.connection)
        if kind in SYNC:
            with transaction:
                await caller.write(entry)
                await note.dispatch("follows")
                transaction.result = "from inside"
                await _then(then)
        else:
            async with transaction:
                await caller.write(entry)
                await note.dispatch("follows")
                transaction.result = "from inside"
                await _then(then)
    if then == "raise after":
        raise RuntimeError("too late to matter")
    return "from the end"


async def _then(then: str) -> None:
    if then == "raise inside":
        raise RuntimeError("nothing of this is kept")


def ledger(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        entries = [entry for (entry,) in db.execute("SELECT entry FROM ledger")]
    db.close()
    return entries


async def ready() -> int:
    return await get_dispatcher().driver.get_queue_size("default")


async def work(count: int) -> None:
    await Worker(QueueDriver.from_config(get_global_config()), max_tasks=count).start()


async def test_a_task_exists_when_its_transaction_commits(kind: str, path: Path) -> None:
    await _connected()
    async with _open(kind, path) as caller:
        await caller.write("order")
        handle = await note("x").on_connection(caller.connection).dispatch()
        await caller.commit()
    assert await ready() == 1
    assert await handle.status() is TaskStatus.READY
    assert ledger(path) == ["order"]


async def test_no_task_exists_when_its_transaction_is_rolled_back(kind: str, path: Path) -> None:
    await _connected()
    async with _open(kind, path) as caller:
        await caller.write("order")
        await note("x").delay(0).on_connection(caller.connection).dispatch()
        await caller.rollback()
    assert await ready() == 0
    assert ledger(path) == []


def test_code_without_a_loop_joins_its_transaction(path: Path) -> None:
    asyncio.run(_connected())
    with closing(sqlite3.connect(path)) as db:
        note("x").on_connection(db).dispatch_sync()
        db.commit()
    with _engine(path) as engine, Session(engine) as session:
        note("y").on_connection(session).dispatch_sync()
        session.commit()
        note("z").on_connection(session).dispatch_sync()
    assert asyncio.run(ready()) == 2


async def _connected() -> None:
    await get_dispatcher().driver.connect()


async def test_a_task_ends_with_what_it_writes(kind: str, path: Path) -> None:
    handle = await enter.dispatch(kind, "paid", "return")
    await work(1)
    assert ledger(path) == ["paid"]
    assert await handle.result(5) == "from inside"
    assert await ready() == 1  # what it dispatched


async def test_an_error_rolls_everything_back(kind: str, path: Path) -> None:
    handle = await enter.dispatch(kind, "paid", "raise inside")
    await work(1)
    assert ledger(path) == []
    with pytest.raises(TaskFailedError, match="nothing of this is kept"):
        await handle.result(5)
    assert await ready() == 0


async def test_what_follows_the_commit_changes_nothing(kind: str, path: Path) -> None:
    handle = await enter.dispatch(kind, "paid", "raise after")
    await work(1)
    assert ledger(path) == ["paid"]
    assert await handle.result(5) == "from inside"
    assert await get_dispatcher().driver.dead_letters.browse("default") == []


async def test_a_lost_lease_rolls_everything_back(path: Path) -> None:
    stolen: list[str] = []

    @task(name=f"steal-{uuid.uuid4()}", max_retries=0)
    async def steal() -> None:
        with sqlite3.connect(path) as db:  # as a reclaiming worker would
            db.execute("UPDATE async_task_messages SET lease_id = x'00'")
        db.close()
        async with aiosqlite.connect(path) as caller:
            try:
                async with current_context().transaction(caller):
                    await caller.execute(INSERT.format("twice"))
            except LeaseLostError:
                stolen.append("lost")
                raise

    await steal.dispatch()
    await work(1)
    assert stolen == ["lost"]
    assert ledger(path) == []


async def test_a_connection_of_something_else_is_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"builtins\.dict is no connection.*asyncpg"):
        await note("x").on_connection({}).dispatch()
    assert await ready() == 0


async def test_a_driver_without_transactions_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_global", None)
    set_global_config(driver="memory", memory_name=uuid.uuid4().hex)
    with sqlite3.connect(":memory:") as db, pytest.raises(UnsupportedError, match="memory"):
        await note("x").on_connection(db).dispatch()
    db.close()
