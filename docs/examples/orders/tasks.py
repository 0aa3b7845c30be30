"""The database of the orders, and the task that works on it."""

from __future__ import annotations

import os

from async_task import current_context, set_global_config, task
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATABASE = os.environ.get("ORDERS_DATABASE", "postgresql://postgres:postgres@localhost/async_task")

set_global_config(driver="postgres", postgres_dsn=DATABASE)
engine = create_async_engine(DATABASE.replace("postgresql://", "postgresql+asyncpg://", 1))
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """What has a table."""


class Order(Base):
    """One order; it has a receipt once the task has written it."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    cents: Mapped[int]
    receipt: Mapped[str | None]


@task(queue="receipts")
async def write_receipt(order_id: int) -> None:
    """Write the receipt and end, as one: there is one receipt, whatever dies when."""
    async with sessions() as session, current_context().transaction(session):
        order = await session.get_one(Order, order_id)
        order.receipt = f"{order.item}: {order.cents / 100:.2f}, paid"
        await session.flush()
