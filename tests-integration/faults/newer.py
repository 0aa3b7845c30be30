"""What a newer version of the application has besides: a task that older workers do not know."""

from __future__ import annotations

from async_task import task

from faults.app import recorded


@task(name="faults.novelty")
async def novelty() -> None:
    with recorded():
        pass
