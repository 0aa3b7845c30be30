"""Receive calls under way, and what they brought.

A receive call cannot be taken back: what it brings has been counted as received. So each runs in
a task of its own that outlives the `lease` call that began it, and the next `lease` call is handed
what came too late for the first. What nobody asks for is given back, uncharged: after an
interruption at once, since whoever interrupts a `lease` call wants no more.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from async_task_sqs.batches import extend
from async_task_sqs.limits import BATCH
from async_task_sqs.receiving import give_back, receive, send_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_sqs.client import SqsClient
    from async_task_sqs.queues import Queues
    from async_task_sqs.receiving import Received
    from async_task_sqs.sending import Sender

LONGEST_POLL_S: Final = 5
"""How long SQS is asked to wait for messages: as long as core does, so that leaving a consumer
never has to break off a call that may bring messages."""


@dataclass(slots=True, eq=False)
class Call:
    """One `lease` call.

    Attributes:
        queues: Most urgent first.
        limit: Most messages it may be handed.
        visibility_s: For how long.
        interrupted: Done once it is to return what it has.
        began: When, by `time.monotonic`.
        due: Queues that may hold messages, as far as it knows.
        errors: What became of receive calls that failed.
    """

    queues: Sequence[str]
    limit: int
    visibility_s: int
    interrupted: asyncio.Future[None]
    began: float = field(default_factory=time.monotonic)
    due: set[str] = field(default_factory=set[str])
    errors: list[Exception] = field(default_factory=list[Exception])


@dataclass(slots=True, eq=False)
class _Poll:
    queue: str
    count: int
    owner: Call | None
    unwanted: bool = False
    task: asyncio.Task[None] | None = None


class Polls:
    """The receive calls of one consumer.

    All calls under way for one `lease` call together ask for no more than it may be handed.
    """

    def __init__(self, client: SqsClient, queues: Queues, sender: Sender) -> None:
        self._client = client
        self._queues = queues
        self._sender = sender
        self._running: set[_Poll] = set()
        self._arrived: list[tuple[float, Received]] = []
        self._returning: set[asyncio.Task[None]] = set()

    def adopt(self, call: Call) -> None:
        """Count what earlier calls left under way against what this one may be handed."""
        for poll in self._running:
            if poll.owner is None and poll.queue in call.queues:
                poll.owner, poll.unwanted = call, False

    def leave(self, call: Call) -> None:
        """Let the next call have what this one began."""
        for poll in self._running:
            if poll.owner is call:
                poll.owner, poll.unwanted = None, call.interrupted.done()
        self._expect()

    def watched(self, call: Call, queue: str) -> bool:
        """Tell whether a receive call for a queue is under way."""
        return any(poll.queue == queue and poll.owner is call for poll in self._running)

    def room(self, call: Call) -> int:
        """Return how many more messages may be asked for, none having been handed over yet."""
        return call.limit - sum(poll.count for poll in self._running if poll.owner is call)

    def start(self, call: Call, queue: str, count: int, wait_s: int) -> None:
        """Begin one receive call."""
        poll = _Poll(queue, min(count, BATCH), call)
        self._running.add(poll)
        poll.task = asyncio.create_task(self._run(poll, wait_s, call.visibility_s))

    async def first(self, call: Call, timeout_s: float | None) -> None:
        """Wait until one of a call's receive calls has ended, or it is interrupted."""
        tasks = {poll.task for poll in self._running if poll.owner is call and poll.task}
        await asyncio.wait(
            {*tasks, call.interrupted},
            timeout=timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )

    async def all(self, call: Call, queue: str) -> None:
        """Wait until all of a call's receive calls for a queue have ended, or it is interrupted."""
        while self.watched(call, queue) and not call.interrupted.done():
            await self.first(call, None)

    async def claim(self, call: Call, limit: int) -> list[Received]:
        """Take what has arrived of a call's queues, most urgent first, to be held from now on."""
        order = {queue: at for at, queue in enumerate(call.queues)}
        mine = [each for each in self._arrived if each[1].queue in order]
        mine.sort(key=lambda each: order[each[1].queue])
        del mine[limit:]
        for each in mine:
            self._arrived.remove(each)
        stale = [
            each for at, each in mine if at < call.began or each.visibility_s != call.visibility_s
        ]
        if stale:
            try:
                lost = await self._renew(stale, call.visibility_s)
            except BaseException:
                self._arrived += mine
                raise
            mine = [each for each in mine if each[1] not in lost]
        return [each for _, each in mine]

    def put_back(self, received: Sequence[Received]) -> None:
        """Undo `claim`: hand it to the next call."""
        self._arrived += [(0.0, each) for each in received]

    async def end(self, within_s: float) -> None:
        """Await what is under way, and give back what it brings; bounded by `within_s`."""
        tasks = {poll.task for poll in self._running if poll.task}
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        self._give_back([each for _, each in self._arrived])
        if self._returning:
            await asyncio.wait(self._returning, timeout=within_s)
        await self.cancel()

    async def cancel(self) -> None:
        """Let go of everything at once."""
        tasks = {poll.task for poll in self._running if poll.task} | self._returning
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, poll: _Poll, wait_s: int, visibility_s: int) -> None:
        try:
            url = await self._queues.url(self._client, poll.queue)
            came = await receive(
                self._client, poll.queue, url, poll.count, wait_s=wait_s, visibility_s=visibility_s
            )
            due = await send_on(self._client, self._sender, came)
        except Exception as error:  # also a bug of ours is raised by `lease`
            if poll.owner is not None:
                poll.owner.errors.append(error)
        else:
            self._arrive(poll, due, full=len(came) == poll.count)
        finally:
            self._running.discard(poll)

    def _arrive(self, poll: _Poll, due: list[Received], *, full: bool) -> None:
        now = time.monotonic()
        self._arrived += [(now, each) for each in due]
        if full and poll.owner is not None:
            poll.owner.due.add(poll.queue)
        if poll.unwanted:
            self._give_back(due)
        elif poll.owner is None:
            self._expect()

    def _expect(self) -> None:
        """Have what nobody waits for given back, unless somebody claims it soon."""
        waiting = [each for _, each in self._arrived]
        if waiting:
            patience_s = min(each.visibility_s for each in waiting) / 3
            asyncio.get_running_loop().call_later(patience_s, self._give_back, waiting)

    def _give_back(self, received: Sequence[Received]) -> None:
        """Return what nobody has claimed by now."""
        unclaimed = [each for _, each in self._arrived if each in received]
        if unclaimed:
            self._arrived = [each for each in self._arrived if each[1] not in unclaimed]
            task = asyncio.create_task(give_back(self._client, self._sender, unclaimed))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    async def _renew(self, received: list[Received], visibility_s: int) -> list[Received]:
        """Hold copies from now on; return those that could not be, which come again."""
        asked = time.monotonic()
        receipts = [each.address for each in received]
        outcomes = await extend(self._client, receipts, visibility_s)
        for each, outcome in zip(received, outcomes, strict=True):
            if outcome is None:
                each.until = asked + visibility_s
                each.visibility_s = visibility_s
        return [each for each, got in zip(received, outcomes, strict=True) if got is not None]
