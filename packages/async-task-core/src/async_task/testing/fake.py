"""A queue for the tests of applications: records what is dispatched, and runs it when told to.

    def test_signing_up_sends_a_welcome(fake_queue: FakeQueue) -> None:
        asyncio.run(sign_up("ada@example.com"))
        fake_queue.assert_dispatched(send_email, {"to": "ada@example.com"}, times=1)

Everything is real but the store, which is memory with a clock that only the test moves: arguments
are checked, encoded and decoded, and what runs goes through middleware, retries and dead letters.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from async_task.config import get_global_config
from async_task.core.codec import codec
from async_task.core.dispatcher import substitute_driver
from async_task.core.envelope import unpack
from async_task.core.ids import id_text
from async_task.core.middleware import Middleware, add_middleware, remove_middleware
from async_task.core.queue_driver import QueueDriver
from async_task.core.registry import registry
from async_task.core.task import definition_of
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.errors import EncodeError
from async_task.runtime.admission import Admission
from async_task.runtime.attempt import Attempt, Stop
from async_task.runtime.executor import Executor
from async_task.spi.driver import ConsumerOptions, DriverOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from async_task.config import Config
    from async_task.core.dead_letters import DeadTask
    from async_task.core.middleware import Send
    from async_task.core.pending import PendingCall
    from async_task.core.task import FunctionTask, Task
    from async_task.spi.driver import Consumer
    from async_task.spi.messages import Lease, Message, Settlement

    AnyTask = FunctionTask[Any, Any] | type[Task[Any]]

VISIBILITY_MS: Final = 3_600_000
"""Leases never end by themselves here: the clock stands while a task runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """One task as it was sent.

    Attributes:
        id: The id `dispatch` returned.
        task: The task's name.
        arguments: What it was called with, by parameter, as the worker will see it.
        queue: Where it went.
        delay: Seconds it was delayed, 0 for none.
        priority: Its priority.
        expires_in: Seconds after which it is not started any more, or None.
    """

    id: str
    task: str
    arguments: dict[str, Any]
    queue: str
    delay: float
    priority: int
    expires_in: float | None


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Return Unix milliseconds."""
        return self.now_ms


class FakeQueue:
    """Stands in for every driver of this process while it is entered.

    Args:
        config: Where defaults such as `default_queue` come from; the global one unless given.
        inline: Run each task, and what it dispatches, before its dispatch returns. Failed and
            delayed tasks wait for `run_all`.

    Attributes:
        dispatched: What was sent, in order.
        clock: The store's clock.
    """

    def __init__(self, config: Config | None = None, *, inline: bool = False) -> None:
        self.dispatched: list[Dispatched] = []
        self.clock = ManualClock()
        self._config = get_global_config() if config is None else config
        self._store = _RecordingDriver(self.dispatched, self.clock)
        self._driver = QueueDriver(self._store, name="memory", config=self._config)
        self._inline = _Inline(self) if inline else None
        self._admission = Admission(registry, self._config)

    def __enter__(self) -> Self:
        substitute_driver(self._driver)
        if self._inline is not None:
            add_middleware(self._inline)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._inline is not None:
            remove_middleware(self._inline)
        substitute_driver(None)
        self._store.forget()

    def sent(self, task: AnyTask, arguments: Mapping[str, Any] | None = None) -> list[Dispatched]:
        """Return what was sent of one task, and with these arguments at least if any are given.

        They are compared as they arrive: a row of a database as the reference that travels.
        """
        name = _name(task)
        wanted = {key: _arriving(value) for key, value in (arguments or {}).items()}.items()
        return [d for d in self.dispatched if d.task == name and wanted <= d.arguments.items()]

    def assert_dispatched(
        self,
        task: AnyTask,
        arguments: Mapping[str, Any] | None = None,
        *,
        times: int | None = None,
        on_queue: str | None = None,
        delayed: float | None = None,
    ) -> None:
        """Fail unless the task was sent.

        Args:
            task: A function task or a class task.
            arguments: Arguments it was called with at least, by parameter.
            times: Exactly so often; at least once unless given.
            on_queue: To this queue.
            delayed: By so many seconds, 0 for not at all.
        """
        found = [
            d
            for d in self.sent(task, arguments)
            if on_queue in (None, d.queue) and delayed in (None, d.delay)
        ]
        if len(found) != times if times is not None else not found:
            wanted = "at least once" if times is None else f"{times} times"
            msg = f"{_name(task)} was dispatched {len(found)} times like that, not {wanted}"
            raise AssertionError(f"{msg}; dispatched: {self._told()}")

    def assert_not_dispatched(
        self, task: AnyTask, arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Fail if the task was sent, or sent with these arguments if any are given."""
        self.assert_dispatched(task, arguments, times=0)

    def assert_nothing_dispatched(self) -> None:
        """Fail if anything was sent."""
        if self.dispatched:
            raise AssertionError(f"nothing should be dispatched, but: {self._told()}")

    def advance(self, seconds: float) -> None:
        """Let time pass on the store's clock; runs nothing."""
        self.clock.now_ms += round(seconds * 1000)

    async def run(self) -> int:
        """Run what is due, and what that dispatches, until nothing is due; return how many runs."""
        await self._driver.connect()
        runs = 0
        options = ConsumerOptions(queues=tuple(await self._driver.queues()), max_leases=1)
        with ThreadPoolExecutor(1) as threads:
            executor = Executor(threads, begin=_watch_time)
            async with self._store.consumer(options) as consumer:
                while lease := await self._lease(consumer):
                    settlement = await self._outcome(executor, lease)
                    if settlement is not None:
                        await consumer.settle([settlement])
                    runs += 1
        return runs

    async def run_all(self) -> int:
        """Run everything, moving the clock to whatever is due next; return how many runs."""
        runs = await self.run()
        while (due_ms := self._store.next_due_ms()) is not None:
            self.clock.now_ms = max(self.clock.now_ms, due_ms)
            runs += await self.run()
        return runs

    async def dead(self, queue: str | None = None) -> Sequence[DeadTask]:
        """Return the dead letters of a queue, the default one unless given."""
        return await self._driver.dead_letters.browse(queue or self._config.default_queue)

    async def _lease(self, consumer: Consumer) -> Lease | None:
        queues = await self._driver.queues()  # tasks may have used new ones
        leases = await consumer.lease(
            queues, 1, wait_ms=0, lease_id=os.urandom(16), visibility_ms=VISIBILITY_MS
        )
        return leases[0] if leases else None

    async def _outcome(self, executor: Executor, lease: Lease) -> Settlement | None:
        judged = self._admission.judge(lease, float("inf"))
        if not isinstance(judged, Attempt):
            return judged
        outcome: list[Settlement | None] = []
        judged.runner = asyncio.create_task(_run(executor, judged, outcome))
        await judged.runner
        return outcome[0]

    def _told(self) -> str:
        lines = [f"{d.task}({d.arguments}) to {d.queue}, delay {d.delay}" for d in self.dispatched]
        return "; ".join(lines) or "nothing"


class _RecordingDriver(MemoryDriver):
    """Memory that notes what is stored, read back from the wire."""

    def __init__(self, record: list[Dispatched], clock: ManualClock) -> None:
        settings = MemorySettings(name=f"fake-{uuid.uuid4()}")
        super().__init__(settings, DriverOptions(), now_ms=clock)
        self._record = record

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        duplicates = await super().enqueue(messages)
        await self.provision(sorted({message.queue for message in messages}))
        for position, message in enumerate(messages):
            if position not in duplicates:
                self._record.append(_dispatched(message))
        return duplicates

    def next_due_ms(self) -> int | None:
        if not self.is_open:
            return None
        with self.store.lock:
            return min((m.due_ms for m in self.store.messages.values()), default=None)


class _Inline(Middleware):
    """Runs what was dispatched before the dispatch returns."""

    def __init__(self, queue: FakeQueue) -> None:
        self._queue = queue

    async def dispatch(self, call: PendingCall[Any], send: Send) -> Any:
        handle = await send(call)
        await self._queue.run()
        return handle


def _dispatched(message: Message) -> Dispatched:
    envelope = unpack(message.body)
    args, kwargs = codec().decode_arguments(envelope.arguments)
    bound = registry.get(envelope.task).signature.bind(*args, **kwargs)
    return Dispatched(
        id=id_text(message.id),
        task=envelope.task,
        arguments=dict(bound.arguments),
        queue=message.queue,
        delay=message.delay_ms / 1000,
        priority=message.priority,
        expires_in=None if message.expires_in_ms is None else message.expires_in_ms / 1000,
    )


def _arriving(value: object) -> object:
    try:
        return codec().decode(codec().encode(value))
    except EncodeError:  # something that compares, such as `unittest.mock.ANY`
        return value


def _name(task: AnyTask) -> str:
    return definition_of(task).name


async def _run(executor: Executor, attempt: Attempt, outcome: list[Settlement | None]) -> None:
    outcome.append(await executor.run(attempt))


def _watch_time(attempt: Attempt) -> None:
    """End a coroutine that takes longer, in real time, than its task's timeout."""
    if attempt.timeout_s is not None and not attempt.in_thread:
        asyncio.get_running_loop().call_later(attempt.timeout_s, _time_out, attempt)


def _time_out(attempt: Attempt) -> None:
    if attempt.runner is not None and not attempt.runner.done():
        attempt.stop = Stop.TIMEOUT
        attempt.runner.cancel()
