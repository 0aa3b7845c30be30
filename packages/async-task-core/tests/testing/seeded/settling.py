"""Bugs in ending and holding leases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from async_task.drivers.memory import MemoryConsumer
from async_task.drivers.memory_store import MemoryStore
from async_task.spi.messages import Ack, Extension, Message, Reject, Release, Retry
from seeding import Seeded


class TestSettleWithoutLeasePredicate(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_a_stale_lease_changes_nothing",
        "test_a_lease_id_of_somebody_else_changes_nothing",
        "test_another_process_cannot_end_a_lease_it_does_not_have",
        "test_a_stale_settlement_stores_no_result",
    )

    class Store(MemoryStore):
        def settle(self, settlements):
            now, stale = self.now_ms(), []
            for position, settlement in enumerate(settlements):
                stored = self.messages.get(settlement.lease.id)
                if stored is None or stored.lease is None:
                    stale.append(position)
                else:
                    self._end(stored, settlement, now)
            self.wake()
            return stale


class TestSettlesWhatNobodyHolds(Seeded):
    caught_by = (
        "test_a_message_that_waits_cannot_be_settled",
        "test_a_repeated_call_is_stale[Retry]",
        "test_a_repeated_call_is_stale[Release]",
    )

    class Store(MemoryStore):
        def _return(self, stored, delay_ms, now):
            lease = stored.lease
            super()._return(stored, delay_ms, now)
            stored.lease = lease


class TestStateReplacedWithoutFence(Seeded):
    caught_by = (
        "test_a_lease_id_of_somebody_else_changes_nothing[Retry]",
        "test_a_lease_id_of_somebody_else_changes_nothing[Release]",
        "test_a_message_that_waits_cannot_be_settled[Retry]",
        "test_a_message_that_waits_cannot_be_settled[Release]",
    )

    class Store(MemoryStore):
        def settle(self, settlements):
            for settlement in settlements:
                stored = self.messages.get(settlement.lease.id)
                if stored is not None and isinstance(settlement, Retry | Release):
                    stored.state = settlement.state
            return super().settle(settlements)


class TestStaleNotReported(Seeded):
    caught_by = (
        "test_a_repeated_call_is_stale",
        "test_a_stale_lease_changes_nothing",
        "test_stale_positions_are_reported_and_the_rest_is_done",
    )

    class Store(MemoryStore):
        def settle(self, settlements):
            super().settle(settlements)
            return []


class TestStaleStopsTheRest(Seeded):
    caught_by = ("test_stale_positions_are_reported_and_the_rest_is_done",)

    class Store(MemoryStore):
        def settle(self, settlements):
            stale = []
            for position, settlement in enumerate(settlements):
                if stale:
                    break
                stale += [position] * len(super().settle([settlement]))
            return stale


class TestRetryWithAGap(Seeded):
    caught_by = (
        "test_cancelling_a_settlement_at_any_await_loses_nothing",
        "test_cancelling_a_rejection_at_any_await_loses_nothing",
    )

    class Consumer(MemoryConsumer):
        async def settle(self, settlements):
            kept = {}
            for settlement in settlements:
                if not isinstance(settlement, Ack):
                    kept |= {settlement.lease.id: self._store.messages.pop(settlement.lease.id)}
            await asyncio.sleep(0)
            self._store.messages |= kept
            return await super().settle(settlements)


class TestRetryAsAckAndEnqueue(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_what_is_given_back_comes_again",
        "test_state_is_replaced_each_time",
        "test_cancelling_a_settlement_at_any_await_loses_nothing",
    )

    class Consumer(MemoryConsumer):
        async def settle(self, settlements):
            stale = []
            for position, settlement in enumerate(settlements):
                lease = settlement.lease
                if not isinstance(settlement, Retry | Release):
                    stale += [position] * len(await super().settle([settlement]))
                elif await super().settle([Ack(lease)]):
                    stale.append(position)
                else:
                    await asyncio.sleep(0)
                    copy = Message(lease.id, lease.queue, lease.body, lease.priority)
                    copy.delay_ms = settlement.delay_ms
                    self._store.enqueue([copy])
            return stale


class TestAckForgetsTheMessageFirst(Seeded):
    caught_by = ("test_cancelling_an_acknowledgement_keeps_message_and_result_together",)

    class Consumer(MemoryConsumer):
        async def settle(self, settlements):
            results = {}
            for settlement in settlements:
                if isinstance(settlement, Ack) and settlement.result is not None:
                    results[settlement.lease.id] = settlement.result
                    settlement = Ack(settlement.lease)
                await super().settle([settlement])
            await asyncio.sleep(0)
            for message_id, result in results.items():
                self._store.keep(message_id, result)
            return []


class TestAckKeepsTheMessage(Seeded):
    caught_by = ("test_an_acknowledged_message_is_gone", "test_one_call_takes_every_kind")

    class Store(MemoryStore):
        def settle(self, settlements):
            return super().settle(
                [Release(s.lease, 0, b"") if isinstance(s, Ack) else s for s in settlements]
            )


class TestDelayOfRetryIgnored(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_what_is_given_back_for_later_is_not_early",
        "test_what_is_given_back_for_later_is_not_handed_out_meanwhile",
    )

    class Store(MemoryStore):
        def _return(self, stored, delay_ms, now):
            super()._return(stored, 0, now)


class TestDelayRepeated(Seeded):
    caught_by = ("test_a_delay_of_its_own_is_not_repeated",)

    class Store(MemoryStore):
        def _return(self, stored, delay_ms, now):
            super()._return(stored, delay_ms + stored.message.delay_ms, now)


class TestDelayALittleEarly(Seeded):
    caught_by = (
        "test_a_delayed_message_is_not_early",
        "test_what_is_given_back_for_later_is_not_early",
    )

    class Store(MemoryStore):
        def _promote(self, queue, now):
            super()._promote(queue, now + 1)


class TestDelayIgnored(Seeded):
    caught_by = (
        "test_a_delayed_message_is_not_early",
        "test_a_delayed_message_is_not_handed_out_meanwhile",
        "test_priority_does_not_hurry_what_is_not_due",
        "test_any_length_of_delay_is_taken",
    )

    class Store(MemoryStore):
        def enqueue(self, messages):
            return super().enqueue([replace(message, delay_ms=0) for message in messages])


class TestDelayOverflows(Seeded):
    caught_by = ("test_any_length_of_delay_is_taken",)

    class Store(MemoryStore):
        def enqueue(self, messages):
            wrapped = [replace(each, delay_ms=each.delay_ms % (1 << 31)) for each in messages]
            if any(each.delay_ms >> 40 for each in messages):
                wrapped = [replace(each, delay_ms=0) for each in wrapped]
            return super().enqueue(wrapped)


class TestOneDelayedMessageBlocksTheRest(Seeded):
    caught_by = ("test_a_delayed_message_is_not_handed_out_meanwhile",)

    class Store(MemoryStore):
        def lease(self, queues, limit, lease_id, visibility_ms):
            waiting = [each for each in self.messages.values() if each.due_ms > self.now_ms()]
            return super().lease([] if waiting else queues, limit, lease_id, visibility_ms)


class TestNoRenewal(Seeded):
    caught_by = (
        "test_an_extended_lease_holds",
        "test_answers_are_aligned",
        "test_an_extension_counts_from_now",
        "test_a_keeper_learns_of_a_cancellation",
    )

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            current = [self._current(lease) for lease in leases]
            return [
                Extension.LOST
                if stored is None
                else Extension.CANCELLED
                if stored.cancelled
                else Extension.HELD
                for stored in current
            ]


class TestExtensionNeverShortens(Seeded):
    caught_by = ("test_an_extension_counts_from_now", "test_an_extended_lease_is_not_early_to_end")

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            return super().extend(leases, max(visibility_ms, 3_600_000))


class TestExtensionALittleShort(Seeded):
    caught_by = ("test_an_extended_lease_is_not_early_to_end",)

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            return super().extend(leases, visibility_ms - 1)


class TestExtendIgnoresTheFence(Seeded):
    caught_by = (
        "test_random_histories_agree_with_the_model",
        "test_a_lost_lease_is_called_lost",
        "test_extending_a_lost_lease_changes_nothing",
    )

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            current = [self.messages.get(lease.id) for lease in leases]
            held = [stored.lease if stored else None for stored in current]
            return super().extend(
                [mine or lease for mine, lease in zip(held, leases, strict=True)], visibility_ms
            )


class TestLostButExtended(Seeded):
    caught_by = ("test_extending_a_lost_lease_changes_nothing",)

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            for lease in leases:
                stored = self.messages.get(lease.id)
                if stored is not None and stored.lease is not None:
                    self._hold(stored, self.now_ms() + visibility_ms)
            return super().extend(leases, visibility_ms)


class TestExtendRevivesTheDone(Seeded):
    caught_by = ("test_an_ended_lease_is_called_lost", "test_answers_are_aligned")

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            answers = super().extend(leases, visibility_ms)
            lost = Extension.LOST
            return [
                Extension.HELD if answer is lost and lease.id not in self.messages else answer
                for lease, answer in zip(leases, answers, strict=True)
            ]


class TestExtendIsADelivery(Seeded):
    caught_by = ("test_extending_is_no_delivery",)

    class Store(MemoryStore):
        def _hold(self, stored, end):
            super()._hold(stored, end)
            stored.deliveries += stored.lease.deliveries == stored.deliveries


class TestAnswersNotAligned(Seeded):
    caught_by = ("test_answers_are_aligned",)

    class Store(MemoryStore):
        def extend(self, leases, visibility_ms):
            return sorted(super().extend(leases, visibility_ms), key=lambda answer: answer.value)


class TestRejectLosesTheMessage(Seeded):
    caught_by = (
        "test_a_rejected_message_is_kept_as_it_was",
        "test_a_dead_letter_is_not_handed_out",
        "test_cancelling_a_rejection_at_any_await_loses_nothing",
    )

    class Consumer(MemoryConsumer):
        async def settle(self, settlements):
            return await super().settle(
                [Ack(s.lease) if isinstance(s, Reject) else s for s in settlements]
            )
