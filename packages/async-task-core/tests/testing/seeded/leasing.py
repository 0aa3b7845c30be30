"""Bugs in taking messages."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from async_task.drivers.memory import MemoryConsumer
from async_task.drivers.memory_store import MemoryStore
from async_task.drivers.memory_waiter import LoopWaiter
from seeding import Seeded, SeededDriver


class TestOneMoreThanAsked(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_the_limit_is_never_exceeded",
        "test_what_was_not_asked_for_stays_for_others",
    )

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            return super().lease(queues, limit + 1, lease_id, visibility_ms)


class TestLimitPerQueue(Seeded):
    caught_by = ("test_the_limit_is_never_exceeded",)

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            leases, change_ms = [], None
            for queue in queues:
                more, change_ms = super().lease([queue], limit, lease_id, visibility_ms)
                leases += more
            return leases, change_ms


class TestQueuesInAnotherOrder(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_queues_are_tried_in_the_order_given",
        "test_the_order_of_queues_comes_before_priority",
    )

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            return super().lease(queues[::-1], limit, lease_id, visibility_ms)


class TestOneQueueForAll(Seeded):
    caught_by = ("test_queues_are_apart", "test_only_the_queues_asked_for_are_tried")

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            return super().lease([*queues, "high", "low"], limit, lease_id, visibility_ms)


class TestPriorityIgnored(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_higher_priority_comes_first",
        "test_every_level_is_a_level",
        "test_priority_survives_being_given_back",
        "test_priority_counts_once_it_is_due",
    )

    class Store(MemoryStore):
        def _place(self, stored, now):
            message = stored.message
            stored.message = replace(message, priority=0)
            super()._place(stored, now)
            stored.message = message


class TestTwoLevelsOnly(Seeded):
    caught_by = ("test_every_level_is_a_level",)

    class Store(MemoryStore):
        def _place(self, stored, now):
            message = stored.message
            stored.message = replace(message, priority=min(message.priority, 1))
            super()._place(stored, now)
            stored.message = message


class TestLastInFirstOut(Seeded):
    caught_by = ("test_messages_come_in_order_of_arrival", "test_equal_priorities_keep_their_order")

    class Store(MemoryStore):
        def _place(self, stored, now):
            stored.arrival = -abs(stored.arrival)
            super()._place(stored, now)


class TestOrderOfIds(Seeded):
    caught_by = ("test_messages_come_in_order_of_arrival",)

    class Store(MemoryStore):
        def _place(self, stored, now):
            stored.arrival = int.from_bytes(stored.message.id, "big")
            super()._place(stored, now)


class TestArrivalBeforeDue(Seeded):
    caught_by = ("test_what_is_due_earlier_comes_first",)

    class Store(MemoryStore):
        def _place(self, stored, now):
            due_ms = stored.due_ms
            stored.due_ms = due_ms if due_ms > now else 0
            super()._place(stored, now)
            stored.due_ms = due_ms


class TestHandedOutTwice(Seeded):
    caught_by = (
        "test_a_leased_message_is_nobody_elses",
        "test_no_message_is_handed_out_twice",
        "test_one_message_answers_one_of_many_waiting",
        "test_leaving_a_consumer_gives_nothing_back",
    )

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, **options):
            leases = await super().lease(queues, limit, **options)
            with self._store.lock:
                for lease in leases:
                    self._store._place(self._store.messages[lease.id], self._store.now_ms())
            return leases


class TestDoesNotWait(Seeded):
    caught_by = (
        "test_a_waiting_lease_sees_a_new_message",
        "test_a_lease_waits_on_all_its_queues",
        "test_a_lease_after_an_interruption_waits_as_usual",
    )

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, *, wait_ms, **options):
            return await super().lease(queues, limit, wait_ms=0, **options)


class TestWaitsForTheLimit(Seeded):
    caught_by = ("test_one_message_is_reason_enough_to_return",)

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, *, wait_ms, **options):
            leases = [*await super().lease(queues, limit, wait_ms=wait_ms, **options)]
            if leases and len(leases) < limit:
                leases += await super().lease(
                    queues, limit - len(leases), wait_ms=wait_ms, **options
                )
            return leases


class TestWaitsOnTheFirstQueueOnly(Seeded):
    caught_by = ("test_a_lease_waits_on_all_its_queues",)

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, *, wait_ms, **options):
            leases = await super().lease(queues, limit, wait_ms=0, **options)
            return leases or await super().lease(queues[:1], limit, wait_ms=wait_ms, **options)


class TestNothingWakes(Seeded):
    caught_by = (
        "test_a_waiting_lease_sees_a_new_message",
        "test_a_waiting_lease_sees_a_message_of_another_process",
        "test_a_waiting_lease_sees_what_is_given_back",
        "test_a_waiting_lease_sees_a_message_become_due",
        "test_a_waiting_lease_sees_a_lease_expire",
        "test_a_waiting_lease_sees_a_queue_resumed",
        "test_a_waiting_lease_sees_a_dead_letter_return",
        "test_waiting_ends_with_the_first_result",
    )

    class Store(MemoryStore):
        def wake(self):
            pass


class TestInterruptIgnored(Seeded):
    caught_by = ("test_interrupting_ends_a_wait",)

    class Consumer(MemoryConsumer):
        def interrupt(self):
            pass


class TestInterruptEndsOneWaitOnly(Seeded):
    caught_by = ("test_interrupting_ends_a_wait",)

    class Consumer(MemoryConsumer):
        def interrupt(self):
            for waiter in [*self._waiting][:1]:
                waiter.interrupt()


class TestInterruptLasts(Seeded):
    caught_by = ("test_a_lease_after_an_interruption_waits_as_usual",)

    class Consumer(MemoryConsumer):
        interrupted = False

        def interrupt(self):
            self.interrupted = True
            super().interrupt()

        async def lease(self, queues, limit, *, wait_ms, **options):
            wait_ms = 0 if self.interrupted else wait_ms
            return await super().lease(queues, limit, wait_ms=wait_ms, **options)


class TestInterruptReachesEveryConsumer(Seeded):
    caught_by = ("test_interrupting_is_for_one_consumer",)

    class Consumer(MemoryConsumer):
        def interrupt(self):
            for waiter in self._store._waiters:
                waiter.interrupt()


class TestCancelledLeaseLosesMessages(Seeded):
    """Messages are taken before the call can still be cancelled, and not under a lease yet."""

    caught_by = (
        "test_cancelling_a_lease_at_any_await_loses_nothing",
        "test_cancelling_a_waiting_lease_loses_nothing",
    )

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, *, visibility_ms, **options):
            leases = await super().lease(queues, limit, visibility_ms=10**12, **options)
            await asyncio.sleep(0)
            self._store.extend(leases, visibility_ms)
            return leases


class TestCancelledLeaseBreaksTheConsumer(Seeded):
    caught_by = ("test_cancelling_a_waiting_lease_loses_nothing",)

    class Consumer(MemoryConsumer):
        broken = False

        async def lease(self, queues, limit, **options):
            if self.broken:
                return []
            try:
                return await super().lease(queues, limit, **options)
            except asyncio.CancelledError:
                self.broken = True
                raise


class TestLeavingReleases(Seeded):
    caught_by = ("test_leaving_a_consumer_gives_nothing_back",)

    class Driver(SeededDriver):
        def consumer(self, options):
            return Releasing(super().consumer(options), self)


class Releasing:
    def __init__(self, opening, driver):
        self.opening, self.driver = opening, driver

    async def __aenter__(self):
        return await self.opening.__aenter__()

    async def __aexit__(self, *error):
        store = self.driver.store
        for stored in [*store.messages.values()]:
            if stored.lease is not None:
                store._return(stored, 0, store.now_ms())
        await self.opening.__aexit__(*error)


class TestRecoverCountsADelivery(Seeded):
    caught_by = ("test_recovering_changes_nothing", "test_what_a_lease_id_took_can_be_read_again")

    class Store(MemoryStore):
        def recover(self, lease_id):
            leases = []
            for lease in super().recover(lease_id):
                stored = self.messages[lease.id]
                stored.deliveries += 1
                stored.lease = replace(lease, deliveries=stored.deliveries)
                leases.append(stored.lease)
            return leases


class TestRecoverHoldsForLonger(Seeded):
    caught_by = ("test_recovering_changes_nothing",)

    class Store(MemoryStore):
        def recover(self, lease_id):
            leases = super().recover(lease_id)
            self.extend(leases, 10**9)
            return leases


class TestRecoverTakesAnything(Seeded):
    caught_by = ("test_an_unknown_lease_id_took_nothing",)

    class Store(MemoryStore):
        def recover(self, lease_id):
            return super().recover(lease_id) or self.lease(["high"], 1, lease_id, 10**9)[0]


class TestRecoverForgets(Seeded):
    caught_by = ("test_what_a_lease_id_took_can_be_read_again",)

    class Store(MemoryStore):
        def recover(self, lease_id):
            return []


class TestRecoverRemembersTheSettled(Seeded):
    caught_by = ("test_what_was_settled_is_not_recovered", "test_recovering_changes_nothing")

    class Consumer(MemoryConsumer):
        def __init__(self, store):
            super().__init__(store)
            self.taken = {}

        async def lease(self, queues, limit, *, lease_id, **options):
            leases = await super().lease(queues, limit, lease_id=lease_id, **options)
            self.taken[lease_id] = leases
            return leases

        async def recover(self, lease_id):
            return self.taken.get(lease_id, [])


class TestKeeperBoundToALoop(Seeded):
    caught_by = ("test_a_keeper_works_in_a_thread_of_its_own",)

    class Keeper(Seeded.Keeper):
        async def extend(self, leases, visibility_ms):
            store = self._store
            store.home = getattr(store, "home", None) or asyncio.get_running_loop()
            if store.home is not asyncio.get_running_loop():
                raise RuntimeError("attached to a different loop")
            return await super().extend(leases, visibility_ms)

    class Consumer(MemoryConsumer):
        async def lease(self, queues, limit, **options):
            self._store.home = asyncio.get_running_loop()
            return await super().lease(queues, limit, **options)


class TestCloseWaitsForWhoWaits(Seeded):
    caught_by = ("test_closing_does_not_wait_for_who_waits",)

    class Driver(SeededDriver):
        async def close(self):
            while self._store is not None and self._store._waiters:
                await LoopWaiter().until(self._store, lambda: ([], 1000), 10**6)
            await super().close()
