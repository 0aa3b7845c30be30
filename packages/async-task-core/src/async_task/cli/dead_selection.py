"""Choosing dead letters on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from async_task.cli.options import check_queues
from async_task.core.reasons import DeadReason

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Sequence

    from async_task.core.dead_letters import DeadTask
    from async_task.core.queue_driver import QueueDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters: of these queues (none: all), and what else must hold."""

    ids: tuple[uuid.UUID, ...] = ()
    queues: tuple[str, ...] = ()
    task: str | None = None
    reason: str | None = None
    limit: int | None = None

    def __bool__(self) -> bool:
        return self != Selection()

    async def within(self, driver: QueueDriver) -> Sequence[str]:
        """Return the names of the queues to look at."""
        return self.queues or await driver.queues()

    async def browse(self, driver: QueueDriver, queue: str, limit: int) -> list[DeadTask]:
        """Read at most `limit` that match, of one queue."""
        return await driver.dead_letters.browse(
            queue, limit=limit, task=self.task, reason=self.reason
        )

    async def ids_by_queue(self, driver: QueueDriver) -> dict[str, list[str] | None]:
        """Return the ids meant in each queue; None where it is all that match.

        Raises:
            ClickException: Some of the ids named are not there.
        """
        queues = await self.within(driver)
        if self.ids:
            return await self._found(driver, queues)
        if self.limit is None:
            return dict.fromkeys(queues)
        chosen: dict[str, list[str] | None] = {}
        left = self.limit
        for queue in queues:
            if left:
                ids = [task.id for task in await self.browse(driver, queue, left)]
                chosen[queue] = ids
                left -= len(ids)
        return chosen

    async def _found(
        self, driver: QueueDriver, queues: Sequence[str]
    ) -> dict[str, list[str] | None]:
        missing = {str(task_id) for task_id in self.ids}
        chosen: dict[str, list[str] | None] = {}
        for queue in queues:
            here = [i for i in missing if await driver.dead_letters.get(queue, i) is not None]
            missing.difference_update(here)
            chosen[queue] = here
        if missing:
            raise click.ClickException(
                f"no such dead letter in {', '.join(queues) or 'any queue'}:"
                f" {', '.join(sorted(missing))}; nothing was changed"
            )
        return chosen


def selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that make a `Selection`."""
    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many."),
        click.option(
            "--reason", type=click.Choice([r.value for r in DeadReason]), help="For this reason."
        ),
        click.option("--task", metavar="NAME", help="Only of this task."),
        click.option(
            "--queue",
            "queues",
            multiple=True,
            callback=check_queues,
            metavar="NAME",
            help="Only of this queue; may be repeated.  [default: all]",
        ),
    ):
        function = option(function)
    return function
