"""Tasks that are sent when a session of SQLAlchemy commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from async_task import PendingCall, QueueDriver, TaskHandle, get_dispatcher, task
from async_task.config import Config
from async_task.core.dispatcher import Dispatcher
from async_task.core.middleware import Middleware, Send, add_middleware, remove_middleware
from async_task.core.outcome import TaskStatus
from async_task.drivers.memory import MemoryDriver
from async_task.errors import ConfigurationError, ConnectionLostError, EncodeError
from async_task.testing.fake import FakeQueue
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

pytestmark = pytest.mark.anyio


class Base(DeclarativeBase):
    pass


class Receipt(Base):
    __tablename__ = "receipts"
    id: Mapped[int] = mapped_column(primary_key=True)


seen: list[Any] = []


@task
async def note(what: Any) -> None:
    seen.append(what)


@pytest.fixture
async def engine(tmp_path: Path, queue: Any) -> AsyncIterator[AsyncEngine]:
    seen.clear()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def test_a_commit_sends_before_it_returns(session: AsyncSession, queue: Any) -> None:
    handle = await note("a").after_commit(session).delay(60).dispatch()
    await get_dispatcher().dispatch(note("b").after_commit(session), queue="default")
    (many,) = await get_dispatcher().dispatch_many([note("c").after_commit(session)])
    assert await handle.status() is TaskStatus.UNKNOWN
    await session.commit()
    assert await handle.status() is TaskStatus.DELAYED
    assert isinstance(many, str)
    assert await queue.ready() == 3
    await session.commit()  # once is enough
    await queue.work()
    assert sorted(seen) == ["b", "c"]


async def test_a_rollback_drops(session: AsyncSession, queue: Any) -> None:
    await note("rolled back").after_commit(session).dispatch()
    await session.rollback()
    await note("closed").after_commit(session).dispatch()
    await session.close()
    with pytest.raises(ZeroDivisionError):
        async with session.begin():
            await note("raised").after_commit(session).dispatch()
            raise ZeroDivisionError
    await session.commit()
    assert await queue.ready() == 0


async def test_savepoints_count(session: AsyncSession, queue: Any) -> None:
    async with session.begin():
        await note("around").after_commit(session).dispatch()
        async with session.begin_nested():
            await note("released").after_commit(session).dispatch()
            with pytest.raises(ZeroDivisionError):
                async with session.begin_nested():
                    await note("rolled back").after_commit(session).dispatch()
                    async with session.begin_nested():
                        await note("within").after_commit(session).dispatch()
                    raise ZeroDivisionError
        open_savepoint = await session.begin_nested()
        await note("open").after_commit(session).dispatch()
        assert await queue.ready() == 0
    assert not open_savepoint.is_active
    await queue.work()
    assert sorted(seen) == ["around", "open", "released"]


async def test_a_released_savepoint_goes_with_what_is_around_it(
    session: AsyncSession, queue: Any
) -> None:
    async with session.begin_nested():
        await note("released").after_commit(session).dispatch()
    await session.rollback()
    savepoint = await session.begin_nested()
    await note("open").after_commit(session).dispatch()
    await session.rollback()
    assert not savepoint.is_active
    await session.commit()
    assert await queue.ready() == 0


async def test_a_failed_flush_drops(session: AsyncSession, queue: Any) -> None:
    session.add(Receipt(id=1))
    await session.commit()
    await note("x").after_commit(session).dispatch()
    session.add(Receipt(id=1))
    with pytest.raises(Exception, match="UNIQUE"):
        await session.commit()
    await session.rollback()
    await session.commit()
    assert await queue.ready() == 0


async def test_a_row_flushed_in_the_transaction_can_be_sent(
    session: AsyncSession, queue: Any
) -> None:
    session.add(receipt := Receipt())
    with pytest.raises(EncodeError, match="not stored"):
        await note(receipt).after_commit(session).dispatch()
    await session.flush()
    await note(receipt).after_commit(session).dispatch()
    await session.commit()
    assert await queue.ready() == 1


async def test_what_cannot_be_sent_raises_out_of_the_commit(
    session: AsyncSession, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.add(Receipt(id=7))
    await note("a").after_commit(session).dispatch()
    await note("b").after_commit(session).dispatch()

    async def refuse(*_: Any) -> Any:
        raise ConnectionLostError("the queue is away")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryDriver, "enqueue", refuse)
        with pytest.raises(ConnectionLostError) as lost:
            await session.commit()
    assert "2 could not be sent" in lost.value.__notes__[0]
    assert (await session.scalars(select(Receipt.id))).all() == [7]  # committed, and usable
    await note("c").after_commit(session).dispatch()
    await session.commit()
    assert await queue.ready() == 1


async def test_scoped_sessions_are_sessions(engine: AsyncEngine, queue: Any) -> None:
    scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
    await note("x").after_commit(scoped).dispatch()
    await scoped.commit()
    await scoped.remove()
    assert await queue.ready() == 1


@pytest.mark.parametrize("is_scoped", [False, True])
async def test_a_synchronous_session_sends_too(tmp_path: Path, queue: Any, is_scoped: bool) -> None:
    def scenario() -> None:
        session: Any = scoped_session(sessionmaker(sync)) if is_scoped else Session(sync)
        note("committed").after_commit(session).dispatch_sync()
        session.commit()
        note("rolled back").after_commit(session).dispatch_sync()
        session.rollback()
        with session.begin():
            savepoint = session.begin_nested()
            note("savepoint").after_commit(session).dispatch_sync()
            savepoint.rollback()
        session.close()

    sync = create_engine(f"sqlite:///{tmp_path / 'sync.db'}")
    await asyncio.to_thread(scenario)
    await queue.work()
    assert seen[-1:] == ["committed"]
    seen.clear()
    await asyncio.to_thread(sync.dispose)


async def test_a_synchronous_session_on_the_loop_sends_too(tmp_path: Path, queue: Any) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'sync.db'}")
    with Session(engine) as session:
        await note("x").after_commit(session).dispatch()
        session.commit()
    assert await queue.ready() == 1
    engine.dispose()


async def test_what_does_not_fit_is_refused(session: AsyncSession, queue: Any) -> None:
    with pytest.raises(ConfigurationError, match="await dispatch"):
        await asyncio.to_thread(note("x").after_commit(session).dispatch_sync)
    with pytest.raises(ConfigurationError, match="nothing whose commit"):
        await note("x").after_commit(object()).dispatch()


async def test_the_fake_queue_waits_for_the_commit(session: AsyncSession) -> None:
    with FakeQueue(inline=True) as fake:
        await note("x").after_commit(session).dispatch()
        fake.assert_nothing_dispatched()
        await session.commit()
        fake.assert_dispatched(note, {"what": "x"}, times=1)
    assert seen == ["x"]


async def test_a_dispatcher_sends_to_its_own_driver(session: AsyncSession, queue: Any) -> None:
    other = QueueDriver.from_config(Config(driver="memory", namespace="of_another"))
    dispatcher = Dispatcher(other)
    await dispatcher.dispatch(note("x").after_commit(session))
    await session.commit()
    assert (await queue.ready(), await other.get_queue_size("default")) == (0, 1)
    await dispatcher.close()


class Night(Middleware):
    async def dispatch(self, call: PendingCall[Any], send: Send) -> TaskHandle[Any]:
        return await send(call.on_queue("night"))


async def test_middleware_sees_the_call_when_it_is_sent(session: AsyncSession, queue: Any) -> None:
    handle = await note("x").after_commit(session).dispatch()
    add_middleware(night := Night())
    try:
        await session.commit()
    finally:
        remove_middleware(night)
    (stats,) = await get_dispatcher().driver.stats(["night"])
    assert (stats.ready, await handle.status()) == (1, TaskStatus.READY)
