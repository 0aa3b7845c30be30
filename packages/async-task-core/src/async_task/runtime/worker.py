"""The worker as users hold it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from async_task.config import check_queue
from async_task.core.registry import Registry, registry
from async_task.errors import ConfigurationError, DriverError
from async_task.runtime.admission import Admission
from async_task.runtime.isolation import Children
from async_task.runtime.outage import Outage
from async_task.runtime.session import Session
from async_task.runtime.session_options import SessionOptions
from async_task.runtime.signals import stop_signals
from async_task.spi.driver import ConsumerOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task.core.queue_driver import QueueDriver
    from async_task.spi.driver import Consumer

log = logging.getLogger("async_task.worker")


class Worker:
    """Runs the tasks of some queues of one driver, in one process.

    Args:
        queue_driver: Where from. Connected on start and disconnected at the end.
        queues: Most urgent first, strictly; or a mapping of queue to weight, to share in proportion
            to the weights while all have work. The configuration's `default_queue` unless given.
        concurrency: Most tasks at the same time.
        max_tasks: Run exactly so many, then stop; None for no end.
        stop_when_empty: Stop when nothing is ready and nothing is running; what is delayed waits
            for the next worker.
        grace: Seconds that running tasks get to finish on stop; the configuration's `grace` unless
            given.
        tasks: The tasks it knows; those of this process unless given.

    Raises:
        ConfigurationError: A queue name or number is not valid.
    """

    def __init__(
        self,
        queue_driver: QueueDriver,
        queues: Sequence[str] | Mapping[str, int] = (),
        concurrency: int = 10,
        max_tasks: int | None = None,
        *,
        stop_when_empty: bool = False,
        grace: float | None = None,
        tasks: Registry = registry,
    ) -> None:
        config = queue_driver.config
        for name, value in (("concurrency", concurrency), ("max_tasks", max_tasks)):
            if value is not None and value < 1:
                msg = f"{name} must be at least 1, not {value}"
                raise ConfigurationError(msg)
        weights = dict(queues) if isinstance(queues, Mapping) and queues else None
        for queue, weight in (weights or {}).items():
            if weight < 1:
                msg = f"queue {queue!r}: its weight must be at least 1, not {weight}"
                raise ConfigurationError(msg)
        self._queue_driver = queue_driver
        self._tasks = tasks
        self._options = SessionOptions(
            queues=tuple(dict.fromkeys(map(check_queue, queues or (config.default_queue,)))),
            weights=weights,
            concurrency=concurrency,
            max_tasks=max_tasks,
            stop_when_empty=stop_when_empty,
            grace_s=config.grace if grace is None else grace,
            visibility_ms=queue_driver.visibility_ms,
            op_timeout_s=config.op_timeout,
        )
        self._session: Session | None = None
        self._stopped = asyncio.Event()
        self.working: asyncio.Event = asyncio.Event()
        """Set once tasks are taken."""

    async def start(self, *, handle_signals: bool = True) -> None:
        """Work until SIGTERM or SIGINT, `stop()`, `max_tasks` or an empty queue says to stop.

        A backend that is down at the start, or goes away, is waited for.

        Args:
            handle_signals: False inside a program that has signal handlers of its own.

        Raises:
            ConfigurationError: The backend cannot serve as configured, or holds no lease as long as
                one of the tasks may run.
            UnsupportedError: A task's result is to be kept, and nothing keeps any.
            DriverError: It refuses us for good (access denied, for example).
        """
        self._check_tasks()
        signals = stop_signals(self.stop, self.stop_now)
        with signals if handle_signals else contextlib.nullcontext():
            try:
                async with contextlib.AsyncExitStack() as stack:
                    consumer = await self._connected(stack)
                    if consumer is not None:
                        await self._work(consumer)
            finally:
                await self._queue_driver.disconnect()

    def stop(self) -> None:
        """Stop leasing, let running tasks finish within the grace time, put the rest back."""
        self._stopped.set()
        if self._session is not None:
            log.info("stopping; %d running tasks get time to finish", self._session.running)
            self._session.stop()

    def stop_now(self) -> None:
        """Stop without waiting for running tasks: cancel them and put them back."""
        self._stopped.set()
        if self._session is not None:
            self._session.stop_now()

    @property
    def running(self) -> int:
        """How many tasks run. After the end: threads that a task never gave back."""
        return self._session.running if self._session is not None else 0

    @property
    def spent(self) -> bool:
        """Whether it has run all of its `max_tasks`."""
        return self._session is not None and self._session.spent

    async def _connected(self, stack: contextlib.AsyncExitStack) -> Consumer | None:
        options, driver = self._options, self._queue_driver.driver
        consuming = ConsumerOptions(
            queues=options.queues, max_leases=options.concurrency + options.ahead
        )
        outage = Outage(f"connecting to {self._queue_driver.name}")
        while not self._stopped.is_set():
            try:
                await self._queue_driver.connect()
                await self._queue_driver.connect_stores()
                await driver.provision(options.queues)
                consumer = await stack.enter_async_context(driver.consumer(consuming))
            except DriverError as exc:
                if not exc.retryable:
                    raise
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), outage.failed(exc))
            else:
                outage.recovered()
                return consumer
        return None

    async def _work(self, consumer: Consumer) -> None:
        options = self._options
        config = self._queue_driver.config
        admission = Admission(self._tasks, config)
        children = Children(self._tasks, config.given)
        self._session = Session(self._queue_driver, consumer, admission, children, options)
        log.info(
            "working on %s of %s, %d tasks at a time",
            ", ".join(options.queues),
            self._queue_driver.name,
            options.concurrency,
        )
        if self._stopped.is_set():
            self._session.stop()
        self.working.set()
        await self._session.run()
        log.info("stopped")

    def _check_tasks(self) -> None:
        """Warn of tasks that are not served here; refuse those that ask for what is not there."""
        config, name = self._queue_driver.config, self._queue_driver.name
        longest_ms = self._queue_driver.driver.capabilities.max_visibility_ms
        for definition in self._tasks:
            options = definition.options
            queue = options.queue or config.default_queue
            if queue not in self._options.queues:
                log.warning("task %r goes to queue %r, not served here", definition.name, queue)
            elif options.driver not in (None, name, self._queue_driver):
                log.warning(
                    "task %r goes to driver %s, not served here", definition.name, options.driver
                )
            else:
                if self._queue_driver.results is None and options.result_ttl_ms(config):
                    what = f"keeps no results, as task {definition.name!r} asks for"
                    raise self._queue_driver.unsupported("results", what)
                _, timeout_s, _ = options.terms(config)
                if timeout_s and longest_ms and timeout_s * 1000 >= longest_ms:
                    msg = (
                        f"task {definition.name!r} may run for {timeout_s:g} s, but {name} takes"
                        f" it back after {longest_ms / 1000:g} s; give it a shorter timeout"
                    )
                    raise ConfigurationError(msg)
