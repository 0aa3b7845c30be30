"""The application's own tests, on a real PostgreSQL: `ORDERS_DATABASE` says where."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER = ["-m", "async_task", "worker", "--app=tasks", "--queues=receipts", "--stop-when-empty"]


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_an_order_gets_its_receipt(client: TestClient) -> None:
    order = client.post("/orders", json={"item": "a book", "cents": 1950}).json()
    assert order["receipt"] is None
    assert client.get("/receipts/waiting").json() == 1
    subprocess.run([sys.executable, *WORKER], check=True)
    assert client.get("/receipts/waiting").json() == 0
    placed = client.get(f"/orders/{order['id']}").json()
    assert placed == {"id": order["id"], "item": "a book", "receipt": "a book: 19.50, paid"}


def test_an_order_that_cannot_be_paid_leaves_nothing(client: TestClient) -> None:
    paid = client.post("/orders", json={"item": "a pen", "cents": 250}).json()
    refused = client.post("/orders", json={"item": "a car", "cents": 1_950_000})
    assert refused.status_code == 402
    assert client.get("/receipts/waiting").json() == 1
    assert client.get(f"/orders/{paid['id'] + 1}").status_code == 404


def test_the_application_is_ready(client: TestClient) -> None:
    assert client.get("/health/ready").json() == {"status": "ready"}
