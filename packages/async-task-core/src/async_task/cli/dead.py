"""`async-task dead`: what was given up on."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from async_task.cli.dead_selection import Selection, selecting
from async_task.cli.dead_view import details, print_details, summary
from async_task.cli.options import BackendCommand, check_queues, json_option
from async_task.cli.output import instant, print_json, print_table
from async_task.cli.suggesting import SuggestingGroup

if TYPE_CHECKING:
    import uuid

    from async_task.cli.backend import Backend
    from async_task.core.dead_letters import DeadTask
    from async_task.core.queue_driver import QueueDriver


_ids = click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]...")
_everything = click.option("--all", "everything", is_flag=True, help="All there are.")


@click.group(cls=SuggestingGroup)
def command() -> None:
    """List, show, requeue or purge dead letters: tasks that were given up on."""


@command.command("list", cls=BackendCommand, short_help="List dead letters.")
@selecting
@json_option
def list_(backend: Backend, as_json: bool, limit: int | None, **filters: Any) -> None:
    """List dead letters, oldest dispatch first; 100 of them unless --limit says."""
    selection = Selection(limit=limit or 100, **filters)
    found = asyncio.run(_listed(backend.driver(), selection))
    if as_json:
        print_json([summary(task) for task in found])
    elif found:
        rows = [(t, summary(t)) for t in found]
        print_table(
            ["id", "queue", "task", "reason", "failures", "died", "error"],
            [
                (t.id, t.queue, t.task, t.reason, t.failures, instant(t.died_at), s["error"])
                for t, s in rows
            ],
        )
    else:
        click.echo("there are no such dead letters" if selection.queues else "there are none")


async def _listed(driver: QueueDriver, selection: Selection) -> list[DeadTask]:
    found: list[DeadTask] = []
    async with driver:
        for queue in await selection.within(driver):
            left = (selection.limit or 0) - len(found)
            if left:
                found += await selection.browse(driver, queue, left)
    return found


@command.command(cls=BackendCommand, short_help="Show everything about one.")
@click.argument("task_id", type=click.UUID, metavar="ID")
@click.option(
    "--queue",
    callback=check_queues,
    metavar="NAME",
    help="Look only in this queue.  [default: all]",
)
@json_option
def show(backend: Backend, task_id: uuid.UUID, queue: str | None, as_json: bool) -> None:
    """Show one dead letter: its arguments, counters, times and errors."""
    task = asyncio.run(_one(backend.driver(), str(task_id), queue))
    if as_json:
        print_json(details(task))
    else:
        print_details(task)


async def _one(driver: QueueDriver, task_id: str, queue: str | None) -> DeadTask:
    async with driver:
        queues = [queue] if queue is not None else await driver.queues()
        for name in queues:
            task = await driver.dead_letters.get(name, task_id)
            if task is not None:
                return task
    raise click.ClickException(f"no dead letter {task_id} in {', '.join(queues) or 'any queue'}")


@command.command(cls=BackendCommand, short_help="Put dead letters back.")
@_ids
@selecting
@_everything
@json_option
def requeue(backend: Backend, as_json: bool, everything: bool, **chosen: Any) -> None:
    """Put dead letters back into their queues: by ID, all that match filters, or --all."""
    selection = _required(Selection(**chosen), everything)
    count = asyncio.run(_moved(backend.driver(), selection, back=True))
    if as_json:
        print_json({"requeued": count})
    else:
        click.echo(f"requeued {count}")


@command.command(cls=BackendCommand, short_help="Delete dead letters for good.")
@_ids
@selecting
@_everything
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def purge(backend: Backend, as_json: bool, everything: bool, yes: bool, **chosen: Any) -> None:
    """Delete dead letters for good: by ID, all that match filters, or --all."""
    selection = _required(Selection(**chosen), everything)
    driver = backend.driver()
    if not yes:
        _ask(selection)
    count = asyncio.run(_moved(driver, selection, back=False))
    if as_json:
        print_json({"purged": count})
    else:
        click.echo(f"purged {count}")


async def _moved(driver: QueueDriver, selection: Selection, *, back: bool) -> int:
    """Put back or delete what was chosen; return how many there were."""
    task, reason = selection.task, selection.reason
    count = 0
    async with driver:
        dead = driver.dead_letters
        move = dead.requeue if back else dead.purge
        for queue, ids in (await selection.ids_by_queue(driver)).items():
            count += await move(queue, ids, task=task, reason=reason)
    return count


def _required(selection: Selection, everything: bool) -> Selection:
    if not selection and not everything:
        raise click.UsageError("which ones? give IDs or filters, or --all")
    return selection


def _ask(selection: Selection) -> None:
    which = f"these {len(selection.ids)}" if selection.ids else "all matching"
    click.echo(f"Delete {which} dead letters for good? [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise click.ClickException("nothing was deleted; answer y, or give --yes")
