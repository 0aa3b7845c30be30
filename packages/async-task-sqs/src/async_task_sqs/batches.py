"""Deleting and extending received copies, in calls of ten that all go at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from async_task_sqs.limits import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.errors import DriverError

    from async_task_sqs.client import SqsClient

Receipt: TypeAlias = "tuple[str, str, str]"
"""A received copy: our queue's name, SQS's address, and the receipt."""


async def delete(client: SqsClient, receipts: Sequence[Receipt]) -> list[DriverError | None]:
    """Delete copies; raises no `DriverError`. Aligned: `None` for done, else what became of it."""
    return await _in_tens(client, "delete_message_batch", "deleting from", receipts, {})


async def extend(
    client: SqsClient, receipts: Sequence[Receipt], visibility_s: int
) -> list[DriverError | None]:
    """Hold copies for `visibility_s` from now, 0 to let go of them; as `delete` otherwise."""
    more = {"VisibilityTimeout": visibility_s}
    return await _in_tens(
        client, "change_message_visibility_batch", "extending leases of", receipts, more
    )


async def _in_tens(
    client: SqsClient,
    operation: str,
    what: str,
    receipts: Sequence[Receipt],
    more: dict[str, Any],
) -> list[DriverError | None]:
    groups: dict[tuple[str, str], list[int]] = {}
    for at, (queue, url, _) in enumerate(receipts):
        groups.setdefault((queue, url), []).append(at)
    batches = [
        (queue, url, group[at : at + BATCH])
        for (queue, url), group in groups.items()
        for at in range(0, len(group), BATCH)
    ]
    answers = await asyncio.gather(
        *(
            client.batch(
                operation,
                f"{what} {queue!r}",
                url,
                [{"ReceiptHandle": receipts[at][2], **more} for at in batch],
            )
            for queue, url, batch in batches
        )
    )
    outcomes: list[DriverError | None] = [None] * len(receipts)
    for (_, _, batch), answer in zip(batches, answers, strict=True):
        for at, outcome in zip(batch, answer, strict=True):
            outcomes[at] = outcome
    return outcomes
