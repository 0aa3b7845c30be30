"""The tasks of the help desk: what `async-task worker --app tasks` runs."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from async_task import set_global_config, task  # noqa: E402 - what follows needs the settings
from helpdesk.models import Letter, Ticket  # noqa: E402

set_global_config(driver="redis", redis_url=os.environ.get("REDIS_URL", "redis://localhost:6379"))


@task
async def acknowledge(ticket: Ticket) -> None:
    """Tell the customer that the ticket has arrived, once."""
    if not await ticket.letters.aexists():
        await Letter.objects.acreate(ticket=ticket, text=f"Dear {ticket.email}, we will see.")


@task
def close(ticket: Ticket, letters: list[Letter]) -> None:
    """Close a ticket, by code that blocks: it runs in a thread."""
    ticket.letters.exclude(pk__in=[letter.pk for letter in letters]).delete()
    ticket.subject = f"[closed] {ticket.subject}"
    ticket.save()
