"""What the shop's web application calls; knows of tasks, and of no queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import Charge, send_email, total

if TYPE_CHECKING:
    from decimal import Decimal

    from async_task import TaskHandle

REMINDER = 7 * 86_400
"""Seconds after which a customer is asked for a review."""


async def place_order(order: str, to: str, prices: list[Decimal]) -> TaskHandle[str]:
    """Have an order charged, and the customer asked for a review a week later.

    Raises:
        ValueError: There is nothing to order.
    """
    if not prices:
        raise ValueError(f"{order} is empty")
    amount = await (await total.dispatch(prices)).result(timeout=10)
    charged = await Charge(order, amount, to).dispatch()
    await send_email(to, subject=f"How was {order}?").delay(REMINDER).dispatch()
    return charged


def subscribe(to: str) -> None:
    """Sign up for the newsletter: called by code without an event loop."""
    send_email.dispatch_sync(to, subject="Welcome")
