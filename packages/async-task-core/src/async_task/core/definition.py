"""What the project knows about one declared task, function or class alike."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from async_task.config import check_queue
from async_task.core.retry import LONGEST_DELAY_S, RetryPolicy
from async_task.errors import ConfigurationError, TaskArgumentsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_task.config import Config
    from async_task.core.queue_driver import QueueDriver


class Execution(Enum):
    """Where a task's body runs."""

    ASYNC = "async"
    """On the worker's event loop."""
    THREAD = "thread"
    """In the worker's thread pool."""
    PROCESS = "process"
    """In a child process of the worker."""


Terms: TypeAlias = tuple[RetryPolicy, float | None, int | None]
"""Retry policy, time limit of one run in seconds, and how long its outcome is kept in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """Options as declared; `None` follows the configuration's `default_*`.

    Attributes:
        queue: Queue that the task goes to.
        max_retries: Re-runs after a failed first run.
        retry_delay: Seconds before the first re-run.
        timeout: Seconds that one run may take; 0 for no limit whatever the default is.
        driver: Where the task goes if not to the default driver: a driver's name, or a driver.
        retry_backoff: Each further delay is this many times the one before; 1 keeps it fixed.
        retry_jitter: Draw each delay evenly from 0 to its computed length.
        retry_max_delay: Longest delay in seconds that back-off reaches.
        retry_on: Only these exceptions are tried again, if any are named.
        fail_on: These never are; wins over `retry_on`.
        result_ttl: Seconds that the outcome is kept for `TaskHandle.result`; 0 to keep none
            whatever the default is.
    """

    queue: str | None = None
    max_retries: int | None = None
    retry_delay: float | None = None
    timeout: float | None = None
    driver: str | QueueDriver | None = None
    retry_backoff: float = 1.0
    retry_jitter: bool = False
    retry_max_delay: float = LONGEST_DELAY_S
    retry_on: tuple[type[BaseException], ...] = ()
    fail_on: tuple[type[BaseException], ...] = ()
    result_ttl: float | None = None

    def __post_init__(self) -> None:
        if self.queue is not None:
            check_queue(self.queue)
        for name in ("max_retries", "retry_delay", "timeout", "result_ttl"):
            value = getattr(self, name)
            kinds = int if name == "max_retries" else (int, float)
            if value is not None and not (isinstance(value, kinds) and 0 <= value < math.inf):
                what = "whole number" if kinds is int else "number"
                msg = f"task option {name} must be a {what} of at least 0, not {value!r}"
                raise ConfigurationError(msg)
        for name in ("retry_on", "fail_on"):
            if not _are_exceptions(getattr(self, name)):
                msg = f"task option {name} must be a tuple of exception classes"
                raise ConfigurationError(msg)
        self._policy(0, 0.0)  # raises for values that cannot be

    def terms(self, config: Config) -> Terms:
        """Return what holds for every run under a configuration."""
        policy = self._policy(
            _or(self.max_retries, config.default_max_retries),
            _or(self.retry_delay, config.default_retry_delay),
        )
        timeout_s = _or(self.timeout, config.default_timeout) or None
        return policy, timeout_s, self.result_ttl_ms(config)

    def _policy(self, max_retries: int, delay: float) -> RetryPolicy:
        return RetryPolicy(
            max_retries=max_retries,
            delay=delay,
            backoff=self.retry_backoff,
            jitter=self.retry_jitter,
            max_delay=self.retry_max_delay,
            retry_on=self.retry_on,
            fail_on=self.fail_on,
        )

    def result_ttl_ms(self, config: Config) -> int | None:
        """Return how long results are kept under a configuration, in ms; None for not at all."""
        seconds = _or(self.result_ttl, config.default_result_ttl)
        return int(seconds * 1000) if seconds else None


@dataclass(eq=False, slots=True, kw_only=True)
class TaskDefinition:
    """One declared task.

    Attributes:
        name: The name it travels under.
        aliases: Older names that still lead to it.
        target: The function, or the `Task` class.
        method: Name of the class's method that does the work; None for a function.
        execution: Where its body runs.
        options: As declared.
        signature: What may be passed to it.
    """

    name: str
    aliases: tuple[str, ...]
    target: Callable[..., Any]
    method: str | None
    execution: Execution
    options: TaskOptions
    signature: inspect.Signature
    parameters: tuple[str, ...] = field(init=False)
    _accepts: Callable[..., None] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = tuple(self.signature.parameters)
        self._accepts = _compiled(self.signature)

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `TaskArgumentsError` if the arguments do not fit; costs a function call."""
        try:
            self._accepts(*args, **kwargs)
        except TypeError:
            try:
                self.signature.bind(*args, **kwargs)
            except TypeError as exc:
                msg = f"task {self.name!r} takes {self.signature}: {exc}"
                raise TaskArgumentsError(msg) from None


def _are_exceptions(kinds: Any) -> bool:
    try:
        isinstance(Exception(), kinds)
    except TypeError:
        return False
    return isinstance(kinds, tuple)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _compiled(signature: inspect.Signature) -> Callable[..., None]:
    """Return a function that takes exactly what `signature` takes, and does nothing.

    Calling it costs 0.1 us; `Signature.bind` costs 6 us, more than all the rest of a dispatch.
    Only the parameters' names (identifiers by construction) enter the source.
    """
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.empty if parameter.default is parameter.empty else None,
        )
        for parameter in signature.parameters.values()
    ]
    source = str(inspect.Signature(bare))[1:-1]
    return eval(f"lambda {source}: None", {"__builtins__": {}})  # type: ignore[no-any-return]  # noqa: S307 - of our own source
