"""Rows of Tortoise as arguments."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from async_task import task
from async_task.core.codec import codec
from async_task.errors import EncodeError, TaskCancelledError
from async_task.testing.fake import FakeQueue
from async_task_orm import MissingRowError, register_model
from tortoise import Tortoise, fields
from tortoise.context import TortoiseContext
from tortoise.models import Model

pytestmark = pytest.mark.anyio


class Customer(Model):
    name = fields.CharField(max_length=100)
    orders: fields.ReverseRelation[Order]


class Order(Model):
    number = fields.UUIDField(primary_key=True, source_field="order_no")
    customer: fields.ForeignKeyRelation[Customer] = fields.ForeignKeyField(
        "shop.Customer", related_name="orders"
    )
    total = fields.DecimalField(max_digits=9, decimal_places=2)
    placed_at = fields.DatetimeField()
    notes = fields.TextField()
    data: Any = fields.JSONField()


class Kept(Model):
    id = fields.IntField(primary_key=True)
    text = fields.TextField(default="")


class Discarded(Model):
    id = fields.IntField(primary_key=True)
    text = fields.TextField(default="")


class Optional(Model):
    id = fields.IntField(primary_key=True)
    text = fields.TextField(default="")


register_model(Discarded, missing="discard")
register_model(Optional, name="maybe", missing="none")

seen: list[Any] = []


@task
async def look(row: Any) -> None:
    seen.append(row)


@task(result_ttl=60)
async def keep(row: Any) -> str:
    seen.append(row)
    return "ran"


@task
async def count_orders(customer: Customer) -> None:
    seen.append(await customer.orders.all().count())
    await customer.fetch_related("orders")
    seen.append([row.notes for row in customer.orders])
    customer.name = "changed"
    await customer.save()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[None]:
    url = f"sqlite://{tmp_path / 'shop.db'}"
    if request.param == "postgres":
        url = f"asyncpg://{request.getfixturevalue('postgres')}"
    seen.clear()
    # Statements are kept per name of a connection, whatever the dialect behind it.
    name = request.param
    config = {
        "connections": {name: url},
        "apps": {"shop": {"models": [__name__], "default_connection": name}},
    }
    context = await Tortoise.init(config=config, _enable_global_fallback=True)
    await Tortoise.generate_schemas()
    yield
    connection = Tortoise.get_connection(name)
    for model in (Order, Customer, Kept, Discarded, Optional):
        await connection.execute_script(f'DROP TABLE "{model._meta.db_table}"')
    assert isinstance(context, TortoiseContext)
    await context.close_connections()


def order(customer: Customer) -> Order:
    return Order(
        customer=customer,
        total=Decimal("12.50"),
        placed_at=datetime(2026, 1, 1, tzinfo=UTC),
        notes="leave it with the neighbour, please; " * 20,
        data={"tags": ["a"]},
    )


async def test_rows_arrive_as_they_are_now(database: None, queue: Any) -> None:
    customer = await Customer.create(name="Ada")
    row = order(customer)
    await row.save()
    await look.dispatch({"all": (row, [customer])})
    await Customer.all().update(name="Eve")
    await queue.work()
    (given,) = seen
    found, (second,) = given["all"]
    assert (found.number, found.total, found.data) == (row.number, row.total, {"tags": ["a"]})
    assert (second, second.name) == (customer, "Eve")
    assert (await found.customer).name == "Eve"


async def test_fifty_tasks_on_fifty_rows_cost_one_query_per_model(
    database: None, queue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    customers = [await Customer.create(name=str(n)) for n in range(50)]
    kept = [await Kept.create() for _ in range(50)]
    for pair in zip(customers, kept, strict=True):
        await look.dispatch(list(pair))
    with caplog.at_level(logging.DEBUG, "tortoise"):
        await queue.work()
    found = [record.getMessage() for record in caplog.records if "SELECT" in record.getMessage()]
    assert {row.name for row, _ in seen} == {str(n) for n in range(50)}
    assert {row.pk for _, row in seen} == {row.pk for row in kept}
    assert len(found) == 2, found


async def test_relations_load_inside_the_task(database: None, queue: Any) -> None:
    customer = await Customer.create(name="Ada")
    row = order(customer)
    await row.save()
    await count_orders.dispatch(customer)
    await queue.work()
    assert seen == [1, [row.notes]]
    assert (await Customer.get()).name == "changed"


async def test_tasks_do_not_see_what_others_do_to_the_same_row(database: None, queue: Any) -> None:
    row = order(await Customer.create(name="Ada"))
    await row.save()
    await look.dispatch(row)
    await look.dispatch(row)
    await queue.work()
    one, two = seen
    one.data["tags"].append("b")
    assert (one, two.data) == (two, {"tags": ["a"]})


async def test_what_is_not_saved_is_refused_where_it_is_dispatched(
    database: None, queue: Any
) -> None:
    with pytest.raises(EncodeError, match="it is not saved") as refused:
        await look.dispatch({"customer": Customer(name="Ada")})
    assert refused.value.path == "row['customer']"


async def test_a_missing_row_fails_discards_or_is_none(database: None, queue: Any) -> None:
    rows = [await model.create() for model in (Discarded, Optional, Kept)]
    discarded, ran, failed = [await keep.dispatch(row) for row in rows]
    for row in rows:
        await row.delete()
    await queue.work()
    assert seen == [None]
    assert await ran.result(timeout=5) == "ran"
    with pytest.raises(TaskCancelledError):
        await discarded.result(timeout=5)
    (dead,) = await queue.dead()
    assert (dead.id, dead.reason) == (failed, "failed")
    assert dead.errors[-1].type.endswith(MissingRowError.__qualname__)


async def test_a_row_is_a_tenth_of_what_its_columns_are(database: None) -> None:
    row = order(await Customer.create(name="Ada"))
    await row.save()
    columns = {name: getattr(row, name) for name in Order._meta.fields_db_projection}
    columns["placed_at"] = row.placed_at.astimezone(UTC)  # its zone is of Tortoise's own making
    whole = len(codec().encode(columns))
    reference = len(codec().encode(row))
    assert reference < whole / 10, (reference, whole)


async def test_the_test_kit_resolves_too(database: None) -> None:
    row = await Customer.create(name="Ada")
    with FakeQueue(inline=True) as fake:
        await look.dispatch(row)
        fake.assert_dispatched(look, {"row": row})
    assert seen == [row]
