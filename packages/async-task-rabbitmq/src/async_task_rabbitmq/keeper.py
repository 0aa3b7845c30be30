"""Extending leases, which costs no message to RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.messages import Extension

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from async_task.spi.messages import Lease

    from async_task_rabbitmq.consumer import RabbitmqConsumer
    from async_task_rabbitmq.thread import IoThread


class RabbitmqKeeper:
    """The `LeaseKeeper` of this driver, for any loop.

    A lease holds as long as its channel is open and whoever extends it goes on doing so. Its
    answers are what the I/O thread knows: it notices a closed channel by itself, a server that is
    silent by its missing heartbeats.

    Args:
        io: Where the consumers live.
        consumers: Those of the driver.
    """

    def __init__(self, io: IoThread, consumers: Collection[RabbitmqConsumer]) -> None:
        self._io = io
        self._consumers = consumers

    async def extend(self, leases: Sequence[Lease], visibility_ms: int) -> Sequence[Extension]:
        """Let leases hold for longer; see `LeaseKeeper.extend`."""

        async def extend() -> list[Extension]:
            return [self._extend(lease, visibility_ms) for lease in leases]

        return await self._io.run(extend())

    def _extend(self, lease: Lease, visibility_ms: int) -> Extension:
        held = any(consumer.extend(lease, visibility_ms) for consumer in [*self._consumers])
        return Extension.HELD if held else Extension.LOST
