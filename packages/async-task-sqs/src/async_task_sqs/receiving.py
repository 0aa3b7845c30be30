"""Receiving copies of messages, and sending on those that are not to be handed out yet."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from async_task.spi.reclaim import reclaim_delay_ms

from async_task_sqs.batches import delete, extend
from async_task_sqs.limits import FIFO, HIDE_S
from async_task_sqs.sending import Parcel
from async_task_sqs.wire import read

if TYPE_CHECKING:
    from async_task_sqs.batches import Receipt
    from async_task_sqs.client import SqsClient
    from async_task_sqs.sending import Sender
    from async_task_sqs.wire import Copy

_TIMES: Final = ("SentTimestamp", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount")


@dataclass(slots=True, eq=False)
class Received:
    """A copy that we were given, and may keep until `until`.

    Attributes:
        queue: Our name of the queue.
        url: SQS's address of it.
        receipt: What extends and deletes it.
        name: SQS's id of the copy.
        copy: What was sent, with `expires_at_ms` if it has an expiry.
        sent_at_ms: When it was sent, by SQS's clock.
        deliveries: How often the message was handed out, this time included.
        crashes: How many of its leases expired.
        expired: It came too late.
        early_ms: How much too early it came, on a FIFO queue, where a copy has no delay of its own.
        visibility_s: How long it was asked for.
        until: When it is given to others, by `time.monotonic`; SQS may think a reply's time less.
    """

    queue: str
    url: str
    receipt: str
    name: str
    copy: Copy
    sent_at_ms: int
    deliveries: int
    crashes: int
    expired: bool
    early_ms: int
    visibility_s: int
    until: float

    @property
    def address(self) -> Receipt:
        """What `batches` needs of it."""
        return self.queue, self.url, self.receipt

    def again(self, state: bytes, *, reason: str = "") -> Copy:
        """Return the copy that gives it back, with everything it counts."""
        return replace(
            self.copy,
            state=state,
            deliveries=self.deliveries,
            crashes=self.crashes,
            expires_in_ms=None,
            reason=reason,
        )


async def receive(
    client: SqsClient, queue: str, url: str, count: int, *, wait_s: int, visibility_s: int
) -> list[Received]:
    """Make one receive call; return what it brought, due or not."""
    asked = time.monotonic()
    answer = await client.call(
        "receive_message",
        f"receiving from {queue!r}",
        wait_s=wait_s,
        QueueUrl=url,
        MaxNumberOfMessages=count,
        WaitTimeSeconds=wait_s,
        VisibilityTimeout=visibility_s,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=[*_TIMES],
    )
    until = (time.monotonic() if wait_s else asked) + visibility_s
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return [
        _received(message, date, queue, url, visibility_s, until)
        for message in answer.get("Messages", ())
    ]


async def send_on(client: SqsClient, sender: Sender, received: list[Received]) -> list[Received]:
    """Return what is to be handed out; send the rest on, to wait longer.

    Not handed out, and so not charged with a delivery: a message whose delay is longer than one
    copy can wait, and one that crashed again. If sending on fails they come back by themselves.
    On a FIFO queue what has to wait is hidden instead, which keeps up nothing but itself.
    """
    due: list[Received] = []
    parcels: list[Parcel] = []
    early: list[Received] = []
    hidden: list[Received] = []
    for each in received:
        if each.early_ms:
            hidden.append(each)
            continue
        if each.copy.wait_ms and not each.url.endswith(FIFO):
            copy, delay_ms = _expiring(each), each.copy.wait_ms
        elif each.crashes > each.copy.crashes and (delay := reclaim_delay_ms(each.crashes)):
            copy, delay_ms = unhandled(each), delay
        else:
            due.append(each)
            continue
        early.append(each)
        parcels.append(Parcel(each.queue, copy, delay_ms, follows=each.name))
    await asyncio.gather(_replace(client, sender, early, parcels), _hide(client, hidden))
    return due


async def give_back(client: SqsClient, sender: Sender, received: list[Received]) -> None:
    """Return what nobody was handed, uncharged."""
    parcels = [Parcel(each.queue, unhandled(each), follows=each.name) for each in received]
    await _replace(client, sender, received, parcels)


def unhandled(received: Received) -> Copy:
    """Return the copy that gives back what was received but not handed out."""
    return replace(received.again(received.copy.state), deliveries=received.deliveries - 1)


def _expiring(received: Received) -> Copy:
    return replace(received.copy, expires_in_ms=None)


async def _replace(
    client: SqsClient, sender: Sender, received: list[Received], parcels: list[Parcel]
) -> None:
    if not parcels:
        return
    outcomes = await sender.send(client, parcels)
    sent = [each for each, outcome in zip(received, outcomes, strict=True) if outcome is None]
    await delete(client, [each.address for each in sent])


async def _hide(client: SqsClient, received: list[Received]) -> None:
    """Have them come again when they are due; a second later, as the date of a reply is cut off."""
    hides: dict[int, list[Receipt]] = {}
    for each in received:
        hide_s = min(ceil(each.early_ms / 1000) + 1, HIDE_S)
        hides.setdefault(hide_s, []).append(each.address)
    await asyncio.gather(*(extend(client, receipts, s) for s, receipts in hides.items()))


def _received(
    message: Any, date: str | None, queue: str, url: str, visibility_s: int, until: float
) -> Received:
    copy = read(message)
    times = message.get("Attributes", {})
    sent_at_ms, first_ms, count = (int(times.get(name, 0)) for name in _TIMES)
    if copy.expires_in_ms is not None:
        copy.expires_at_ms = sent_at_ms + copy.expires_in_ms
    expired = copy.expires_at_ms is not None and _now_ms(first_ms, date) > copy.expires_at_ms
    hides = early_ms = 0
    if copy.wait_ms and url.endswith(FIFO):
        due_ms = sent_at_ms + copy.wait_ms
        early_ms = max(0, due_ms - _now_ms(first_ms, date))
        hides = ceil(max(0, due_ms - first_ms) / (HIDE_S * 1000))
    lapsed = max(0, count - 1 - hides)
    return Received(
        queue,
        url,
        message["ReceiptHandle"],
        message["MessageId"],
        copy,
        sent_at_ms,
        copy.deliveries + lapsed + 1,
        copy.crashes + lapsed,
        expired,
        early_ms,
        visibility_s,
        until,
    )


def _now_ms(first_ms: int, date: str | None) -> int:
    """Return the time by SQS's clock, at least: the reply's date, which counts seconds only."""
    if date is None:
        return first_ms
    return max(first_ms, int(parsedate_to_datetime(date).timestamp() * 1000))
