"""The arguments of `settle.lua`, collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Ack, Reject

from async_task_redis.leases import member_of
from async_task_redis.scripts import SETTLE

if TYPE_CHECKING:
    from async_task.spi.messages import Settlement, StoredResult

    from async_task_redis.keys import Keys
    from async_task_redis.scripts import Argument
    from async_task_redis.wire import Command


class Ending:
    """How leases of one queue end.

    Args:
        all_keys: Those of the namespace.
        queue: The queue's name.
    """

    def __init__(self, all_keys: Keys, queue: str) -> None:
        self.keys = all_keys[queue]
        self._all_keys = all_keys
        self._acknowledged: dict[bytes, int] = {}  # member of `leased` -> position
        self._others: dict[bytes, int] = {}
        self._kinds: list[Argument] = []
        self._results: list[tuple[bytes, bytes, StoredResult]] = []  # member, id, result

    def add(self, position: int, settlement: Settlement) -> bool:
        """Take one more; false if its lease is there already."""
        member = member_of(settlement.lease)
        if member in self._acknowledged or member in self._others:
            return False
        result = None
        if isinstance(settlement, Ack):
            self._acknowledged[member] = position
            result = settlement.result
        else:
            self._others[member] = position
            if isinstance(settlement, Reject):
                self._kinds += ("dead", settlement.reason, settlement.state)
                result = settlement.result
            else:
                self._kinds += ("back", settlement.delay_ms, settlement.state)
        if result is not None:
            self._results.append((member, settlement.lease.id, result))
        return True

    @property
    def positions(self) -> list[int]:
        """Where each member of the call was, in its order."""
        return [*self._acknowledged.values(), *self._others.values()]

    def call(self) -> Command:
        """Return the call of the script."""
        members = [*self._acknowledged, *self._others]
        arguments: list[Argument] = [len(members), len(self._acknowledged), *members, *self._kinds]
        if not self._results:
            return SETTLE.call(self.keys.settling, arguments)
        numbers = {member: number for number, member in enumerate(members, 1)}
        keys = [*self.keys.settling]
        for member, message, result in self._results:
            keys.append(self.keys.result(message))
            channel = self._all_keys.channel(message)
            arguments += (numbers[member], max(1, result.ttl_ms), result.body, channel)
        return SETTLE.call(keys, arguments)
