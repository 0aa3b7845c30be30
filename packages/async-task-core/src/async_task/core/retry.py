"""What happens after a failure: the policy of a task, and the signals a task raises itself."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from async_task.errors import ConfigurationError

LONGEST_DELAY_S = 3600.0
"""Cap of a growing delay unless `retry_max_delay` says otherwise."""


class TaskSignal(Exception):  # noqa: N818 - raised by a task to steer its outcome, not an error
    """Root of what a task raises to choose its own outcome."""


class RetryTask(TaskSignal):
    """Raise to count this run as failed and try again, after `delay` seconds or as the policy says.

    The budget of `max_retries` holds; when it is spent the task dies as after any failure.
    """

    def __init__(
        self, delay: float | None = None, reason: str = "the task asked for a retry"
    ) -> None:
        super().__init__(reason)
        self.delay: float | None = None if delay is None else _checked(delay)


class ReleaseTask(TaskSignal):
    """Raise to put the task back for `delay` seconds without charging it anything."""

    def __init__(self, delay: float = 0.0, reason: str = "the task released itself") -> None:
        super().__init__(reason)
        self.delay: float = _checked(delay)


class RejectTask(TaskSignal):
    """Raise to send the task to the dead letters now, whatever its budget."""

    def __init__(self, reason: str = "the task rejected itself") -> None:
        super().__init__(reason)
        self.reason = reason


def _checked(delay: float) -> float:
    if not 0 <= delay < math.inf:
        msg = f"delay must be a number of seconds, not negative, not {delay!r}"
        raise ValueError(msg)
    return delay


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and whether a failed task runs again.

    Attributes:
        max_retries: Re-runs after the first run.
        delay: Seconds before the first re-run.
        backoff: Each further delay is this many times the one before; 1 keeps it fixed.
        jitter: Draw each delay evenly from 0 to its computed length.
        max_delay: Longest delay in seconds.
        retry_on: Only these exceptions are tried again, if any are named.
        fail_on: These never are; wins over `retry_on`.
    """

    max_retries: int
    delay: float
    backoff: float = 1.0
    jitter: bool = False
    max_delay: float = LONGEST_DELAY_S
    retry_on: tuple[type[BaseException], ...] = ()
    fail_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("max_retries", 0), ("delay", 0), ("backoff", 1), ("max_delay", 0)):
            if not least <= getattr(self, name) < math.inf:
                msg = f"retry policy: {name} must be at least {least}, not {getattr(self, name)}"
                raise ConfigurationError(msg)

    def permits(self, error: BaseException) -> bool:
        """Say whether this kind of failure may be tried again at all."""
        if isinstance(error, self.fail_on):
            return False
        return not self.retry_on or isinstance(error, self.retry_on)

    def delay_ms(self, failures: int) -> int:
        """Return the wait after the `failures`-th failure (1 or more).

        A fixed delay is taken as given; a growing one is capped before it is computed, so that no
        number of failures overflows.
        """
        seconds = self.delay
        if self.backoff > 1 and seconds > 0:
            for _ in range(failures - 1):
                seconds *= self.backoff
                if seconds >= self.max_delay:
                    break
            seconds = min(seconds, self.max_delay)
        if self.jitter:
            seconds *= random.random()  # noqa: S311 - spreads load, guards nothing
        return int(seconds * 1000)
