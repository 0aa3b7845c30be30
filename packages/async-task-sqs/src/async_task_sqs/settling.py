"""Ending leases: send the copy that goes on, then delete the one that was held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.errors import OutcomeUnknownError
from async_task.spi.messages import Ack, Reject

from async_task_sqs.batches import delete
from async_task_sqs.failures import EntryRefusedError
from async_task_sqs.sending import Parcel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.errors import DriverError
    from async_task.spi.messages import Settlement

    from async_task_sqs.client import SqsClient
    from async_task_sqs.held import Held, Hold
    from async_task_sqs.sending import Sender


async def settle(
    client: SqsClient, sender: Sender, held: Held, settlements: Sequence[Settlement]
) -> list[int]:
    """End leases; see `Consumer.settle`.

    What is done is remembered, so that a repeated call does only what failed: a copy whose
    sending succeeded is not sent again. A lease whose time is over by our own clock is not given
    back, since SQS has done that; deleting it is tried all the same.
    """
    ending = _Ending(held, settlements)
    parcels = [
        (at, parcel)
        for at, hold in ending.current.items()
        if not hold.replaced and (parcel := _parcel(settlements[at], hold)) is not None
    ]
    outcomes = await sender.send(client, [parcel for _, parcel in parcels])
    for (at, _), outcome in zip(parcels, outcomes, strict=True):
        if outcome is None:
            ending.current[at].replaced = True
            ending.begun = True
        else:
            ending.fail(at, outcome)
    doomed = [*ending.current.items()]
    receipts = [hold.received.address for _, hold in doomed]
    for (at, hold), outcome in zip(doomed, await delete(client, receipts), strict=True):
        if outcome is None or isinstance(outcome, EntryRefusedError):
            held.end(settlements[at].lease)
            ending.begun = True
            if outcome is not None and not hold.replaced:
                ending.stale.append(at)
        else:
            ending.fail(at, outcome)
    ending.check()
    return sorted(ending.stale)


class _Ending:
    """One call of `settle`: what is to be ended, and what became of it."""

    def __init__(self, held: Held, settlements: Sequence[Settlement]) -> None:
        self.current: dict[int, Hold] = {}
        self.stale: list[int] = []
        self.begun = False
        self._failures: list[DriverError] = []
        seen: set[tuple[bytes, bytes]] = set()
        for at, settlement in enumerate(settlements):
            lease = settlement.lease
            hold = held.find(lease)
            key = lease.id, lease.lease_id
            given_back = not isinstance(settlement, Ack) and hold is not None and hold.lapsed
            if hold is None or key in seen or (given_back and not hold.replaced):
                self.stale.append(at)  # a lease ends once, with the first that names it
            else:
                self.current[at] = hold
            seen.add(key)

    def fail(self, at: int, error: DriverError) -> None:
        """Note that one could not be ended."""
        del self.current[at]
        self._failures.append(error)

    def check(self) -> None:
        """Raise what says it all, if anything failed."""
        if not self._failures:
            return
        unknown = [each for each in self._failures if isinstance(each, OutcomeUnknownError)]
        first = (unknown or self._failures)[0]
        if unknown or not self.begun:
            raise first
        raise OutcomeUnknownError(
            f"{len(self._failures)} leases could not be ended, the others were; a repeated call "
            f"ends what is left: {first}"
        ) from first


def _parcel(settlement: Settlement, hold: Hold) -> Parcel | None:
    """Return what a settlement sends, if anything."""
    received = hold.received
    if isinstance(settlement, Ack):
        return None
    if isinstance(settlement, Reject):
        dead = received.again(settlement.state, reason=settlement.reason)
        return Parcel(received.queue, dead, dead=True)
    again = received.again(settlement.state)
    return Parcel(received.queue, again, settlement.delay_ms, follows=received.name)
