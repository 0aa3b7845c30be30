"""Delays of any length, from queues whose messages all wait equally long.

A rung is a queue with a fixed time to live that is twice that of the rung below. A message waits
on one rung for every bit that is set in its delay, longest first, and RabbitMQ moves it from one to
the next: the dead letters of a rung go to the exchange of the rung below. Which rungs it takes is
written into its routing key, one word for each bit, and last comes the queue it goes to:

    0.1.0.1.emails  ->  exchange of rung 3: rung 3 for `1.#`, exchange of rung 2 for `0.#`
                        exchange of rung 2: rung 2 for `*.1.#`, exchange of rung 1 for `*.0.#`
                        ...
                        below rung 0: the exchange that every queue is bound to, for `#.emails`

Nothing overtakes within a rung, so nobody waits for somebody else's longer delay; and no rung is
taken twice, which RabbitMQ would take for a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

UNIT_MS: Final = 125
"""What the lowest rung holds: an eighth of a second, so that a delay of seconds ends with a bit
set not far below, and takes few rungs."""
RUNGS: Final = 25
"""The highest holds 24 days; RabbitMQ takes 49 at most. A longer delay is another trip."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a message gets to its queue.

    Attributes:
        exchange: Where it is published.
        key: Its routing key.
        rungs: Those it waits on.
        top: The highest exchange it passes; -1 for none.
        rest_ms: What is left of its delay when it has come.
    """

    exchange: str
    key: str
    rungs: tuple[int, ...] = ()
    top: int = -1
    rest_ms: int = 0


class Ladder:
    """The rungs of one exchange.

    Args:
        exchange: What every queue is bound to.
        unit_ms: What the lowest rung holds; less for tests only.
        rungs: How many there are; fewer for tests only.
    """

    def __init__(self, exchange: str, unit_ms: int = UNIT_MS, rungs: int = RUNGS) -> None:
        self.exchange = exchange
        self._unit_ms = unit_ms
        self._rungs = rungs

    def route(self, name: str, delay_ms: int) -> Route:
        """Return the way to a queue that takes at least `delay_ms`, as far as one trip goes."""
        if delay_ms <= 0:
            return Route(self.exchange, name)
        units = ceil(delay_ms / self._unit_ms)
        trip = min(units, (1 << self._rungs) - 1)
        top = trip.bit_length() - 1
        bits = f"{trip:0{self._rungs}b}"
        rungs = tuple(rung for rung in range(top + 1) if trip >> rung & 1)
        rest_ms = (units - trip) * self._unit_ms
        return Route(self.below(top + 1), ".".join((*bits, name)), rungs, top, rest_ms)

    def below(self, rung: int) -> str:
        """Return the exchange that leads to the rungs below one."""
        return f"{self.exchange}.delay.{rung - 1:02}" if rung else self.exchange

    def queue(self, rung: int) -> str:
        """Return the name of a rung."""
        return f"{self.exchange}.delay.{self._unit_ms << rung}ms"

    def binding(self, rung: int, bit: int) -> str:
        """Return what a key matches in which the rung's bit is 0 or 1."""
        return ".".join((*("*" * (self._rungs - 1 - rung)), str(bit), "#"))

    def arguments(self, rung: int) -> dict[str, Any]:
        """Return the arguments of a rung.

        RabbitMQ lets go of a message only when the next queue has confirmed it; one that has
        nowhere to go stays.
        """
        return {
            "x-queue-type": "quorum",
            "x-message-ttl": self._unit_ms << rung,
            "x-dead-letter-exchange": self.below(rung),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
