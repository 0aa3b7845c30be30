"""Renewing leases, from the heartbeat thread's own loop."""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

from async_task_sqs.batches import extend
from async_task_sqs.failures import EntryRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease

    from async_task_sqs.client import SqsClient
    from async_task_sqs.held import Held


class SqsKeeper:
    """The `LeaseKeeper` of this driver, with a client of its own."""

    def __init__(self, client: SqsClient, held: Held) -> None:
        self._client = client
        self._held = held

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Extend leases, ten a call, all calls at once; see `LeaseKeeper.extend`.

        A receipt that SQS does not take any more, also after the 12 hours for which it lets a
        message be held, is `LOST`.
        """
        answers = [Extension.LOST] * len(leases)
        holds = [(at, hold) for at, lease in enumerate(leases) if (hold := self._held.find(lease))]
        copies = [hold.received for _, hold in holds]
        asked = time.monotonic()
        visibility_s = ceil(visibility_ms / 1000)
        outcomes = await extend(self._client, [each.address for each in copies], visibility_s)
        for (at, hold), outcome in zip(holds, outcomes, strict=True):
            if outcome is None:
                hold.received.until = asked + visibility_s
                answers[at] = Extension.HELD
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, EntryRefusedError):
                raise outcome
        return answers
