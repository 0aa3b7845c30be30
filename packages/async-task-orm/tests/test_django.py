"""Rows of Django as arguments."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import django
import pytest
from asgiref.sync import sync_to_async
from async_task import task
from async_task.core.codec import codec
from async_task.errors import EncodeError, TaskCancelledError
from async_task.testing.fake import FakeQueue
from async_task_orm import MissingRowError, register_model
from django.conf import settings as django_settings
from django.db import connections, transaction

if not django_settings.configured:
    django_settings.configure()
django.setup()

from django.db import models  # noqa: E402 - needs the settings

pytestmark = pytest.mark.anyio

home = "default"
"""The database that the running test is about."""
reading: str | None = None
"""Where it reads, if not there."""


class Router:
    """Sends models to the database of the running test."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return reading or home

    def db_for_write(self, model: Any, **_: Any) -> str:
        return home


class Customer(models.Model):
    name: Any = models.CharField(max_length=100)

    class Meta:
        app_label = "shop"


class Order(models.Model):
    number: Any = models.UUIDField(primary_key=True, default=uuid.uuid4, db_column="order_no")
    customer: Any = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    total: Any = models.DecimalField(max_digits=9, decimal_places=2)
    placed_at: Any = models.DateTimeField()
    notes: Any = models.TextField()
    data: Any = models.JSONField()

    class Meta:
        app_label = "shop"


class Line(models.Model):
    pk: Any = models.CompositePrimaryKey("order_no", "position")
    order_no: Any = models.IntegerField()
    position: Any = models.IntegerField()
    text: Any = models.TextField()

    class Meta:
        app_label = "shop"


class Dog(Customer):
    tricks: Any = models.TextField()

    class Meta:
        app_label = "shop"


class Hidden(models.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Kept(models.Model):
    objects: ClassVar[Any] = Hidden()
    all: ClassVar[Any] = models.Manager()

    class Meta:
        app_label = "shop"


class Discarded(models.Model):
    class Meta:
        app_label = "shop"


class Optional(models.Model):
    class Meta:
        app_label = "shop"


register_model(Discarded, missing="discard")
register_model(Optional, name="perhaps", missing="none")

MODELS = (Customer, Order, Line, Dog, Kept, Discarded, Optional)
seen: list[Any] = []


@task
async def look(row: Any) -> None:
    seen.append(row)


@task(result_ttl=60)
async def keep(row: Any) -> str:
    seen.append(row)
    return "ran"


@task
async def count_orders(customer: Any) -> None:
    seen.append(await customer.orders.acount())
    first = await customer.orders.select_related("customer").afirst()
    assert first is not None
    first.customer.name = "changed"
    await first.customer.asave()


@task
def count_blocking(customer: Any) -> None:
    seen.append([order.customer.name for order in customer.orders.all()])
    connections.close_all()


def order(customer: Any, **values: Any) -> Order:
    given = {
        "total": Decimal("12.50"),
        "placed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "notes": "leave it with the neighbour, please; " * 20,
        "data": {"tags": ["a"]},
    }
    return Order(customer=customer, **given | values)


def use(databases: dict[str, Any]) -> None:
    """Make these the databases of Django."""
    connections.close_all()
    for alias in list(connections):
        if hasattr(connections._connections, alias):  # type: ignore[attr-defined]  # nothing public undoes it
            del connections[alias]
    for cached in ("settings", "databases"):
        connections.__dict__.pop(cached, None)
    connections._settings = connections.configure_settings(databases)  # type: ignore[attr-defined]  # nothing public undoes it
    connections.settings = connections._settings  # type: ignore[attr-defined]  # nothing public undoes it


@pytest.fixture(params=["sqlite", "postgres"])
async def databases(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Two databases with the tables of the models, and one that does not exist for reading."""
    global home
    sqlite: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3"}
    given = {
        "default": {**sqlite, "NAME": str(tmp_path / "default.db")},
        "other": {**sqlite, "NAME": str(tmp_path / "other.db")},
        "replica": {**sqlite, "NAME": str(tmp_path / "no folder" / "replica.db")},
    }
    if request.param == "postgres":
        at = urlsplit(f"postgresql://{request.getfixturevalue('postgres')}")
        given["other"] = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": at.path.strip("/"),
            "HOST": at.hostname or "",
            "PORT": at.port or 0,
            "USER": at.username or "",
        }
    home = "default" if request.param == "sqlite" else "other"
    from django.db import router

    monkeypatch.setitem(router.__dict__, "routers", [Router()])
    seen.clear()
    await sync_to_async(_make)(given)
    yield
    await sync_to_async(_drop)()


def _make(given: dict[str, Any]) -> None:
    use(given)
    for alias in ("default", "other"):
        with connections[alias].schema_editor() as editor:
            for model in MODELS:
                editor.create_model(model)


def _drop() -> None:
    with connections["other"].schema_editor() as editor:
        for model in reversed(MODELS):
            editor.delete_model(model)
    connections.close_all()


@contextmanager
def _recording(found: list[str]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append(sql)
        return execute(sql, params, many, context)

    with connections[home].execute_wrapper(note):
        yield


async def test_rows_arrive_as_they_are_now(databases: None, queue: Any) -> None:
    customer = await Customer.objects.acreate(name="Ada")
    row = order(customer, number=str(number := uuid.uuid4()))
    await row.asave()
    line = await Line.objects.acreate(order_no=1, position=2, text="composite")
    dog = await Dog.objects.acreate(name="Rex", tricks="roll over")
    kept = await Kept.all.acreate()
    await look.dispatch({"all": (row, [line, dog, kept])})
    await Customer.objects.filter(pk=customer.pk).aupdate(name="Eve")
    await Order.objects.aupdate(notes="changed")
    await queue.work()
    (given,) = seen
    found, (second, rex, third) = given["all"]
    assert (found.pk, found.notes, found.total) == (number, "changed", Decimal("12.50"))
    assert (second.pk, second.text) == ((1, 2), "composite")
    assert (type(rex), rex.name, rex.tricks) == (Dog, "Rex", "roll over")
    assert third == kept
    assert (await Customer.objects.aget(pk=found.customer_id)).name == "Eve"


async def test_fifty_tasks_on_fifty_rows_cost_one_query_per_model(
    databases: None, queue: Any
) -> None:
    customers = [await Customer.objects.acreate(name=str(n)) for n in range(50)]
    lines = [await Line.objects.acreate(order_no=n, position=n, text=str(n)) for n in range(50)]
    for customer, line in zip(customers, lines, strict=True):
        await look.dispatch([customer, line])
    found: list[str] = []
    recording = _recording(found)
    await sync_to_async(recording.__enter__)()
    await queue.work()
    await sync_to_async(recording.__exit__)(None, None, None)
    assert {row.pk for row, _ in seen} == {row.pk for row in customers}
    assert {row.text for _, row in seen} == {str(n) for n in range(50)}
    assert len(found) == 2, found


async def test_a_row_of_another_database_comes_from_there(databases: None, queue: Any) -> None:
    alias = "other" if home == "default" else "default"
    there = await Customer.objects.using(alias).acreate(name="there")
    here = await Customer.objects.acreate(name="here")
    await look.dispatch([there, here])
    await queue.work()
    ((one, two),) = seen
    assert [one.name, two.name] == ["there", "here"]
    assert one._state.db == alias


async def test_a_replica_may_lag_behind(
    databases: None, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await Customer.objects.acreate(name="Ada")
    monkeypatch.setattr(sys.modules[__name__], "reading", "replica")
    await look.dispatch(row)
    await queue.work()
    assert seen == [row]


async def test_relations_load_inside_the_task(databases: None, queue: Any) -> None:
    customer = await Customer.objects.acreate(name="Ada")
    await order(customer).asave()
    await count_orders.dispatch(customer)
    await queue.work()
    assert seen == [1]
    await count_blocking.dispatch(customer)
    await queue.work()
    assert seen == [1, ["changed"]]


async def test_tasks_do_not_see_what_others_do_to_the_same_row(databases: None, queue: Any) -> None:
    customer = await Customer.objects.acreate(name="Ada")
    row = order(customer)
    await row.asave()
    await look.dispatch(row)
    await look.dispatch(row)
    await queue.work()
    one, two = seen
    one.data["tags"].append("b")
    assert (one, two.data, one._state is two._state) == (two, {"tags": ["a"]}, False)


async def test_what_is_not_saved_is_refused_where_it_is_dispatched(
    databases: None, queue: Any
) -> None:
    with pytest.raises(EncodeError, match="it is not saved") as refused:
        await look.dispatch({"order": order(Customer(name="Ada"))})
    assert refused.value.path == "row['order']"
    gone = await Customer.objects.acreate(name="Ada")
    await gone.adelete()
    with pytest.raises(EncodeError, match="it is not saved"):
        await look.dispatch(gone)


async def test_a_missing_row_fails_discards_or_is_none(databases: None, queue: Any) -> None:
    rows = [await model.objects.acreate() for model in (Discarded, Optional)]
    kept = await Kept.all.acreate()
    discarded, ran, failed = [await keep.dispatch(row) for row in (*rows, kept)]
    for model in (Discarded, Optional):
        await model.objects.all().adelete()
    await Kept.all.all().adelete()
    await queue.work()
    assert seen == [None]
    assert await ran.result(timeout=5) == "ran"
    with pytest.raises(TaskCancelledError):
        await discarded.result(timeout=5)
    (dead,) = await queue.dead()
    assert (dead.id, dead.reason) == (failed, "failed")
    assert dead.errors[-1].type.endswith(MissingRowError.__qualname__)


async def test_a_row_is_a_tenth_of_what_its_columns_are(databases: None) -> None:
    customer = await Customer.objects.acreate(name="Ada")
    row = order(customer)
    await row.asave()
    columns = {field.attname: getattr(row, field.attname) for field in Order._meta.fields}
    whole = len(codec().encode(columns))
    reference = len(codec().encode(row))
    assert reference < whole / 10, (reference, whole)


async def test_the_test_kit_resolves_too(databases: None) -> None:
    row = await Customer.objects.acreate(name="Ada")
    with FakeQueue(inline=True) as fake:
        await look.dispatch(row)
        fake.assert_dispatched(look, {"row": row})
    assert seen == [row]
    assert seen[0] is not row


async def test_a_commit_sends_and_a_rollback_does_not(databases: None, queue: Any) -> None:
    def scenario() -> None:
        connection = connections[home]
        with transaction.atomic(using=home):
            customer = Customer.objects.create(name="Ada")
            look(customer).after_commit(connection).dispatch_sync()
            with pytest.raises(ZeroDivisionError), transaction.atomic(using=home):
                look("savepoint").after_commit(connection).dispatch_sync()
                raise ZeroDivisionError
            with transaction.atomic(using=home):
                look("released").after_commit(connection).dispatch_sync()
            assert sent() == 0
        assert sent() == 2
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=home):
            look("rolled back").after_commit(connection).dispatch_sync()
            raise ZeroDivisionError
        look("at once").after_commit(connection).dispatch_sync()
        assert sent() == 3

    store: Any = None

    def sent() -> int:
        return len(store.messages)

    from async_task import get_dispatcher

    driver: Any = get_dispatcher().driver.driver
    store = driver.store
    await sync_to_async(scenario)()
    await queue.work()
    assert {getattr(row, "name", row) for row in seen} == {"Ada", "released", "at once"}
