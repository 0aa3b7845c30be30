"""What the driver and its dead letters share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from async_task_sqs.batches import delete
from async_task_sqs.limits import BATCH
from async_task_sqs.receiving import receive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_task.spi.errors import DriverError

    from async_task_sqs.client import SqsClient
    from async_task_sqs.queues import Queues
    from async_task_sqs.sending import Sender

_HIDDEN_S: Final = 30
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


@dataclass(frozen=True, slots=True)
class Store:
    """The queues, and what reaches them from the driver's own loop."""

    client: SqsClient
    queues: Queues
    sender: Sender
    op_timeout_s: float

    async def counts(self, url: str) -> tuple[int, int, int]:
        """Return about how many copies of a queue are visible, delayed and held."""
        answer: Any = await self.client.call(
            "get_queue_attributes", "counting", QueueUrl=url, AttributeNames=[*_COUNTS]
        )
        ready, delayed, held = (int(answer["Attributes"].get(name, 0)) for name in _COUNTS)
        return ready, delayed, held

    async def count(self, url: str) -> int:
        """Return about how many copies of a queue can be received."""
        return (await self.counts(url))[0]

    async def drain(self, queue: str, *, dead: bool = False) -> int:
        """Delete all that can be received, ten at a time; returns how many.

        Not by `PurgeQueue`, which also deletes what workers hold and what is sent meanwhile.
        """
        url = await self.queues.find(self.client, queue, dead=dead)
        if url is None:
            return 0
        deleted = 0
        patience_s = 0
        while True:
            came = await receive(
                self.client, queue, url, BATCH, wait_s=patience_s, visibility_s=_HIDDEN_S
            )
            if not came and (patience_s or not await self.count(url)):
                return deleted
            patience_s = 0 if came else 1
            outcomes = await delete(self.client, [each.address for each in came])
            raise_first(outcomes)
            deleted += len(came)


def raise_first(outcomes: Iterable[DriverError | None]) -> None:
    """Raise the first failure there is."""
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
