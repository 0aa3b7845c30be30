"""Dead letters as users see them: found, read, put back, deleted."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from async_task.config import get_global_config
from async_task.core.codec import codec
from async_task.core.dead_letters import DeadTask
from async_task.core.envelope import Envelope
from async_task.core.history import Failure, History
from async_task.core.ids import id_text, new_id
from async_task.core.queue_driver import QueueDriver
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Message, Reject

pytestmark = pytest.mark.anyio

HISTORY = History(failures=4).noted(Failure("ValueError", "bad", "", 3, 1000))


@pytest.fixture
async def driver() -> AsyncIterator[QueueDriver]:
    async with QueueDriver.from_config(get_global_config()) as driver:
        yield driver


def body(task: str, *args: object) -> bytes:
    return Envelope(task, codec().encode_arguments(args, {}), 5000).pack()


async def bury(driver: QueueDriver, reason: str, *bodies: bytes, queue: str = "q") -> list[str]:
    """Make dead letters of these bodies; return their ids in order."""
    messages = [Message(new_id(), queue, body, priority=2) for body in bodies]
    await driver.driver.enqueue(messages)
    consuming = ConsumerOptions(queues=(queue,), max_leases=1000)
    async with driver.driver.consumer(consuming) as consumer:
        leases = await consumer.lease(
            (queue,), 1000, wait_ms=0, lease_id=uuid.uuid4().bytes, visibility_ms=60_000
        )
        await consumer.settle([Reject(lease, reason, HISTORY.pack()) for lease in leases])
    return sorted(id_text(message.id) for message in messages)


def ids(found: Sequence[DeadTask]) -> list[str]:
    return [dead.id for dead in found]


async def test_a_dead_task_tells_what_it_was_and_why(driver: QueueDriver) -> None:
    (task_id,) = await bury(driver, "failed", body("mail", 1, "x"))
    (dead,) = await driver.dead_letters.browse("q")
    assert dead == await driver.dead_letters.get("q", task_id)
    assert (dead.id, dead.queue, dead.task, dead.reason) == (task_id, "q", "mail", "failed")
    assert (dead.failures, dead.deliveries, dead.crashes, dead.priority) == (4, 1, 0, 2)
    assert [error.message for error in dead.errors] == ["bad"]
    assert dead.arguments() == ([1, "x"], {})
    assert dead.dispatched_at is not None
    assert dead.dispatched_at.isoformat() == "1970-01-01T00:00:05+00:00"
    assert dead.died_at.tzinfo is not None


async def test_what_cannot_be_read_is_listed_all_the_same(driver: QueueDriver) -> None:
    huge = Envelope("t", b"", 2**62).pack()
    await bury(driver, "bad_payload", b"\xc1garbage", huge, body("mail"))
    found = await driver.dead_letters.browse("q")
    assert sorted(str(dead.task) for dead in found) == ["None", "None", "mail"]
    assert {dead.body for dead in found} >= {b"\xc1garbage", huge}


async def test_browsing_goes_page_by_page_and_filters(driver: QueueDriver) -> None:
    mails = await bury(driver, "failed", *(body("mail", i) for i in range(150)))
    pays = await bury(driver, "poison", *(body("pay", i) for i in range(3)))
    letters = driver.dead_letters
    assert ids(await letters.browse("q", limit=1000)) == sorted(mails + pays)
    page = await letters.browse("q", limit=120)
    rest = await letters.browse("q", limit=120, after=page[-1].id)
    assert ids(page) + ids(rest) == sorted(mails + pays)
    assert ids(await letters.browse("q", task="pay")) == pays
    assert ids(await letters.browse("q", reason="failed", limit=2)) == mails[:2]
    assert await letters.browse("q", task="pay", reason="failed") == []
    assert await letters.browse("elsewhere") == []
    assert await letters.get("q", id_text(new_id())) is None


async def test_requeueing_puts_back_what_matches_with_counters_at_zero(
    driver: QueueDriver,
) -> None:
    await bury(driver, "failed", *(body("mail", i) for i in range(250)))
    pays = await bury(driver, "poison", body("pay"))
    assert await driver.dead_letters.requeue("q", task="mail") == 250
    assert ids(await driver.dead_letters.browse("q")) == pays
    assert await driver.get_queue_size("q") == 250
    assert await driver.dead_letters.requeue("q") == 1
    assert await driver.dead_letters.requeue("q") == 0
    consuming = ConsumerOptions(queues=("q",), max_leases=1)
    async with driver.driver.consumer(consuming) as consumer:
        (lease,) = await consumer.lease(
            ("q",), 1, wait_ms=0, lease_id=uuid.uuid4().bytes, visibility_ms=60_000
        )
    history = History.unpack(lease.state)
    assert (history.failures, lease.deliveries, len(history.errors)) == (0, 1, 1)


async def test_requeueing_and_purging_by_id_pass_over_what_is_not_there(
    driver: QueueDriver,
) -> None:
    first, second, third = await bury(driver, "failed", body("a"), body("a"), body("a"))
    letters = driver.dead_letters
    assert await letters.requeue("q", [first, id_text(new_id())]) == 1
    assert await letters.requeue("q", [first]) == 0
    assert await letters.purge("q", [second], reason="poison") == 0
    assert await letters.purge("q", [second, second, first]) == 1
    assert await letters.requeue("q", []) == 0
    assert await letters.purge("q", []) == 0
    assert ids(await letters.browse("q")) == [third]


async def test_purging_deletes_what_matches(driver: QueueDriver) -> None:
    await bury(driver, "failed", *(body("mail", i) for i in range(120)))
    await bury(driver, "poison", body("pay"), body("mail"))
    assert await driver.dead_letters.purge("q", reason="failed") == 120
    assert await driver.dead_letters.purge("q", task="pay") == 1
    assert await driver.dead_letters.purge("q") == 1
    assert await driver.get_queue_size("q") == 0


async def test_dead_letters_can_be_asked_for_without_connecting_first() -> None:
    async with QueueDriver.from_config(get_global_config()) as driver:
        (task_id,) = await bury(driver, "failed", body("mail"))
    letters = QueueDriver.from_config(get_global_config()).dead_letters
    assert ids(await letters.browse("q")) == [task_id]


async def test_what_is_no_id_is_refused(driver: QueueDriver) -> None:
    with pytest.raises(ValueError, match="UUID"):
        await driver.dead_letters.get("q", "no-id")
