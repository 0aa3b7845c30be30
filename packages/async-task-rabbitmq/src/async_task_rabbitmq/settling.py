"""Ending leases: publish the copy that goes on, then acknowledge the one that was held."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from async_task.spi.errors import ConnectionLostError, DriverError, OutcomeUnknownError
from async_task.spi.messages import Ack, Reject

from async_task_rabbitmq.publisher import Parcel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiormq import Channel
    from async_task.spi.messages import Settlement

    from async_task_rabbitmq.held import Held, Hold
    from async_task_rabbitmq.publisher import Publisher
    from async_task_rabbitmq.tap import Received


class Settling:
    """Ends the leases of one consumer.

    Publishing a copy again because nobody has confirmed it yet would make a copy more each time.
    So what has begun goes on, however long, and a repeated call waits for it; only what failed is
    begun anew.

    Args:
        publisher: What publishes copies.
        held: The leases.
        timeout_s: How long a call waits.
    """

    def __init__(self, publisher: Publisher, held: Held, timeout_s: float) -> None:
        self._publisher = publisher
        self._held = held
        self._timeout_s = timeout_s

    async def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """End leases; see `Consumer.settle`."""
        current: dict[int, Hold] = {}
        stale: list[int] = []
        named: set[tuple[bytes, bytes]] = set()
        for at, settlement in enumerate(settlements):
            lease = settlement.lease
            hold = self._held.find(lease)
            if hold is None or (lease.id, lease.lease_id) in named:
                stale.append(at)  # a lease ends once, with the first that names it
            else:
                current[at] = hold
            named.add((lease.id, lease.lease_id))
        await self._ended({at: (settlements[at], hold) for at, hold in current.items()})
        failures: list[DriverError] = []
        for at, hold in current.items():
            if hold.ending is not None and not hold.ending.done():
                failures.append(
                    OutcomeUnknownError(
                        f"RabbitMQ did not answer within {self._timeout_s:g} s; what was begun "
                        "goes on, and a repeated call waits for it"
                    )
                )
            elif isinstance(hold.outcome, bool):
                self._held.end(settlements[at].lease)
                stale += [] if hold.outcome else [at]
            else:
                failures.append(hold.outcome)
                hold.ending = None
        if failures:
            _raise(failures, begun=len(failures) < len(settlements))
        return sorted(stale)

    async def wait(self, within_s: float) -> None:
        """Wait for what was begun, in vain at most `within_s`."""
        if tasks := self._held.endings():
            await asyncio.wait(tasks, timeout=within_s)

    async def _ended(self, pairs: dict[int, tuple[Settlement, Hold]]) -> None:
        """Begin to end what is not being ended, and wait for all of it."""
        fresh = [pair for pair in pairs.values() if pair[1].ending is None]
        if fresh:
            task = asyncio.create_task(self._end(fresh))
            for _, hold in fresh:
                hold.ending = task
        tasks = {hold.ending for _, hold in pairs.values() if hold.ending is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_s)

    async def _end(self, pairs: Sequence[tuple[Settlement, Hold]]) -> None:
        sent = [
            (hold, parcel)
            for settlement, hold in pairs
            if not hold.replaced and (parcel := _parcel(settlement, hold.received)) is not None
        ]
        outcomes = await self._publisher.send([parcel for _, parcel in sent], bounded=False)
        refused: set[int] = set()
        for (hold, _), outcome in zip(sent, outcomes, strict=True):
            if outcome is None:
                hold.replaced = True
            else:
                hold.outcome = outcome
                refused.add(id(hold))
        await answer([hold for _, hold in pairs if id(hold) not in refused])


async def answer(holds: Sequence[Hold]) -> None:
    """Acknowledge what is held, on all channels at once, and note what came of it."""
    channels: dict[Channel, list[Hold]] = defaultdict(list)
    for hold in holds:
        channels[hold.received.channel].append(hold)

    async def end(holds: list[Hold]) -> None:
        outcome: DriverError | None = None
        try:
            await holds[0].received.tap.answer([hold.received for hold in holds])
        except DriverError as error:
            outcome = error
        for hold in holds:
            if isinstance(outcome, ConnectionLostError):
                hold.outcome = hold.replaced  # the copy goes on; without one it is somebody else's
            else:
                hold.outcome = True if outcome is None else outcome

    await asyncio.gather(*map(end, channels.values()))


def _parcel(settlement: Settlement, received: Received) -> Parcel | None:
    """Return what a settlement publishes, if anything."""
    copy = received.copy
    if isinstance(settlement, Ack):
        return None
    if isinstance(settlement, Reject):
        now_ms = int(time.time() * 1000)
        dead = copy.again(settlement.state, reason=settlement.reason, died_at_ms=now_ms)
        return Parcel(received.queue, dead, dead=True)
    return Parcel(received.queue, copy.again(settlement.state), settlement.delay_ms)


def _raise(failures: list[DriverError], *, begun: bool) -> None:
    """Raise what says it all."""
    unknown = [each for each in failures if isinstance(each, OutcomeUnknownError)]
    first = (unknown or failures)[0]
    if unknown or not begun:
        raise first
    raise OutcomeUnknownError(
        f"{len(failures)} leases could not be ended, the others were; a repeated call ends what is "
        f"left: {first}"
    ) from first
