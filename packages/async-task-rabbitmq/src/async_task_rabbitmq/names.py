"""What queues are called in RabbitMQ.

None of these names has a dot in it: a dot parts the words of a routing key, and the key of a
delayed message ends with the name of the queue it goes to.
"""

from __future__ import annotations

from async_task_rabbitmq.limits import PRIORITIES


class Names:
    """The names of one namespace.

    The characters that join the parts occur in no part, so that two different queues never share
    a name.

    Args:
        namespace: Empty for none.
    """

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace}:" if namespace else ""

    def level(self, queue: str, priority: int) -> str:
        """Return the name of the queue that holds one priority level."""
        return f"{self._prefix}{queue}" + (f"@{priority}" if priority else "")

    def levels(self, queue: str) -> list[str]:
        """Return the names of all levels, most urgent first."""
        return [self.level(queue, each) for each in reversed(range(PRIORITIES))]

    def dead(self, queue: str) -> str:
        """Return the name of the queue of its dead letters."""
        return f"{self._prefix}{queue}@dead"

    def all(self, queue: str) -> list[str]:
        """Return all names that belong to a queue."""
        return [*self.levels(queue), self.dead(queue)]
