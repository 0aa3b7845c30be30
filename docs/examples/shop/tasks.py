"""The tasks of the shop."""

from __future__ import annotations

from decimal import Decimal

from async_task import Task, current_context, task

sent: list[tuple[str, str]] = []
"""Emails that left: recipient and subject. A real shop has an email server."""
refunded: list[str] = []


class MailServerBusyError(Exception):
    """Tried again later."""


@task(queue="emails", max_retries=2, retry_delay=60)
async def send_email(to: str, subject: str) -> None:
    """Send one email. The server is busy on the first try for addresses that begin with `busy`."""
    if to.startswith("busy") and current_context().attempt == 0:
        raise MailServerBusyError(to)
    sent.append((to, subject))


@task(result_ttl=3600)
def total(prices: list[Decimal]) -> Decimal:
    """Add up an order, blocking as an old library would: it runs in a thread."""
    return sum(prices, Decimal(0))


class Charge(Task[str]):
    """Take the money; give it back and say so if that is not possible in the end."""

    queue = "payments"
    max_retries = 1
    retry_delay = 300

    def __init__(self, order: str, amount: Decimal, to: str) -> None:
        self.order, self.amount, self.to = order, amount, to

    async def handle(self) -> str:
        """Return the receipt."""
        if self.amount > 1000:
            raise ValueError("over the limit of the card")
        await send_email.dispatch(self.to, subject=f"Receipt for {self.order}")
        return f"receipt of {self.order}"

    async def failed(self, exception: Exception) -> None:
        """Undo what the shop has done for the order."""
        refunded.append(self.order)
        await send_email.dispatch(self.to, subject=f"{self.order} failed: {exception}")
