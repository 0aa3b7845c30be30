"""Rows of SQLAlchemy as arguments."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from async_task import Task, task
from async_task.core.codec import codec
from async_task.errors import EncodeError, TaskCancelledError
from async_task.testing.fake import FakeQueue
from async_task_orm import MissingRowError, register_model, set_sqlalchemy_session_factory
from sqlalchemy import (
    CHAR,
    JSON,
    DateTime,
    ForeignKey,
    String,
    TypeDecorator,
    create_engine,
    delete,
    event,
    select,
    update,
)
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncEngine,
    AsyncSession,
    async_object_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    make_transient_to_detached,
    mapped_column,
    object_session,
    relationship,
    sessionmaker,
)

pytestmark = pytest.mark.anyio


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    number: Mapped[int] = mapped_column("customer_id", primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.customer_id"))
    total: Mapped[Decimal]
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    address: Mapped[str] = mapped_column(String(500))
    notes: Mapped[str] = mapped_column(String(2000))
    data: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSON))
    customer: Mapped[Customer] = relationship(back_populates="orders", lazy="joined")


class Line(Base):
    __tablename__ = "lines"
    order_id: Mapped[uuid.UUID] = mapped_column("order", primary_key=True)
    position: Mapped[int] = mapped_column("line_no", primary_key=True)
    text: Mapped[str]


class Token(TypeDecorator[uuid.UUID]):
    """A type of the application's own, as one finds them for UUIDs."""

    impl = CHAR(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.hex

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else uuid.UUID(value)


class Ticket(Base):
    __tablename__ = "tickets"
    token: Mapped[uuid.UUID] = mapped_column(Token, primary_key=True)


class Animal(Base):
    __tablename__ = "animals"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}


class Dog(Animal):
    __tablename__ = "dogs"
    dog_id: Mapped[int] = mapped_column("id", ForeignKey("animals.id"), primary_key=True)
    tricks: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "dog"}


@register_model
class Kept(Base):
    __tablename__ = "kept"
    id: Mapped[int] = mapped_column(primary_key=True)


class Discarded(Base):
    __tablename__ = "discarded"
    id: Mapped[int] = mapped_column(primary_key=True)


class Optional(Base):
    __tablename__ = "optional"
    id: Mapped[int] = mapped_column(primary_key=True)


register_model(Discarded, name="gone", missing="discard")
register_model(Optional, missing="none")

seen: list[Any] = []
"""What tasks tell the tests."""


@pytest.fixture(params=["sqlite", "postgres"])
def rest(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database, without the name of its driver."""
    if request.param == "postgres":
        return f"postgresql://{request.getfixturevalue('postgres')}"
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
async def engine(rest: str) -> AsyncIterator[AsyncEngine]:
    names = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    scheme, _, place = rest.partition(":")
    engine = create_async_engine(f"{names[scheme]}:{place}")
    seen.clear()
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine, queue: Any) -> AsyncIterator[Sessions]:
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    set_sqlalchemy_session_factory(sessions)
    yield sessions
    set_sqlalchemy_session_factory(None)


Sessions = async_sessionmaker[AsyncSession]


@contextmanager
def selects(engine: AsyncEngine) -> Iterator[list[str]]:
    """Record the SELECT statements that are sent."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("SELECT"):
            found.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield found
    event.remove(engine.sync_engine, "before_cursor_execute", note)


def order(**values: Any) -> Order:
    return Order(
        **{
            "customer": Customer(name="Ada"),
            "total": Decimal("12.50"),
            "placed_at": datetime(2026, 1, 1, tzinfo=UTC),
            "address": "12 St James's Square, London",
            "notes": "leave it with the neighbour, please; " * 20,
            "data": {"tags": ["a"]},
            **values,
        }
    )


async def stored(sessions: Sessions, *instances: Any) -> None:
    async with sessions.begin() as session:
        session.add_all(instances)


@dataclasses.dataclass
class Parcel:
    orders: list[Order]
    by_name: dict[str, Customer]


@task
async def ship(parcel: Parcel, first: tuple[Customer, Line]) -> None:
    seen.append((parcel, first))


@task
async def look(row: Any) -> None:
    seen.append(row)


@task
async def charge(row: Order) -> None:
    seen.append((row.total, row.address))


async def test_rows_arrive_wherever_they_are_in_the_arguments(
    sessions: Sessions, queue: Any
) -> None:
    one, two = order(), order(customer=Customer(name="Bob"))
    line = Line(order_id=uuid.uuid4(), position=3, text="a composite key")
    await stored(sessions, one, two, line)
    parcel = Parcel([one, two], {"ada": one.customer})
    await ship.dispatch(parcel, (two.customer, line))
    await queue.work()
    ((parcel, (bob, third)),) = seen
    assert [type(row) for row in parcel.orders] == [Order, Order]
    assert [row.id for row in parcel.orders] == [one.id, two.id]
    assert parcel.orders[0].data == {"tags": ["a"]}
    assert (parcel.by_name["ada"].name, bob.name, third.text) == ("Ada", "Bob", "a composite key")
    assert parcel.orders[0].customer is parcel.by_name["ada"]  # one session, one identity
    assert async_object_session(bob) is async_object_session(third) is None  # closed with the run


async def test_fifty_tasks_on_fifty_rows_cost_one_query_per_model(
    sessions: Sessions, queue: Any, engine: AsyncEngine
) -> None:
    orders = [order() for _ in range(50)]
    lines = [Line(order_id=uuid.uuid4(), position=n, text=str(n)) for n in range(50)]
    await stored(sessions, *orders, *lines)
    for row, line in zip(orders, lines, strict=True):
        await look.dispatch([row, line])
    with selects(engine) as found:
        await queue.work()
    assert {row.id for row, _ in seen} == {row.id for row in orders}
    assert {line.text for _, line in seen} == {line.text for line in lines}
    assert len(found) == 2, found


async def test_a_row_is_read_when_its_task_runs(sessions: Sessions, queue: Any) -> None:
    row = order()
    await stored(sessions, row)
    await charge.dispatch(row)
    async with sessions.begin() as session:
        await session.execute(update(Order).values(address="moved"))
    await queue.work()
    assert seen == [(Decimal("12.50"), "moved")]


async def test_a_detached_row_and_one_that_is_only_flushed_are_fine(
    sessions: Sessions, queue: Any
) -> None:
    await stored(sessions, row := order())
    async with sessions() as session:
        detached = (await session.scalars(select(Order))).unique().one()
        session.expunge(detached)
        session.add(flushed := Customer(name="Eve"))
        await session.flush()
        await look.dispatch([detached, flushed])
        await session.commit()
    await queue.work()
    assert [row.id, "Eve"] == [seen[0][0].id, seen[0][1].name]


async def test_a_key_may_be_of_a_type_of_the_applications_own(
    sessions: Sessions, queue: Any
) -> None:
    await stored(sessions, ticket := Ticket(token=uuid.uuid4()))
    await look.dispatch(ticket)
    await queue.work()
    assert [row.token for row in seen] == [ticket.token]


async def test_inheritance_is_kept(sessions: Sessions, queue: Any) -> None:
    dog, cat = Dog(tricks="roll over"), Animal(kind="animal")
    await stored(sessions, dog, cat)
    await look.dispatch([dog, cat])
    await queue.work()
    ((one, other),) = seen
    assert (type(one), one.tricks, type(other)) == (Dog, "roll over", Animal)


@task
async def count_orders(customer: Customer) -> None:
    seen.append(len(await customer.awaitable_attrs.orders))
    session = async_object_session(customer)
    assert session is not None
    customer.name = "changed"
    await session.commit()


async def test_a_task_can_load_lazily_and_store(sessions: Sessions, queue: Any) -> None:
    row = order()
    await stored(sessions, row)
    await count_orders.dispatch(row.customer)
    await queue.work()
    async with sessions() as session:
        assert (await session.scalars(select(Customer.name))).all() == ["changed"]
    assert seen == [1]


@task
async def edit(row: Order, tag: str) -> None:
    row.data["tags"].append(tag)
    seen.append(row.data["tags"])
    row.data["last"] = tag
    await editing.wait()
    session = async_object_session(row)
    assert session is not None
    assert row in session.dirty
    await session.rollback()


editing: asyncio.Barrier


async def test_tasks_do_not_see_what_others_do_to_the_same_row(
    sessions: Sessions, queue: Any, engine: AsyncEngine
) -> None:
    global editing
    editing = asyncio.Barrier(3)
    row = order()
    await stored(sessions, row)
    for tag in ("b", "c", "d"):
        await edit.dispatch(row, tag)
    with selects(engine) as found:
        await queue.work()
    assert sorted(seen) == [["a", "b"], ["a", "c"], ["a", "d"]]
    assert len(found) == 1
    assert await queue.dead() == []


async def test_what_is_not_stored_is_refused_where_it_is_dispatched(
    sessions: Sessions, queue: Any
) -> None:
    with pytest.raises(EncodeError, match="it is not stored") as refused:
        await ship.dispatch(Parcel([order()], {}), ())  # type: ignore[arg-type]  # a tuple where a list belongs
    assert refused.value.path == "parcel.orders[0]"
    await stored(sessions, row := Kept())
    async with sessions.begin() as session:
        await session.delete(row)
        await session.flush()
        with pytest.raises(EncodeError, match="it is not stored"):
            await look.dispatch(row)
    assert await queue.ready() == 0


class Tell(Task[None]):
    max_retries = 1

    def __init__(self, row: Any) -> None:
        self.row = row

    async def handle(self) -> None:
        seen.append(self.row)
        raise RuntimeError

    async def failed(self, exception: Exception) -> None:
        session = async_object_session(self.row)
        assert session is not None
        seen.append((await session.get_one(Kept, self.row.id)).id)


async def test_failed_has_its_rows_too(sessions: Sessions, queue: Any) -> None:
    await stored(sessions, row := Kept())
    await Tell(row).dispatch()
    await queue.work()
    assert [type(told) for told in seen] == [Kept, Kept, int]


async def test_a_missing_row_fails_the_run(sessions: Sessions, queue: Any) -> None:
    await stored(sessions, row := Kept(), other := Kept())
    await look(row).retry_after(0).dispatch()
    await look.dispatch(other)
    async with sessions.begin() as session:
        await session.execute(delete(Kept).where(Kept.id == row.id))
    await queue.work()
    (dead,) = await queue.dead()
    assert (dead.reason, dead.failures) == ("failed", 4)
    assert dead.errors[-1].type.endswith(MissingRowError.__qualname__)
    assert f"Kept({row.id})" in dead.errors[-1].message
    assert [row.id for row in seen] == [other.id]  # not harmed by its neighbour


@task(result_ttl=60)
async def keep(row: Discarded | Optional) -> str:
    seen.append(row)
    return "ran"


async def test_a_missing_row_discards_the_task_or_is_none(sessions: Sessions, queue: Any) -> None:
    await stored(sessions, gone := Discarded(), none := Optional())
    discarded, ran = await keep.dispatch(gone), await keep.dispatch(none)
    async with sessions.begin() as session:
        await session.execute(delete(Discarded))
        await session.execute(delete(Optional))
    await queue.work()
    assert seen == [None]
    assert await ran.result(timeout=5) == "ran"
    with pytest.raises(TaskCancelledError):
        await discarded.result(timeout=5)
    assert await queue.dead() == []


async def test_a_row_is_a_tenth_of_what_its_columns_are(sessions: Sessions, queue: Any) -> None:
    row = order()
    await stored(sessions, row)
    columns = {c.key: getattr(row, c.key) for c in Order.__mapper__.column_attrs}
    columns["data"] = dict(row.data)
    whole = len(codec().encode(columns))
    reference = len(codec().encode(row))
    assert reference < whole / 10, (reference, whole)


async def test_a_key_the_database_refuses_fails_its_own_task_only(
    sessions: Sessions, queue: Any
) -> None:
    await stored(sessions, row := Line(order_id=uuid.uuid4(), position=1, text=""))
    beyond = Line(order_id=row.order_id, position=2**40, text="")  # the column has 32 bits
    make_transient_to_detached(beyond)
    await look.dispatch(beyond)
    await look.dispatch(row)
    await queue.work()
    (dead,) = await queue.dead()
    assert dead.reason == "failed"
    assert [found.position for found in seen] == [1]


async def test_a_database_that_fails_is_a_failure_and_tried_again(
    sessions: Sessions, queue: Any, engine: AsyncEngine
) -> None:
    await stored(sessions, row := Kept())
    await look.dispatch(row)
    failing = 2  # both the shared fetch and the one alone

    def fail(*_: Any) -> None:
        nonlocal failing
        failing -= 1
        if failing >= 0:
            raise ConnectionError("the database is away")

    event.listen(engine.sync_engine, "before_cursor_execute", fail)
    await queue.work()
    event.remove(engine.sync_engine, "before_cursor_execute", fail)
    assert [found.id for found in seen] == [row.id]


async def test_dispatching_inside_the_test_kit_resolves_too(sessions: Sessions) -> None:
    await stored(sessions, row := order())
    with FakeQueue(inline=True) as fake:
        await charge.dispatch(row)
        fake.assert_dispatched(charge, {"row": row}, times=1)
    assert seen == [(row.total, row.address)]


@task(result_ttl=60)
async def give_back(row: Kept) -> Kept:
    return row


async def test_a_row_can_be_a_result(sessions: Sessions, queue: Any) -> None:
    await stored(sessions, row := Kept())
    handle = await give_back.dispatch(row)
    await queue.work()
    result = await handle.result(timeout=5)
    assert (type(result), result.id) == (Kept, row.id)


async def test_without_a_session_factory_the_error_says_what_to_do(
    sessions: Sessions, queue: Any
) -> None:
    await stored(sessions, row := Kept())
    await look.dispatch(row)
    set_sqlalchemy_session_factory(None)
    await queue.work()
    (dead,) = await queue.dead()
    assert "set_sqlalchemy_session_factory" in dead.errors[-1].message


@task
def blocking(customer: Customer) -> None:
    seen.append([row.total for row in customer.orders])
    session = object_session(customer)
    assert session is not None
    customer.name = "changed"
    session.commit()


async def test_synchronous_sessions_serve_blocking_tasks(
    engine: AsyncEngine, queue: Any, rest: str, sessions: Sessions
) -> None:
    await stored(sessions, row := order())
    scheme, _, place = rest.partition(":")
    names = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
    sync = create_engine(f"{names[scheme]}:{place}")
    set_sqlalchemy_session_factory(sessionmaker(sync))
    await blocking.dispatch(row.customer)
    await queue.work()
    with Session(sync) as session:
        assert session.scalars(select(Customer.name)).all() == ["changed"]
    assert seen == [[Decimal("12.50")]]
    await asyncio.to_thread(sync.dispose)


async def test_tasks_without_rows_are_left_alone(queue: Any) -> None:
    await look.dispatch("sqlalchemy, django and tortoise")
    await queue.work()
    assert seen[-1] == "sqlalchemy, django and tortoise"
