"""The web application: an order and the task for its receipt are stored in one transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from async_task import QueueDriver
from async_task_fastapi import AsyncTaskIntegration
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from tasks import Base, Order, engine, sessions, write_receipt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LIMIT_CENTS = 100_000
"""What the card of our only customer is good for."""


@asynccontextmanager
async def database(_: FastAPI) -> AsyncGenerator[None]:
    """Make the tables of the application, and close its connections in the end."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async_task = AsyncTaskIntegration(database)
app = FastAPI(lifespan=async_task.lifespan)
app.include_router(async_task.health, prefix="/health")


Driver = Annotated[QueueDriver, Depends(async_task.get_driver)]


class Placed(BaseModel):
    """What a customer sees of an order."""

    id: int
    item: str
    receipt: str | None


class Wanted(BaseModel):
    """What a customer asks for."""

    item: str
    cents: int


@app.post("/orders", status_code=201)
async def place(wanted: Wanted) -> Placed:
    """Store the order, and the task; a customer who cannot pay leaves neither behind."""
    async with sessions.begin() as session:
        order = Order(item=wanted.item, cents=wanted.cents)
        session.add(order)
        await session.flush()  # which gives it its id
        await write_receipt(order.id).on_connection(session).dispatch()
        if wanted.cents > LIMIT_CENTS:
            raise HTTPException(402, "over the limit of the card")
    return Placed(id=order.id, item=order.item, receipt=None)


@app.get("/orders/{order_id}")
async def look(order_id: int) -> Placed:
    """Say where an order is."""
    async with sessions() as session:
        order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, "there is no such order")
    return Placed(id=order.id, item=order.item, receipt=order.receipt)


@app.get("/receipts/waiting")
async def waiting(driver: Driver) -> int:
    """Count the receipts that are to be written."""
    return await driver.get_queue_size("receipts")
