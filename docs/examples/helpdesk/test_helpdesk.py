"""The help desk's own tests, on SQLite and a real Redis: `REDIS_URL` says where."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from helpdesk.models import Letter, Ticket
from tasks import acknowledge

if TYPE_CHECKING:
    from async_task.testing.fake import FakeQueue

WORKER = ["-m", "async_task", "worker", "--app=tasks", "--stop-when-empty"]
QUESTION = {"email": "ada@example.com", "subject": "Engine", "text": "Does it compute?"}


@pytest.fixture(autouse=True)
def client() -> Client:
    call_command("migrate", run_syncdb=True, verbosity=0)
    Ticket.objects.all().delete()
    return Client()


def work() -> None:
    connections.close_all()
    subprocess.run([sys.executable, *WORKER], check=True)


def test_a_ticket_is_acknowledged_and_closed(client: Client) -> None:
    number = client.post("/tickets", QUESTION).json()["ticket"]
    assert not Letter.objects.exists()
    work()
    assert Letter.objects.get(ticket=number).text == "Dear ada@example.com, we will see."
    client.post(f"/tickets/{number}/close")
    work()
    assert Ticket.objects.get().subject == "[closed] Engine"


def test_nothing_is_sent_about_what_is_not_stored(client: Client) -> None:
    assert client.post("/tickets", QUESTION | {"text": "free money"}).status_code == 422
    work()
    assert not Ticket.objects.exists()


def test_without_a_worker(client: Client, fake_queue: FakeQueue) -> None:
    number = client.post("/tickets", QUESTION).json()["ticket"]
    ticket = Ticket.objects.get(pk=number)
    fake_queue.assert_dispatched(acknowledge, {"ticket": ticket}, times=1)
