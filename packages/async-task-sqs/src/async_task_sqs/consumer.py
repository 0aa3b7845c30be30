"""Taking messages and ending leases."""

from __future__ import annotations

import asyncio
from math import ceil
from typing import TYPE_CHECKING, NoReturn

from async_task.spi.errors import UnsupportedError

from async_task_sqs.limits import BATCH
from async_task_sqs.polls import Call
from async_task_sqs.settling import settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Settlement

    from async_task_sqs.client import SqsClient
    from async_task_sqs.held import Held
    from async_task_sqs.polls import Polls
    from async_task_sqs.receiving import Received
    from async_task_sqs.sending import Sender


class SqsConsumer:
    """The `Consumer` of this driver, with a client for leases and settlements alone.

    Args:
        client: Open.
        polls: Its receive calls.
        sender: What sends copies back.
        held: The leases of the driver.
        poll_s: Longest that one receive call waits.
    """

    def __init__(
        self, client: SqsClient, polls: Polls, sender: Sender, held: Held, poll_s: int
    ) -> None:
        self._client = client
        self._polls = polls
        self._sender = sender
        self._held = held
        self._poll_s = poll_s
        self._calls: set[Call] = set()
        self._settling: set[asyncio.Task[list[int]]] = set()

    async def lease(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        wait_ms: int,
        lease_id: bytes,
        visibility_ms: int,
    ) -> Sequence[Lease]:
        """Hand out up to `limit` messages; see `Consumer.lease`.

        With one queue it is a long poll, and a short one for every ten further messages. Several
        queues are looked through in order, and only when all are empty polled at once, each for a
        share of `limit`.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_ms / 1000
        call = Call(queues, limit, ceil(visibility_ms / 1000), loop.create_future())
        if len(queues) > 1 or wait_ms < 1000:
            call.due.update(queues)
        self._calls.add(call)
        self._polls.adopt(call)
        try:
            while True:
                taken = await self._look(call)
                left = ends - loop.time()
                if taken or left <= 0 or call.interrupted.done():
                    return [self._held.begin(each, lease_id) for each in self._singly(taken)]
                await self._wait(call, left)
        finally:
            self._polls.leave(call)
            self._calls.discard(call)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[int]:
        """End leases, ten a call, all calls at once; see `Consumer.settle`.

        Cancelling it stops nobody: giving a message back takes two calls, and between them there
        are two copies of it.
        """
        task = asyncio.create_task(settle(self._client, self._sender, self._held, settlements))
        self._settling.add(task)
        task.add_done_callback(self._settled)
        return await asyncio.shield(task)

    async def settled(self, within_s: float) -> None:
        """Await the settlements whose callers were cancelled."""
        if self._settling:
            await asyncio.wait(self._settling, timeout=within_s)

    async def recover(self, lease_id: bytes) -> NoReturn:
        """Refuse: SQS knows nothing of lease ids; what a lost reply took comes back by itself."""
        raise UnsupportedError(
            "SQS cannot tell what a call without an answer took; it comes back when its "
            "visibility ends",
            capability="recoverable_lease",
            driver="sqs",
        )

    def interrupt(self) -> None:
        """Make the `lease` calls that wait now return what they have."""
        for call in self._calls:
            if not call.interrupted.done():
                call.interrupted.set_result(None)

    def _singly(self, taken: Sequence[Received]) -> Sequence[Received]:
        """Keep one copy of each message; `(id, lease_id)` names a lease, so others have to wait."""
        first = {each.copy.id: each for each in reversed(taken)}
        self._polls.put_back([each for each in taken if first[each.copy.id] is not each])
        return [*reversed(first.values())]

    def _settled(self, task: asyncio.Task[list[int]]) -> None:
        self._settling.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited for it has seen it

    async def _look(self, call: Call) -> list[Received]:
        """Take what has arrived, and look into the queues that may hold more."""
        taken: list[Received] = []
        try:
            taken += await self._polls.claim(call, call.limit)
            for queue in call.queues:
                if queue in call.due and not self._polls.watched(call, queue):
                    await self._drain(call, queue, taken)
        except BaseException:
            self._polls.put_back(taken)
            raise
        if call.errors and not taken:
            raise call.errors[0]
        return taken

    async def _drain(self, call: Call, queue: str, taken: list[Received]) -> None:
        """Look into one queue until it has no more, or enough was taken."""
        deep = any(each.queue == queue for each in taken)
        while not (call.interrupted.done() or call.errors):
            room = self._polls.room(call) - len(taken)
            if room <= 0:
                return
            call.due.discard(queue)
            for at in range(0, room if deep else 1, BATCH):
                self._polls.start(call, queue, room - at, 0)
            await self._polls.all(call, queue)
            taken += await self._polls.claim(call, call.limit - len(taken))
            if queue not in call.due:
                return
            deep = True

    async def _wait(self, call: Call, left_s: float) -> None:
        """Poll the queues, as far as there is room, until one has something."""
        idle = [queue for queue in call.queues if not self._polls.watched(call, queue)]
        room = self._polls.room(call)
        chosen = idle[: max(0, room)] if left_s >= 1 else []
        # A message that comes to one queue must leave room to look into it while the others are
        # still being polled. Where there is none, polls are short.
        roomy = len(call.queues) == 1 or room >= 2 * len(idle)
        wait_s = min(self._poll_s, int(left_s)) if roomy else 1
        share = max(1, room // (2 * len(idle)) if len(call.queues) > 1 and idle else room)
        for queue in chosen:
            self._polls.start(call, queue, share, wait_s)
        await self._polls.first(call, left_s)
        if len(chosen) < len(idle):
            call.due.update(idle[len(chosen) :])
