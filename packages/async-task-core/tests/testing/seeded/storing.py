"""Bugs in storing, reclaiming, counting and opening."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from async_task.drivers import memory_store
from async_task.drivers.memory import MemoryConsumer
from async_task.drivers.memory_store import MemoryStore
from async_task.spi.capabilities import Facet
from async_task.spi.errors import DriverError, EnqueueError, MessageTooLargeError
from seeding import Seeded, SeededDriver


class TestEnqueueNotIdempotent(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_storing_twice_stores_once",
        "test_only_duplicates_are_named",
        "test_a_duplicate_within_one_batch_is_named",
        "test_a_leased_message_is_unfinished",
        "test_a_dead_letter_is_unfinished",
        "test_one_of_many_concurrent_copies_is_stored",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            for message in messages:
                self.messages.pop(message.id, None)
                self.dead.pop(message.id, None)
                super().enqueue([message])
            return []


class TestDuplicateReplaces(Seeded):
    caught_by = ("test_a_duplicate_changes_nothing",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            duplicates = super().enqueue(messages)
            for position in duplicates:
                if messages[position].id in self.messages:
                    self.messages[messages[position].id].message = messages[position]
            return duplicates


class TestDuplicatesNotReported(Seeded):
    caught_by = (
        "test_storing_twice_stores_once",
        "test_only_duplicates_are_named",
        "test_a_duplicate_within_one_batch_is_named",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            super().enqueue(messages)
            return []


class TestDuplicateWithinABatchUnseen(Seeded):
    caught_by = ("test_a_duplicate_within_one_batch_is_named",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            before = {message.id for message in messages if message.id in self.messages}
            return [
                position
                for position in super().enqueue(messages)
                if messages[position].id in before or messages[position].id in self.dead
            ]


class TestDuplicateFailsTheBatch(Seeded):
    caught_by = ("test_only_duplicates_are_named",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            if any(message.id in self.messages for message in messages):
                return [*range(len(messages))]
            return super().enqueue(messages)


class TestTheDeadMayBeStoredAgain(Seeded):
    caught_by = ("test_a_dead_letter_is_unfinished",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            dead, self.dead = self.dead, {}
            try:
                return super().enqueue(messages)
            finally:
                self.dead = dead


class TestFinishedIdsAreRemembered(Seeded):
    caught_by = (
        "test_a_finished_message_may_come_again",
        "test_a_cancelled_message_may_be_stored_anew",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            self.seen = getattr(self, "seen", set())
            new = [message for message in messages if message.id not in self.seen]
            self.seen.update(message.id for message in messages)
            super().enqueue(new)
            return [at for at, message in enumerate(messages) if message not in new]


class TestBodyTouched(Seeded):
    caught_by = ("test_a_stored_message_is_handed_out_as_it_was",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            return super().enqueue([replace(m, body=m.body.strip(b"\0")) for m in messages])


class TestIdsAreText(Seeded):
    caught_by = ("test_any_sixteen_bytes_are_an_id",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            lossy = [each.id.decode("ascii", "ignore").encode() for each in messages]
            known = [len(each) == 16 or each for each in lossy]
            return super().enqueue(
                [
                    each if known[at] is True else replace(each, id=each.id.rstrip(b"\x80\xff\0"))
                    for at, each in enumerate(messages)
                ]
            )


class TestNamespaceIgnored(Seeded):
    caught_by = ("test_namespaces_are_apart",)

    class Driver(SeededDriver):
        async def open(self):
            self._key = ("shared", str(self._now_ms.__closure__ and id(self.bug)))
            await super().open()


class TestEveryProcessItsOwnStore(Seeded):
    caught_by = (
        "test_stored_means_visible_to_everybody",
        "test_stored_means_durable",
        "test_another_process_takes_over",
        "test_cancelling_is_seen_by_every_process",
    )

    class Driver(SeededDriver):
        async def open(self):
            self._key = (self._key[0], str(id(self)))
            await super().open()


class TestClosingForgets(Seeded):
    caught_by = (
        "test_stored_means_durable",
        "test_opening_and_closing_may_be_repeated",
        "test_a_pause_outlives_the_process",
    )

    class Driver(SeededDriver):
        async def close(self):
            if self._store is not None:
                self._store.messages.clear()
                self._store.paused.clear()
            await super().close()


class TestSecondCloseFails(Seeded):
    caught_by = (
        "test_opening_and_closing_may_be_repeated",
        "test_closing_what_was_never_opened_is_harmless",
    )

    class Driver(SeededDriver):
        async def close(self):
            if self._store is None:
                raise DriverError("not open")
            await super().close()


class TestBatchOfAThousandAtMost(Seeded):
    caught_by = ("test_without_a_limit_any_batch_is_taken",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            if len(messages) > 1000:
                raise DriverError("too many bind parameters")
            return super().enqueue(messages)


class TestLimitsNotReached(Seeded):
    capabilities = replace(Seeded.capabilities, max_batch=10, max_body=1000, max_visibility_ms=1000)
    caught_by = (
        "test_the_largest_batch_is_taken",
        "test_the_largest_body_is_taken",
        "test_the_longest_lease_is_taken",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            if len(messages) >= 10 or any(len(each.body) >= 1000 for each in messages):
                raise DriverError("too large")
            return super().enqueue(messages)

        def lease(self, queues, limit, lease_id, visibility_ms):
            if visibility_ms == 1000:
                raise DriverError("too long")
            return super().lease(queues, limit, lease_id, visibility_ms)


class TestLargeBodiesCut(Seeded):
    capabilities = replace(Seeded.capabilities, max_body=1000)
    caught_by = (
        "test_a_body_that_is_too_large_is_refused",
        "test_a_refusal_names_what_was_not_stored",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            return super().enqueue([replace(each, body=each.body[:1000]) for each in messages])


class TestWrongPositionRefused(Seeded):
    capabilities = replace(Seeded.capabilities, max_body=1000)
    caught_by = ("test_a_refusal_names_what_was_not_stored",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            small = [each for each in messages if len(each.body) <= 1000]
            duplicates = super().enqueue(small)
            if len(small) < len(messages):
                raise EnqueueError("one is too large", {0: MessageTooLargeError("too large")})
            return duplicates


class TestExpiryNotFlagged(Seeded):
    caught_by = (
        "test_what_comes_too_late_is_handed_out_and_says_so",
        "test_the_flag_tells_of_the_time_of_handing_out",
        "test_expiry_counts_from_storing",
    )

    class Store(MemoryStore):
        def add(self, message, due_ms, now, **fields):
            super().add(message, due_ms, now, **fields | {"expires_at_ms": None})


class TestExpiredDropped(Seeded):
    caught_by = ("test_what_comes_too_late_is_handed_out_and_says_so",)

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            for message_id, stored in [*self.messages.items()]:
                if stored.expires_at_ms is not None and stored.expires_at_ms < self.now_ms():
                    del self.messages[message_id]
            return super().lease(queues, limit, lease_id, visibility_ms)


class TestExpiryCountsFromDue(Seeded):
    caught_by = ("test_expiry_counts_from_storing",)

    class Store(MemoryStore):
        def add(self, message, due_ms, now, *, expires_at_ms=None, state=b""):
            if expires_at_ms is not None:
                expires_at_ms += message.delay_ms
            super().add(message, due_ms, now, expires_at_ms=expires_at_ms, state=state)


class TestExpiredFromTheStart(Seeded):
    caught_by = ("test_what_comes_in_time_is_not_expired",)

    class Store(MemoryStore):
        def add(self, message, due_ms, now, **fields):
            super().add(message, due_ms, now, **fields | {"expires_at_ms": 0})


class TestCrashNotCounted(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_an_expired_lease_is_handed_out_again",
        "test_a_crash_is_counted_once",
        "test_what_crashed_together_comes_back_apart",
    )

    class Store(MemoryStore):
        def _reclaim(self, now):
            crashes = {each: stored.crashes for each, stored in self.messages.items()}
            super()._reclaim(now)
            for each, stored in self.messages.items():
                stored.crashes = crashes[each]


class TestCrashCountedForEveryReturn(Seeded):
    caught_by = ("test_giving_back_is_no_crash", "test_what_is_given_back_comes_again")

    class Store(MemoryStore):
        def _end(self, stored, settlement, now):
            stored.crashes += 1
            super()._end(stored, settlement, now)


class TestCrashCountedByEveryWorker(Seeded):
    caught_by = ("test_a_crash_is_counted_once",)

    class Driver(SeededDriver):
        async def maintain(self):
            now = self.store.now_ms()
            expired = [each for end, _, each in self.store._held if end <= now]
            await asyncio.sleep(0)
            for each in expired:
                self.store.messages[each].crashes += 1
            await super().maintain()
            for each in expired:
                self.store.messages[each].crashes -= self.store.messages[each].lease is None


class TestReclaimNever(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_an_expired_lease_is_handed_out_again",
        "test_a_lease_holds_for_all_of_its_time",
        "test_maintain_reclaims",
        "test_a_waiting_lease_sees_a_lease_expire",
    )

    class Store(MemoryStore):
        def _reclaim(self, now):
            pass


class TestReclaimInMaintainOnly(Seeded):
    caught_by = ("test_an_expired_lease_is_handed_out_again", "test_another_process_takes_over")

    class Store(MemoryStore):
        maintaining = False

        def maintain(self):
            self.maintaining = True
            super().maintain()
            self.maintaining = False

        def _reclaim(self, now):
            if self.maintaining:
                super()._reclaim(now)


class TestReclaimNotInMaintain(Seeded):
    caught_by = ("test_maintain_reclaims",)

    class Store(MemoryStore):
        def maintain(self):
            reclaim, self._reclaim = self._reclaim, lambda now: None
            super().maintain()
            self._reclaim = reclaim


class TestReclaimWithoutBackOff(Seeded):
    caught_by = ("test_what_crashed_together_comes_back_apart",)

    class Store(MemoryStore):
        def _reclaim(self, now):
            super()._reclaim(now)
            for stored in self.messages.values():
                if stored.lease is None and stored.crashes:
                    stored.due_ms = now
                    self._place(stored, now)


class TestReclaimTooLate(Seeded):
    caught_by = (
        "test_what_crashed_together_comes_back_apart",
        "test_the_wait_after_a_crash_is_bounded",
    )

    class Store(MemoryStore):
        def _reclaim(self, now):
            usual = memory_store.reclaim_delay_ms
            memory_store.reclaim_delay_ms = lambda crashes: (crashes > 1) * 90_000
            super()._reclaim(now)
            memory_store.reclaim_delay_ms = usual


class TestLeasesEndALittleEarly(Seeded):
    caught_by = ("test_a_lease_holds_for_all_of_its_time",)

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            return super().lease(queues, limit, lease_id, visibility_ms - 1)


class TestReclaimLosesState(Seeded):
    caught_by = ("test_an_expired_lease_is_handed_out_again",)

    class Store(MemoryStore):
        def _reclaim(self, now):
            for stored in self.messages.values():
                if stored.lease is not None and self._held and self._held[0][0] <= now:
                    stored.state = b""
            super()._reclaim(now)


class TestMaintainTakesWhatIsHeld(Seeded):
    caught_by = ("test_maintaining_does_not_touch_what_is_held", "test_an_extended_lease_holds")

    class Store(MemoryStore):
        def maintain(self):
            self._reclaim(10**15)


class TestPurgeTouchesTheLeased(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_purging_leaves_what_is_held",
    )

    class Store(MemoryStore):
        def purge(self, queue):
            doomed = [k for k, each in self.messages.items() if each.message.queue == queue]
            return len([self.messages.pop(each) for each in doomed])


class TestPurgeForgetsTheDelayed(Seeded):
    caught_by = ("test_purging_deletes_what_is_delayed",)

    class Store(MemoryStore):
        def purge(self, queue):
            later = {k: v for k, v in self.messages.items() if v.due_ms > self.now_ms()}
            number = super().purge(queue)
            self.messages |= later
            return number


class TestPurgeEmptiesEveryQueue(Seeded):
    caught_by = ("test_purging_deletes_what_is_ready",)

    class Store(MemoryStore):
        def purge(self, queue):
            return super().purge("high") + super().purge("low")


class TestPurgeTouchesTheDead(Seeded):
    caught_by = ("test_purging_leaves_the_dead",)

    class Store(MemoryStore):
        def purge(self, queue):
            self.dead.clear()
            return super().purge(queue)


class TestCountsMixedUp(Seeded):
    caught_by = (
        "test_ready_and_leased_messages_are_counted",
        "test_delayed_messages_are_counted_apart",
        "test_dead_letters_are_counted",
        "test_the_oldest_message_tells_its_age",
    )

    class Store(MemoryStore):
        def stats(self, queue):
            stats = super().stats(queue)
            every = stats.ready + stats.delayed + stats.leased + stats.dead
            return replace(stats, ready=every, oldest_ready_ms=0)


class TestCountsNotAligned(Seeded):
    caught_by = ("test_counts_are_aligned_with_the_queues",)

    class Driver(SeededDriver):
        async def stats(self, queues):
            return await super().stats(sorted(queues))


class TestUndeclaredFacet(Seeded):
    capabilities = replace(Seeded.capabilities, facets=frozenset({Facet.RESULTS}))
    caught_by = ("test_facets_are_there_exactly_if_declared",)


class TestDeclaredFacetMissing(Seeded):
    caught_by = ("test_facets_are_there_exactly_if_declared",)
    Control = staticmethod(lambda driver: None)


class TestOffersLessThanDeclared(Seeded):
    caught_by = (
        "test_a_new_driver_offers_what_its_plugin_declares",
        "test_an_open_driver_offers_no_less",
    )

    class Driver(SeededDriver):
        @property
        def capabilities(self):
            return replace(super().capabilities, priorities=2, max_batch=10)


class TestUndeclaredRecoverFindsNothing(Seeded):
    capabilities = replace(Seeded.capabilities, recoverable_lease=False)
    caught_by = ("test_recovering_undeclared_is_refused",)

    class Consumer(MemoryConsumer):
        async def recover(self, lease_id):
            return []


class TestCallNeverReturns(Seeded):
    caught_by = ("test_a_ping_succeeds",)

    class Driver(SeededDriver):
        async def ping(self):
            await asyncio.Event().wait()


class TestBrokenAfterACancellation(Seeded):
    caught_by = ("test_a_cancelled_call_leaves_the_driver_usable",)

    class Driver(SeededDriver):
        broken = False

        async def ping(self):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.broken = True
                raise

        async def enqueue(self, messages):
            if self.broken:
                raise DriverError("the connection is in an unknown state")
            return await super().enqueue(messages)


class TestOneCallAtATime(Seeded):
    caught_by = ("test_all_methods_may_run_at_once",)

    class Driver(SeededDriver):
        busy = False

        async def maintain(self):
            if self.busy:
                raise DriverError("another call is in progress")
            self.busy = True
            await asyncio.sleep(0)
            self.busy = False
            await super().maintain()


class TestProvisioningEmpties(Seeded):
    caught_by = ("test_queues_may_be_provisioned_again",)

    class Driver(SeededDriver):
        async def provision(self, queues):
            await super().provision(queues)
            for queue in queues:
                self.store.purge(queue)
