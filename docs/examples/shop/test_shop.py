"""The shop's own tests: no backend, no waiting, and every retry within milliseconds."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from service import REMINDER, place_order, subscribe
from tasks import Charge, refunded, send_email, sent, total

if TYPE_CHECKING:
    from async_task.testing.fake import FakeQueue

ADA = "ada@example.com"


@pytest.fixture(autouse=True)
def _new_day() -> None:
    sent.clear()
    refunded.clear()


def test_a_task_is_a_function() -> None:
    assert total.func([Decimal("1.10"), Decimal("2.20")]) == Decimal("3.30")


def test_subscribing_sends_a_welcome(fake_queue: FakeQueue) -> None:
    subscribe(ADA)
    fake_queue.assert_dispatched(
        send_email, {"to": ADA, "subject": "Welcome"}, times=1, on_queue="emails", delayed=0
    )
    assert sent == []  # it is recorded, and nothing has run


def test_an_empty_order_sends_nothing(fake_queue: FakeQueue) -> None:
    with pytest.raises(ValueError, match="order-1 is empty"):
        asyncio.run(place_order("order-1", ADA, []))
    fake_queue.assert_nothing_dispatched()


def test_an_order_is_charged(inline_queue: FakeQueue) -> None:
    asyncio.run(place_order("order-1", ADA, [Decimal("1.10"), Decimal("2.20")]))
    inline_queue.assert_dispatched(Charge, {"amount": Decimal("3.30")}, on_queue="payments")
    assert sent == [(ADA, "Receipt for order-1")]


def test_the_customer_is_asked_a_week_later(inline_queue: FakeQueue) -> None:
    async def scenario() -> None:
        await place_order("order-1", ADA, [Decimal(5)])
        inline_queue.advance(REMINDER - 1)
        assert await inline_queue.run() == 0
        inline_queue.advance(1)
        assert await inline_queue.run() == 1

    asyncio.run(scenario())
    assert sent[-1] == (ADA, "How was order-1?")


def test_a_busy_mail_server_is_tried_again_after_a_minute(fake_queue: FakeQueue) -> None:
    async def scenario() -> None:
        await send_email.dispatch("busy@example.com", subject="Hello")
        began = fake_queue.clock.now_ms
        assert await fake_queue.run_all() == 2
        assert fake_queue.clock.now_ms - began == 60_000

    asyncio.run(scenario())
    assert sent == [("busy@example.com", "Hello")]


def test_what_cannot_be_charged_is_undone(fake_queue: FakeQueue) -> None:
    async def scenario() -> None:
        await Charge("order-2", Decimal(2000), ADA).dispatch()
        await fake_queue.run_all()
        (dead,) = await fake_queue.dead("payments")
        assert (dead.reason, dead.failures) == ("failed", 2)

    asyncio.run(scenario())
    assert refunded == ["order-2"]
    assert sent == [(ADA, "order-2 failed: over the limit of the card")]
    fake_queue.assert_not_dispatched(total)
