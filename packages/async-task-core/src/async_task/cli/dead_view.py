"""How a dead letter is shown."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from async_task.cli.output import instant, iso, masked, print_aligned, printable, shown

if TYPE_CHECKING:
    from async_task.core.dead_letters import DeadTask
    from async_task.core.history import Failure

_BYTES_SHOWN = 1000
"""How much of an unreadable body is text on a terminal; `--json` has all of it."""


def summary(task: DeadTask) -> dict[str, Any]:
    """Return what `dead list --json` says of a dead letter."""
    last = task.errors[-1] if task.errors else None
    return {
        "id": task.id,
        "queue": task.queue,
        "task": task.task,
        "reason": task.reason,
        "priority": task.priority,
        "failures": task.failures,
        "deliveries": task.deliveries,
        "crashes": task.crashes,
        "dispatched_at": iso(task.dispatched_at),
        "died_at": iso(task.died_at),
        "error": None if last is None else masked(f"{last.type}: {last.message}"),
    }


def details(task: DeadTask) -> dict[str, Any]:
    """Return what `dead show --json` says: the summary, the arguments, every error, the body."""
    arguments, reason = _arguments(task)
    return summary(task) | {
        "arguments": None if arguments is None else {"args": arguments[0], "kwargs": arguments[1]},
        "arguments_error": reason,
        "errors": [
            {
                "type": failure.type,
                "message": masked(failure.message),
                "traceback": masked(failure.traceback),
                "attempt": failure.attempt,
                "at": iso(_at(failure)),
            }
            for failure in task.errors
        ],
        "body_base64": base64.b64encode(task.body).decode(),
    }


def print_details(task: DeadTask) -> None:
    """Print everything about a dead letter for people."""
    facts = {
        "id": task.id,
        "queue": task.queue,
        "task": task.task,
        "reason": task.reason,
        "priority": task.priority,
        "failures": task.failures,
        "deliveries": task.deliveries,
        "crashes": task.crashes,
        "dispatched": instant(task.dispatched_at),
        "died": instant(task.died_at),
    }
    print_aligned([[k, "-" if v is None else printable(v)] for k, v in facts.items()])
    click.echo("\narguments")
    for line in _argument_lines(task):
        click.echo(f"  {printable(line)}")
    for failure in task.errors:
        click.echo(f"\nattempt {failure.attempt}, {instant(_at(failure))}")
        text = failure.traceback or f"{failure.type}: {failure.message}"
        for line in masked(text).splitlines():
            click.echo(f"  {printable(line)}")


def _argument_lines(task: DeadTask) -> list[str]:
    arguments, reason = _arguments(task)
    if arguments is None:
        rest = len(task.body) - _BYTES_SHOWN
        more = f" and {rest} bytes more" if rest > 0 else ""
        return [f"cannot be decoded: {reason}", f"body {task.body[:_BYTES_SHOWN]!r}{more}"]
    args, kwargs = arguments
    lines = [shown(value) for value in args]
    return [*lines, *(f"{name} = {shown(value)}" for name, value in kwargs.items())] or ["none"]


def _arguments(task: DeadTask) -> tuple[tuple[list[Any], dict[str, Any]] | None, str | None]:
    """Return the arguments, or None and why not: also a plug-in's codec must not end a listing."""
    try:
        return task.arguments(), None
    except Exception as exc:
        return None, f"{type(exc).__name__}: {exc}"


def _at(failure: Failure) -> datetime | None:
    try:
        return datetime.fromtimestamp(failure.at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
