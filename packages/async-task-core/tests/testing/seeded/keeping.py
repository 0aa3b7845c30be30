"""Bugs in dead letters, results and control."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from async_task.drivers import memory_facets
from async_task.drivers.memory_facets import MemoryControl, MemoryDeadLetters, MemoryResults
from async_task.drivers.memory_store import MemoryStore
from async_task.spi.messages import Ack, MessageState, Reject
from seeding import Seeded


def dead_letter_without(**lost):
    class Store(MemoryStore):
        def _end(self, stored, settlement, now):
            super()._end(stored, settlement, now)
            letter = self.dead.get(stored.message.id)
            if letter is not None:
                self.dead[letter.id] = replace(letter, **lost)

    return Store


class TestDeadLetterLosesBody(Seeded):
    caught_by = (
        "test_a_rejected_message_is_kept_as_it_was",
        "test_a_dead_letter_returns_to_its_queue",
    )
    Store = dead_letter_without(body=b"")


class TestDeadLetterLosesReason(Seeded):
    caught_by = ("test_a_rejected_message_is_kept_as_it_was",)
    Store = dead_letter_without(reason="")


class TestDeadLetterLosesState(Seeded):
    caught_by = ("test_a_rejected_message_is_kept_as_it_was",)
    Store = dead_letter_without(state=b"")


class TestDeadLetterLosesCounters(Seeded):
    caught_by = ("test_a_rejected_message_is_kept_as_it_was",)
    Store = dead_letter_without(deliveries=1, crashes=0)


class TestDeadLetterLosesPriority(Seeded):
    caught_by = ("test_priority_outlives_death",)
    Store = dead_letter_without(priority=0)


class TestDeadLetterInAnotherQueue(Seeded):
    caught_by = ("test_dead_letters_belong_to_their_queue", "test_dead_letters_are_counted")
    Store = dead_letter_without(queue="dead")


class TestRejectKeepsTheMessageReady(Seeded):
    caught_by = ("test_a_dead_letter_is_not_handed_out", "test_one_call_takes_every_kind")

    class Store(MemoryStore):
        def _end(self, stored, settlement, now):
            super()._end(stored, settlement, now)
            if isinstance(settlement, Reject):
                self.add(stored.message, now, now)


class TestRequeueKeepsCounters(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_a_dead_letter_returns_to_its_queue",
    )

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            store = self._driver.store
            before = {each: store.dead[each] for each in states if each in store.dead}
            moved = await super().requeue(queue, states)
            for each in before:
                if each in store.messages:
                    store.messages[each].deliveries = before[each].deliveries
            return moved


class TestRequeueKeepsExpiry(Seeded):
    caught_by = ("test_a_returning_dead_letter_has_no_expiry",)

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            moved = await super().requeue(queue, states)
            for each in states:
                self._driver.store.messages[each].expires_at_ms = 0
            return moved


class TestRequeueKeepsTheOldState(Seeded):
    caught_by = (
        "test_a_dead_letter_returns_to_its_queue",
        "test_only_the_dead_letters_named_return",
    )

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            dead = self._driver.store.dead
            return await super().requeue(
                queue, {each: dead[each].state if each in dead else b"" for each in states}
            )


class TestRequeueReturnsAll(Seeded):
    caught_by = ("test_only_the_dead_letters_named_return",)

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            every = dict.fromkeys(self._driver.store.dead, b"")
            return await super().requeue(queue, every | states)


class TestRequeueCountsWhatItSkips(Seeded):
    caught_by = (
        "test_only_the_dead_letters_named_return",
        "test_returning_twice_returns_once",
    )

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            await super().requeue(queue, states)
            return len(states)


class TestRequeueLater(Seeded):
    caught_by = (
        "test_a_dead_letter_returns_to_its_queue",
        "test_a_waiting_lease_sees_a_dead_letter_return",
    )

    class DeadLetters(MemoryDeadLetters):
        async def requeue(self, queue, states):
            moved = await super().requeue(queue, states)
            store = self._driver.store
            for stored in store.messages.values():
                stored.due_ms += 60_000
                store._place(stored, store.now_ms())
            return moved


class TestBrowsingInOrderOfDeath(Seeded):
    caught_by = ("test_browsing_goes_page_by_page", "test_only_the_dead_letters_named_return")

    class DeadLetters(MemoryDeadLetters):
        async def browse(self, queue, *, limit, after=None):
            letters = [*await super().browse(queue, limit=10**6, after=after)]
            return letters[::-1][:limit]


class TestBrowsingIgnoresAfter(Seeded):
    caught_by = ("test_browsing_goes_page_by_page",)

    class DeadLetters(MemoryDeadLetters):
        async def browse(self, queue, *, limit, after=None):
            return await super().browse(queue, limit=limit)


class TestBrowsingIgnoresLimit(Seeded):
    caught_by = ("test_browsing_goes_page_by_page",)

    class DeadLetters(MemoryDeadLetters):
        async def browse(self, queue, *, limit, after=None):
            return await super().browse(queue, limit=10**6, after=after)


class TestDeadLettersReadFromAnyQueue(Seeded):
    caught_by = ("test_dead_letters_are_read_by_id",)

    class DeadLetters(MemoryDeadLetters):
        async def get(self, queue, ids):
            return [self._driver.store.dead.get(each) for each in ids]


class TestDeadLettersPurgedInEveryQueue(Seeded):
    caught_by = (
        "test_all_dead_letters_of_a_queue_can_be_deleted",
        "test_only_the_dead_letters_named_are_deleted",
    )

    class DeadLetters(MemoryDeadLetters):
        async def purge(self, queue, ids=None):
            dead = self._driver.store.dead
            doomed = [each for each in (ids or [*dead]) if each in dead]
            return len([dead.pop(each) for each in doomed])


class TestResultsOutliveTheirTime(Seeded):
    caught_by = (
        "test_a_result_does_not_outlive_its_time",
        "test_maintain_keeps_what_still_has_time",
    )

    class Store(MemoryStore):
        def keep(self, message_id, result):
            super().keep(message_id, replace(result, ttl_ms=result.ttl_ms + 10**9))


class TestResultsOutliveTheirTimeUntilTidied(Seeded):
    caught_by = ("test_a_result_does_not_outlive_its_time",)

    class Store(MemoryStore):
        def keep(self, message_id, result):
            super().keep(message_id, result)
            self.results[message_id] = Lasting(self.results[message_id])

        def maintain(self):
            super().maintain()
            for each in [*self.results]:
                if self.results[each].end <= self.now_ms():
                    del self.results[each]


class Lasting(tuple):
    __slots__ = ()

    @property
    def end(self):
        return super().__getitem__(0)

    def __getitem__(self, at):
        return 10**15 if at == 0 else super().__getitem__(at)

    def __iter__(self):
        return iter((10**15, self[1]))


class TestTidyingDropsEverything(Seeded):
    caught_by = (
        "test_maintain_keeps_what_still_has_time",
        "test_the_last_result_counts",
    )

    class Store(MemoryStore):
        def maintain(self):
            super().maintain()
            self.results.clear()


class TestTheFirstResultCounts(Seeded):
    caught_by = ("test_the_last_result_counts",)

    class Store(MemoryStore):
        def keep(self, message_id, result):
            if message_id not in self.results:
                super().keep(message_id, result)


class TestStaleResultStored(Seeded):
    caught_by = ("test_a_stale_settlement_stores_no_result",)

    class Store(MemoryStore):
        def settle(self, settlements):
            for settlement in settlements:
                if isinstance(settlement, Ack | Reject) and settlement.result is not None:
                    self.keep(settlement.lease.id, settlement.result)
            return super().settle(settlements)


class TestRejectionLosesItsResult(Seeded):
    caught_by = ("test_a_rejection_stores_its_result",)

    class Store(MemoryStore):
        def settle(self, settlements):
            return super().settle(
                [replace(s, result=None) if isinstance(s, Reject) else s for s in settlements]
            )


class TestResultsNotAligned(Seeded):
    caught_by = ("test_results_are_put_and_read_in_batches",)

    class Results(MemoryResults):
        async def get(self, ids):
            return [body for body in await super().get(ids) if body is not None]


class TestEmptyResultIsNone(Seeded):
    caught_by = ("test_results_are_put_and_read_in_batches",)

    class Results(MemoryResults):
        async def get(self, ids):
            return [body or None for body in await super().get(ids)]


class TestWaitsForAllResults(Seeded):
    caught_by = (
        "test_waiting_ends_with_the_first_result",
        "test_waiting_for_what_is_there_returns_at_once",
    )

    class Results(MemoryResults):
        async def wait(self, ids, *, wait_ms):
            found = {}
            for each in ids:
                found |= await super().wait([each], wait_ms=wait_ms)
            return found


class TestWaitReturnsEverything(Seeded):
    caught_by = ("test_waiting_for_what_is_there_returns_at_once",)

    class Results(MemoryResults):
        async def wait(self, ids, *, wait_ms):
            await super().wait(ids, wait_ms=wait_ms)
            return memory_facets._results(self._driver.store, [*self._driver.store.results])


class TestWaitTakesTheResult(Seeded):
    caught_by = ("test_cancelling_a_wait_loses_nothing",)

    class Results(MemoryResults):
        async def wait(self, ids, *, wait_ms):
            found = await super().wait(ids, wait_ms=wait_ms)
            for each in found:
                del self._driver.store.results[each]
            await asyncio.sleep(0)
            return found


class TestCancelledComesBack(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_a_cancelled_message_that_is_leased_does_not_come_back",
        "test_a_cancelled_message_whose_worker_died_does_not_come_back",
    )

    class Store(MemoryStore):
        def _return(self, stored, delay_ms, now):
            stored.cancelled = False
            super()._return(stored, delay_ms, now)


class TestCancelledComesBackAfterACrash(Seeded):
    caught_by = ("test_a_cancelled_message_whose_worker_died_does_not_come_back",)

    class Store(MemoryStore):
        def _reclaim(self, now):
            marks = {each: stored.cancelled for each, stored in self.messages.items()}
            for stored in self.messages.values():
                stored.cancelled = False
            super()._reclaim(now)
            for each, stored in self.messages.items():
                stored.cancelled = marks[each] and stored.lease is not None


class TestCancelTakesTheLeasedAway(Seeded):
    caught_by = (
        "test_a_keeper_learns_of_a_cancellation",
        "test_a_cancelled_message_may_still_be_done",
        "test_a_cancelled_message_that_is_leased_does_not_come_back",
    )

    class Control(MemoryControl):
        async def cancel(self, ids):
            states = await super().cancel(ids)
            for each in ids:
                self._driver.store.messages.pop(each, None)
            return states


class TestKeeperNotToldOfCancellation(Seeded):
    caught_by = ("test_a_keeper_learns_of_a_cancellation",)

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            return [
                answer if answer.value != "cancelled" else type(answer)("held")
                for answer in super().extend(leases, visibility_ms)
            ]


class TestCancelledNotExtended(Seeded):
    caught_by = ("test_a_keeper_learns_of_a_cancellation",)

    class Store(MemoryStore):
        def _hold(self, stored, end):
            if not stored.cancelled:
                super()._hold(stored, end)


class TestCancelForgetsTheDelayed(Seeded):
    caught_by = ("test_a_cancelled_message_that_is_delayed_is_gone",)

    class Control(MemoryControl):
        async def cancel(self, ids):
            states = await self.status(ids)
            ready = [
                each
                for each, state in zip(ids, states, strict=True)
                if state is not MessageState.DELAYED
            ]
            await super().cancel(ready)
            return states


class TestCancelTouchesTheDead(Seeded):
    caught_by = ("test_cancelling_leaves_the_dead_alone",)

    class Control(MemoryControl):
        async def cancel(self, ids):
            states = await super().cancel(ids)
            for each in ids:
                self._driver.store.dead.pop(each, None)
            return states


class TestCancelSaysWhatIsThen(Seeded):
    caught_by = (
        "test_a_cancelled_message_that_waits_is_gone",
        "test_a_cancelled_message_that_is_delayed_is_gone",
    )

    class Control(MemoryControl):
        async def cancel(self, ids):
            await super().cancel(ids)
            return await self.status(ids)


class TestCancellationOutlivesItsMessage(Seeded):
    caught_by = ("test_a_cancelled_message_may_be_stored_anew",)

    class Control(MemoryControl):
        async def cancel(self, ids):
            store = self._driver.store
            store.doomed = {*getattr(store, "doomed", ()), *ids}
            return await super().cancel(ids)

    class Store(MemoryStore):
        doomed = frozenset()

        def add(self, message, due_ms, now, **fields):
            super().add(message, due_ms, now, **fields)
            self.messages[message.id].cancelled = message.id in self.doomed


class TestPausedQueueHandedOut(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_a_paused_queue_hands_out_nothing",
        "test_pausing_does_not_touch_what_is_held",
        "test_a_pause_outlives_the_process",
    )

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            paused, self.paused = self.paused, set()
            try:
                return super().lease(queues, limit, lease_id, visibility_ms)
            finally:
                self.paused = paused


class TestPauseOfOneProcess(Seeded):
    caught_by = ("test_a_paused_queue_hands_out_nothing",)

    class Consumer(Seeded.Consumer):
        def __init__(self, store):
            super().__init__(store)
            self.first = not getattr(store, "seen", False)
            store.seen = True

        async def lease(self, queues, limit, **options):
            paused, self._store.paused = self._store.paused, set()
            queues = [each for each in queues if not self.first or each not in paused]
            try:
                return await super().lease(queues, limit, **options)
            finally:
                self._store.paused = paused


class TestPausePausesEverything(Seeded):
    caught_by = ("test_a_paused_queue_hands_out_nothing",)

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            return super().lease([] if self.paused else queues, limit, lease_id, visibility_ms)


class TestResumeOncePerPause(Seeded):
    caught_by = ("test_pausing_and_resuming_twice_is_once",)

    class Control(MemoryControl):
        async def resume(self, queue):
            self._driver.store.paused.remove(queue)


class TestResumeUnseen(Seeded):
    caught_by = ("test_a_waiting_lease_sees_a_queue_resumed",)

    class Control(MemoryControl):
        async def resume(self, queue):
            self._driver.store.paused.discard(queue)


class TestStatusOfWhatWasStored(Seeded):
    """The state is written when a message is stored or given back, and never looked at again."""

    caught_by = ("test_a_status_knows_what_is_due",)

    class Control(MemoryControl):
        async def status(self, ids):
            store = self._driver.store
            return [
                MessageState.DELAYED
                if state is MessageState.READY and store.messages[each].message.delay_ms
                else state
                for each, state in zip(ids, await super().status(ids), strict=True)
            ]


class TestStatusNotAligned(Seeded):
    caught_by = ("test_a_status_says_where_a_message_is",)

    class Control(MemoryControl):
        async def status(self, ids):
            return [state for state in await super().status(ids) if state is not None]


class TestStatusForgetsTheDead(Seeded):
    caught_by = ("test_a_status_knows_the_dead", "test_cancelling_leaves_the_dead_alone")

    class Control(MemoryControl):
        async def status(self, ids):
            return [
                None if state is MessageState.DEAD else state for state in await super().status(ids)
            ]


class TestQueuesThatWereProvisionedOnly(Seeded):
    caught_by = ("test_queues_are_listed", "test_a_queue_of_dead_letters_only_is_listed")

    class Control(MemoryControl):
        async def queues(self):
            return sorted(self._driver.store.provisioned)


class TestQueuesThatHoldSomethingOnly(Seeded):
    caught_by = ("test_queues_are_listed",)

    class Control(MemoryControl):
        async def queues(self):
            store = self._driver.store
            return sorted({stored.message.queue for stored in store.messages.values()})
