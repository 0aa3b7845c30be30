"""A driver compared with a plain model of it, over random histories (Hypothesis).

The model says nothing that a real clock could blur: what waits, waits for an hour, and where time
matters it passes within one rule. Only a clock moved by hand lets the hour pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType] - untyped there
)

from async_task.core.ids import new_id
from async_task.spi.capabilities import Delay, Facet
from async_task.spi.messages import (
    Ack,
    Extension,
    Message,
    MessageState,
    Reject,
    Release,
    Retry,
    StoredResult,
)
from async_task.spi.reclaim import CAP_MS
from async_task.testing.model import Kept, Model
from async_task.testing.rig import FOREVER_MS, HIGH, LOW, QUEUES, Rig
from async_task.testing.session import Session

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from async_task.spi.messages import Lease, Settlement
    from async_task.testing.harness import DriverHarness

T = TypeVar("T")
READY, DELAYED = MessageState.READY, MessageState.DELAYED
LEASED, DEAD = MessageState.LEASED, MessageState.DEAD

STEPS = 30
"""Rules per history. Each lets a minute pass at most, so that together they stay below an hour."""

EXAMPLES = 30
EXAMPLES_ON_A_REAL_CLOCK = 10
"""Histories when nobody asks for more, always the same. A real crash has to be waited for."""


def compare(harness: DriverHarness, loop: asyncio.AbstractEventLoop, examples: int | None) -> None:
    """Run random histories against drivers of `harness`; raise on the first difference.

    Args:
        harness: Makes a driver per history.
        loop: Where the drivers live. This call blocks, so it belongs in another thread.
        examples: How many, chosen at random, the first difference reduced to its shortest history;
            `None` for a few that are always the same, reported as they are.
    """
    few = EXAMPLES if harness.manual_clock else EXAMPLES_ON_A_REAL_CLOCK

    class OfThisHarness(Histories):
        def __init__(self) -> None:
            super().__init__(Session(harness, loop))

    run_state_machine_as_test(
        OfThisHarness,
        settings=settings(
            max_examples=examples or few,
            stateful_step_count=STEPS,
            derandomize=examples is None,
            phases=[Phase.generate] if examples is None else [Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


INDEX = st.integers(min_value=0, max_value=99)
STATE = st.binary(max_size=8)
RARELY = st.integers(min_value=0, max_value=3).map(lambda number: number == 3)
KIND = st.sampled_from([Ack, Retry, Release, Reject])
QUEUE = st.sampled_from(QUEUES)
ORDER = st.sampled_from([(HIGH,), (LOW,), (HIGH, LOW), (LOW, HIGH)])


def pick(items: Sequence[T], indices: Sequence[int]) -> list[T]:
    """Return different items, chosen by numbers of any size."""
    chosen = dict.fromkeys(index % len(items) for index in indices) if items else {}
    return [items[index] for index in chosen]


class Histories(RuleBasedStateMachine):
    """The rules. Each does something to the driver and to the model, and compares the answers."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.capabilities = session.do(_capabilities)
        self.tied = session.do(_tied)
        self.model = Model()

    def teardown(self) -> None:
        """Close the driver."""
        self.session.end()

    @rule(drawn=st.lists(st.tuples(QUEUE, INDEX, RARELY, STATE), min_size=1, max_size=6))
    def enqueue(self, drawn: list[tuple[str, int, bool, bytes]]) -> None:
        """Store new messages."""
        delays = self.capabilities.delay is not Delay.NONE
        messages = [
            Message(
                new_id(),
                queue,
                body,
                priority % self.capabilities.priorities,
                FOREVER_MS if later and delays else 0,
            )
            for queue, priority, later, body in drawn
        ]
        self.session.do(lambda rig: rig.enqueue(*messages))
        for message in messages:
            where = DELAYED if message.delay_ms else READY
            self.model.kept[message.id] = Kept(message, where)

    @precondition(lambda self: self.capabilities.idempotent_enqueue)
    @rule(indices=st.lists(INDEX, min_size=1, max_size=3))
    def enqueue_again(self, indices: list[int]) -> None:
        """Send messages again, some of them finished meanwhile."""
        model = self.model
        seen = {each.message.id: each.message for each in model.kept.values()}
        seen |= {message.id: message for message in model.finished}
        messages = pick(list(seen.values()), indices)
        duplicates = self.session.do(lambda rig: rig.driver.enqueue(messages)) if messages else ()
        known = [at for at, message in enumerate(messages) if message.id in model.kept]
        assert sorted(duplicates) == known
        for message in messages:
            if message.id not in model.kept:
                where = DELAYED if message.delay_ms else READY
                model.kept[message.id] = Kept(message, where)

    @rule(queues=ORDER, limit=st.integers(min_value=1, max_value=6))
    def lease(self, queues: tuple[str, ...], limit: int) -> None:
        """Take what is ready, for long."""
        self.model.held += self._take(queues, limit, FOREVER_MS)

    @rule()
    def lease_all(self) -> None:
        """Take everything that is ready: nothing may be missing, nothing may be there twice."""
        while self.model.ready(QUEUES):
            self.model.held += self._take(QUEUES, 100, FOREVER_MS)
        assert not self._take(QUEUES, 100, FOREVER_MS)

    @precondition(lambda self: self._may_crash())
    @rule(queues=ORDER, limit=st.integers(min_value=1, max_value=4))
    def crash(self, queues: tuple[str, ...], limit: int) -> None:
        """Take messages and let their leases expire; where a connection holds them, all of it."""
        leases = self._take(queues, limit, self.session.harness.tick_ms)
        self.session.do(_lapse)
        if self.tied:
            leases += self.model.held
            self.model.held = []
        self._lose(leases)

    @precondition(lambda self: self.model.held or self.model.lost)
    @rule(
        indices=st.lists(INDEX, min_size=1, max_size=6),
        kinds=st.lists(KIND, min_size=6, max_size=6),
        state=STATE,
        later=RARELY,
    )
    def settle(
        self, indices: list[int], kinds: list[type[Settlement]], state: bytes, later: bool
    ) -> None:
        """End leases, some of them lost."""
        model = self.model
        later = later and self.capabilities.delay is not Delay.NONE
        leases = pick(self._addressable(), indices)
        settlements = [
            self._ending(kind, lease, state, later)
            for kind, lease in zip(kinds, leases, strict=False)
        ]
        stale = self.session.do(lambda rig: rig.stale(*settlements))
        assert sorted(stale) == [at for at, lease in enumerate(leases) if lease not in model.held]
        for settlement in settlements:
            if settlement.lease in model.held:
                self._settled(settlement, later)

    @precondition(lambda self: self.model.held or self.model.lost)
    @rule(indices=st.lists(INDEX, min_size=1, max_size=4))
    def extend(self, indices: list[int]) -> None:
        """Hold leases for longer, some of them lost."""
        leases = pick(self._addressable(), indices)
        answers = self.session.do(lambda rig: _extend(rig, leases))
        assert answers in (None, [self._extension(lease) for lease in leases])

    @precondition(lambda self: Facet.CONTROL in self.capabilities.facets)
    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        """Cancel a message, which may be finished."""
        model = self.model
        ids = pick([*model.kept, *(each.id for each in model.finished)], [index])
        answers = self.session.do(lambda rig: rig.control.cancel(ids))
        for message_id, answer in zip(ids, answers, strict=True):
            kept = model.kept.get(message_id)
            assert answer == (kept and kept.where)
            if kept is not None and kept.where in (READY, DELAYED):
                model.finish(kept)
            elif kept is not None and kept.where is LEASED:
                kept.cancelled = True

    @precondition(lambda self: Facet.CONTROL in self.capabilities.facets)
    @rule(queue=QUEUE)
    def pause_or_resume(self, queue: str) -> None:
        """Pause a queue, or resume it if it is paused."""
        if queue in self.model.paused:
            self.session.do(lambda rig: rig.control.resume(queue))
        else:
            self.session.do(lambda rig: rig.control.pause(queue))
        self.model.paused ^= {queue}

    @precondition(lambda self: self.capabilities.dead_letters_by_id and self.model.those(DEAD))
    @rule(index=INDEX, state=STATE)
    def requeue(self, index: int, state: bytes) -> None:
        """Return a dead letter, after reading it."""
        [kept] = pick(self.model.those(DEAD), [index])
        queue, key = kept.message.queue, kept.message.id
        [letter] = self.session.do(lambda rig: rig.dead_letters.get(queue, [key]))
        assert letter is not None
        assert (letter.body, letter.state) == (kept.message.body, kept.state)
        assert (letter.deliveries, letter.crashes) == (kept.deliveries, kept.crashes)
        assert self.session.do(lambda rig: rig.dead_letters.requeue(queue, {key: state})) == 1
        self.model.kept[key] = Kept(kept.message, READY, state)

    @rule(queue=QUEUE)
    def purge(self, queue: str) -> None:
        """Delete what waits in a queue."""
        reached = (READY, DELAYED) if self.capabilities.purges_delayed else (READY,)
        doomed = self.model.those(*reached, queue=queue)
        assert self.session.do(lambda rig: rig.driver.purge(queue)) == len(doomed)
        for kept in doomed:
            self.model.finish(kept)

    @precondition(lambda self: self.session.harness.manual_clock)
    @rule()
    def an_hour_passes(self) -> None:
        """Let every lease expire and every delay pass."""
        self.session.do(_hour)
        for kept in self.model.those(DELAYED):
            kept.where = READY
        held, self.model.held = self.model.held, []
        self._lose(held)

    @invariant()
    def counts_agree(self) -> None:
        """Compare how many messages are where."""
        for stats in self.session.do(lambda rig: rig.driver.stats(QUEUES)):
            for where in (READY, DELAYED, LEASED, DEAD):
                expected = len(self.model.those(where, queue=stats.queue))
                assert getattr(stats, where.value) in (None, expected), stats

    @precondition(lambda self: Facet.CONTROL in self.capabilities.facets)
    @invariant()
    def states_agree(self) -> None:
        """Compare where each message is."""
        kept = self.model.kept
        ids = [*kept, *(each.id for each in self.model.finished)]
        if ids:
            found = self.session.do(lambda rig: rig.control.status(ids))
            assert list(found) == [kept[each].where if each in kept else None for each in ids]

    def _take(self, queues: tuple[str, ...], limit: int, visibility_ms: int) -> list[Lease]:
        """Lease once; compare what came with what was ready."""
        ready = {kept.message.id: kept for kept in self.model.ready(queues)}
        harness = self.session.harness
        wait_ms = harness.patience_ms if ready else harness.glance_ms
        leases = self.session.do(
            lambda rig: rig.look(limit, queues=queues, wait_ms=wait_ms, visibility_ms=visibility_ms)
        )
        assert bool(leases) == bool(ready), f"{len(ready)} were ready, {len(leases)} came"
        for lease in leases:
            kept = ready.pop(lease.id)
            kept.deliveries += 1
            kept.where = LEASED
            assert (lease.queue, lease.body) == (kept.message.queue, kept.message.body)
            assert (lease.deliveries, lease.crashes) == (kept.deliveries, kept.crashes)
            assert (lease.state, lease.priority) == (kept.state, kept.message.priority)
            assert not lease.expired
        if len(leases) == limit:
            taken = [(queues.index(each.queue), -each.priority) for each in leases]
            messages = [kept.message for kept in ready.values()]
            left = [(queues.index(each.queue), -each.priority) for each in messages]
            assert not left or max(taken) <= min(left), "something more urgent was left behind"
        return leases

    def _lose(self, leases: list[Lease]) -> None:
        """Have leases expire in the model."""
        for lease in leases:
            kept = self.model.kept[lease.id]
            kept.crashes += 1
            self.model.give_back(kept, READY)
        self.model.lost += leases

    def _may_crash(self) -> bool:
        """A second crash is followed by a random wait, which takes a clock moved by hand."""
        crashed = any(kept.crashes for kept in self.model.kept.values())
        return self.session.harness.manual_clock or not crashed

    def _addressable(self) -> list[Lease]:
        return [*self.model.held, *(self.model.lost if self.capabilities.fence else ())]

    def _extension(self, lease: Lease) -> Extension:
        if lease not in self.model.held:
            return Extension.LOST
        cancelled = self.model.kept[lease.id].cancelled
        return Extension.CANCELLED if cancelled else Extension.HELD

    def _ending(
        self, kind: type[Settlement], lease: Lease, state: bytes, later: bool
    ) -> Settlement:
        delay_ms = FOREVER_MS if later else 0
        if kind is Retry:
            return Retry(lease, delay_ms, state)
        if kind is Release:
            return Release(lease, delay_ms, state)
        kept = self.model.kept.get(lease.id)
        if kind is Reject and not (kept and kept.cancelled):  # what that leaves is not said
            return Reject(lease, "failed", state)
        return Ack(lease, StoredResult(state, FOREVER_MS) if self._keeps_results else None)

    @property
    def _keeps_results(self) -> bool:
        return Facet.RESULTS in self.capabilities.facets

    def _settled(self, settlement: Settlement, later: bool) -> None:
        kept = self.model.end(settlement.lease)
        key = kept.message.id
        if isinstance(settlement, Ack):
            self.model.finish(kept)
            if settlement.result is not None:
                found = self.session.do(lambda rig: rig.results.get([key]))
                assert list(found) == [settlement.result.body]
            return
        kept.state = settlement.state
        if isinstance(settlement, Reject):
            kept.where = DEAD
        else:
            self.model.give_back(kept, DELAYED if later else READY)


async def _capabilities(rig: Rig) -> Any:
    return rig.driver.capabilities


async def _tied(rig: Rig) -> bool:
    """Say whether leases end with the connection that they came over."""
    return rig.driver.keeper() is None


async def _lapse(rig: Rig) -> None:
    await rig.lapse()
    await rig.driver.maintain()
    if rig.harness.manual_clock:
        await rig.advance_ms(CAP_MS)


async def _hour(rig: Rig) -> None:
    await rig.advance_ms(2 * FOREVER_MS)
    await rig.driver.maintain()
    await rig.advance_ms(CAP_MS)


async def _extend(rig: Rig, leases: Sequence[Lease]) -> list[Extension] | None:
    return None if rig.driver.keeper() is None else await rig.extend(*leases)
