"""What `Driver.enqueue` raises where a backend stores each message by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_task.spi.errors import EnqueueError, OutcomeUnknownError

if TYPE_CHECKING:
    from async_task.spi.errors import DriverError


def enqueue_error(failures: dict[int, DriverError], count: int) -> DriverError:
    """Return the error that says it all: a single one if nothing was stored, or all is unknown.

    Args:
        failures: What became of the messages that are not certainly stored, by position; not empty.
        count: How many messages there were.
    """
    kinds = {type(error) for error in failures.values()}
    first = next(iter(failures.values()))
    if len(failures) == count and (len(kinds) == 1 or OutcomeUnknownError not in kinds):
        return first
    error = EnqueueError(
        f"{len(failures)} of {count} messages were not stored, or may not be: {first}", failures
    )
    error.__cause__ = first
    return error
