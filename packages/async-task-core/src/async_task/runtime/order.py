"""In which order a worker looks at its queues: strictly, or sharing by weight."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class StrictOrder:
    """The order given, always: a queue is served when all before it are empty."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = tuple(queues)

    def next(self) -> tuple[str, ...]:
        """Return the queues, most urgent first."""
        return self._queues

    def served(self, queues: Iterable[str]) -> None:
        """Note which queues leased messages came from, one entry each."""


class WeightedOrder:
    """Shares in proportion to weights while all queues have work; an idle queue saves nothing up.

    Stride scheduling: each queue has a pass that grows by 1/weight per message, and the queue with
    the lowest pass goes first. A queue that turns out empty is moved up to the pass of the queue
    served in its place, so that it cannot claim later what it did not need now.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = dict(weights)
        self._passes = dict.fromkeys(weights, 0.0)
        self._asked: tuple[str, ...] = tuple(weights)

    def next(self) -> tuple[str, ...]:
        """Return the queues, the one furthest behind its share first."""
        self._asked = tuple(sorted(self._passes, key=self._passes.__getitem__))
        return self._asked

    def served(self, queues: Iterable[str]) -> None:
        """Note which queues leased messages came from, one entry each."""
        counts = Counter(queues)
        for queue, count in counts.items():
            self._passes[queue] += count / self._weights[queue]
        last = max((self._asked.index(queue) for queue in counts), default=len(self._asked) - 1)
        reached = self._passes[self._asked[last]]
        for queue in self._asked[:last]:  # these were empty when the last one was served
            self._passes[queue] = max(self._passes[queue], reached)
