"""Sending: concurrent calls share round trips, each has its own outcome, and none is sent twice."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from async_task.config import Config, get_global_config
from async_task.core.dispatcher import Dispatcher, bind_dispatcher, get_dispatcher
from async_task.core.queue_driver import QueueDriver
from async_task.core.task import Task, task
from async_task.drivers.memory import MemoryDriver, MemorySettings
from async_task.errors import (
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    EnqueueError,
    OutcomeUnknownError,
    TaskArgumentsError,
    UnsupportedError,
)
from async_task.spi.capabilities import Capabilities, Delay
from async_task.spi.driver import DriverOptions
from async_task.spi.messages import Message

pytestmark = pytest.mark.anyio

Sent = Callable[..., Awaitable[list[Any]]]


@task
def f(x: object) -> None: ...


class C(Task[None]):
    def __init__(self, x: int) -> None:
        self.x = x

    async def handle(self) -> None: ...


class Gate(MemoryDriver):
    """A memory driver that can hold an `enqueue` back, or have it fail before or after."""

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        settings = MemorySettings(name=get_global_config().memory_name)
        super().__init__(settings, DriverOptions())
        self.batches: list[list[Message]] = []
        self.pass_through = asyncio.Event()
        self.pass_through.set()
        self.entered = asyncio.Event()
        self.before: Exception | None = None
        self.after: Exception | None = None
        self.refuses_to_open: Exception | None = None
        self._capabilities = capabilities or super().capabilities

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    async def open(self) -> None:
        if self.refuses_to_open is not None:
            raise self.refuses_to_open
        await super().open()

    async def enqueue(self, messages: Sequence[Message]) -> Sequence[int]:
        self.batches.append(list(messages))
        self.entered.set()
        await self.pass_through.wait()
        if self.before is not None:
            raise self.before
        duplicates = await super().enqueue(messages)
        if self.after is not None:
            raise self.after
        return duplicates


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def dispatcher(gate: Gate) -> Dispatcher:
    return Dispatcher(QueueDriver(gate, name="memory", config=get_global_config()))


def sizes(gate: Gate) -> list[int]:
    return [len(batch) for batch in gate.batches]


async def test_concurrent_calls_go_out_together(gate: Gate, dispatcher: Dispatcher) -> None:
    handles = await asyncio.gather(*(dispatcher.dispatch(f(i)) for i in range(100)))
    assert sizes(gate) == [100]
    assert [uuid.UUID(handle).bytes for handle in handles] == [m.id for m in gate.batches[0]]


async def test_what_arrives_meanwhile_goes_out_in_the_next_call(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    gate.pass_through.clear()
    first = asyncio.create_task(dispatcher.dispatch(f(0)))
    await gate.entered.wait()
    more = [asyncio.create_task(dispatcher.dispatch(f(i))) for i in range(1, 10)]
    await asyncio.sleep(0)
    gate.pass_through.set()
    await asyncio.gather(first, *more)
    assert sizes(gate) == [1, 9]


async def test_a_batch_is_no_larger_than_the_driver_takes(sent: Sent) -> None:
    gate = Gate(Capabilities(max_batch=40))
    dispatcher = Dispatcher(QueueDriver(gate, name="memory", config=get_global_config()))
    handles = await dispatcher.dispatch_many(f(i) for i in range(100))
    assert sizes(gate) == [40, 40, 20]
    assert [args for _, _, args, _ in await sent()] == [[i] for i in range(100)]
    assert len(handles) == 100


async def test_a_batch_is_bounded_in_bytes_too(gate: Gate, dispatcher: Dispatcher) -> None:
    large = "x" * 1_000_000
    await dispatcher.dispatch_many(f(large) for _ in range(20))
    assert sizes(gate) == [8, 8, 4]


async def test_a_caller_cancelled_while_queued_is_withdrawn_and_takes_nobody_along(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    gate.pass_through.clear()
    first = asyncio.create_task(dispatcher.dispatch(f(0)))
    await gate.entered.wait()
    queued = [asyncio.create_task(dispatcher.dispatch(f(i))) for i in (1, 2, 3)]
    await asyncio.sleep(0)
    queued[1].cancel()
    await asyncio.wait([queued[1]])
    gate.pass_through.set()
    await asyncio.gather(first, queued[0], queued[2])
    assert queued[1].cancelled()
    assert [args for _, _, args, _ in await sent()] == [[0], [1], [3]]


async def test_a_caller_cancelled_in_flight_sends_the_same_message_again(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    gate.pass_through.clear()
    call = f(0)
    impatient = asyncio.create_task(dispatcher.dispatch(call))
    neighbour = asyncio.create_task(dispatcher.dispatch(f(1)))
    await gate.entered.wait()
    impatient.cancel()
    await asyncio.wait([impatient])
    gate.pass_through.set()
    await neighbour
    await dispatcher.dispatch(call)
    assert [args for _, _, args, _ in await sent()] == [[0], [1]]


@pytest.mark.parametrize("make", [f, C])
@pytest.mark.parametrize("options", [{}, {"queue": "high"}, {"delay": 0}])
async def test_after_an_unknown_outcome_the_same_call_sends_the_same_message(
    gate: Gate, dispatcher: Dispatcher, make: Any, options: dict[str, Any]
) -> None:
    call = make(1)
    gate.after = OutcomeUnknownError("the reply was lost")
    with pytest.raises(OutcomeUnknownError):
        await dispatcher.dispatch(call, **options)
    gate.after = None
    handle = await dispatcher.dispatch(call, **options)
    first, again = gate.batches
    assert first[0].id == again[0].id == uuid.UUID(handle).bytes
    queue = options.get("queue", "default")
    assert await dispatcher.driver.get_queue_size(queue) == 1

    assert await dispatcher.dispatch(call, **options) != handle  # known again: a new message
    assert await dispatcher.driver.get_queue_size(queue) == 2


async def test_after_a_refusal_nothing_is_stored_and_the_call_can_be_sent(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    call = f(1)
    gate.before = ConnectionLostError("it is gone")
    with pytest.raises(ConnectionLostError):
        await dispatcher.dispatch(call)
    gate.before = None
    await dispatcher.dispatch(call)
    assert len(await sent()) == 1


@pytest.mark.parametrize("many", [False, True])
async def test_a_refusal_after_an_unknown_outcome_leaves_that_unknown(
    gate: Gate, dispatcher: Dispatcher, many: bool
) -> None:
    async def dispatch() -> object:
        if many:
            return (await dispatcher.dispatch_many([call]))[0]
        return (await asyncio.gather(dispatcher.dispatch(call), return_exceptions=True))[0]

    call = f(1)
    gate.after = OutcomeUnknownError("the reply was lost")
    assert await dispatch() is gate.after
    gate.after, gate.before = None, ConnectionLostError("it is gone")
    assert await dispatch() is gate.before
    gate.before = None
    assert isinstance(await dispatch(), str)
    assert await dispatcher.driver.get_queue_size("default") == 1


async def test_each_of_many_has_an_outcome_of_its_own(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    calls = [f(0), f(object()), C(2), f(3), f(4)]
    refused, unknown = DriverError("no"), OutcomeUnknownError("perhaps")
    gate.after = EnqueueError("some", {1: refused, 2: unknown})
    outcomes = await dispatcher.dispatch_many(calls)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "TaskHandle",
        "EncodeError",
        "DriverError",
        "OutcomeUnknownError",
        "TaskHandle",
    ]
    assert outcomes[2:4] == [refused, unknown]
    gate.after = None
    await dispatcher.dispatch(calls[3])
    assert gate.batches[0][2].id == gate.batches[1][0].id
    assert gate.batches[0][1].id != gate.batches[1][0].id


async def test_many_that_cannot_connect_each_say_so(gate: Gate, dispatcher: Dispatcher) -> None:
    gate.refuses_to_open = ConnectionLostError("not there")
    outcomes = await dispatcher.dispatch_many([f(1), f(object()), f(2)])
    assert outcomes[0] is outcomes[2] is gate.refuses_to_open
    gate.refuses_to_open = ConfigurationError("wrong schema")
    with pytest.raises(ConfigurationError):
        await dispatcher.dispatch_many([f(1)])


async def test_none_at_all_is_no_round_trip(gate: Gate, dispatcher: Dispatcher) -> None:
    assert await dispatcher.dispatch_many([]) == []
    assert gate.batches == []


async def test_a_single_failure_of_a_batch_is_its_callers_alone(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    gate.after = EnqueueError("one", {1: DriverError("no")})
    outcomes = await asyncio.gather(
        *(dispatcher.dispatch(f(i)) for i in range(3)), return_exceptions=True
    )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "TaskHandle",
        "DriverError",
        "TaskHandle",
    ]


async def test_a_bug_in_a_driver_reaches_every_caller_and_the_next_one_is_served(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    gate.before = ZeroDivisionError()
    outcomes = await asyncio.gather(
        dispatcher.dispatch(f(1)), dispatcher.dispatch(f(2)), return_exceptions=True
    )
    assert outcomes[0] is outcomes[1] is gate.before
    gate.before = None
    await dispatcher.dispatch(f(3))


async def test_what_was_submitted_goes_out_before_the_dispatcher_closes(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    await dispatcher.driver.connect()
    calls = [asyncio.create_task(dispatcher.dispatch(f(i))) for i in range(3)]
    await asyncio.sleep(0)
    await dispatcher.close()
    await asyncio.gather(*calls)
    assert len(await sent()) == 3
    assert not gate.is_open


async def test_what_a_driver_cannot_do_is_refused_before_anything_is_stored() -> None:
    gate = Gate(Capabilities(priorities=1, delay=Delay.NONE))
    dispatcher = Dispatcher(QueueDriver(gate, name="plain", config=get_global_config()))
    with pytest.raises(UnsupportedError, match=r"'plain' has 1 priority level.*no priority 1"):
        await dispatcher.dispatch(f(1).priority(1))
    with pytest.raises(UnsupportedError, match="'plain' cannot delay tasks") as caught:
        await dispatcher.dispatch(f(1), delay=1)
    assert (caught.value.capability, caught.value.driver) == ("delay", "plain")
    assert gate.batches == []


@pytest.mark.parametrize(
    ("options", "error"),
    [({"queue": "no spaces"}, ConfigurationError), ({"delay": -1}, ConfigurationError)],
)
async def test_options_of_the_dispatcher_are_checked(
    gate: Gate, dispatcher: Dispatcher, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await dispatcher.dispatch(f(1), **options)
    assert gate.batches == []


async def test_the_dispatchers_options_go_before_those_of_the_call(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    await dispatcher.dispatch(f(1).on_queue("low").delay(60), queue="high", delay=0)
    await dispatcher.dispatch(f(1).on_queue("low").delay(60))
    ((first,), (second,)) = gate.batches
    assert (first.queue, first.delay_ms) == ("high", 0)
    assert (second.queue, second.delay_ms) == ("low", 60_000)


async def test_errors_come_before_the_backend_is_reached(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    gate.refuses_to_open = ConnectionLostError("not there")
    with pytest.raises(TaskArgumentsError):
        await dispatcher.dispatch(f.__call__())  # type: ignore[call-arg]  # a mistake on purpose


async def test_a_bound_dispatcher_serves_the_loop_until_it_is_unbound(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    bind_dispatcher(dispatcher)
    await f.dispatch(1)
    await C(2).dispatch()
    assert sizes(gate) == [1, 1]
    bind_dispatcher(None)
    await f.dispatch(3)
    assert sizes(gate) == [1, 1]
    assert get_dispatcher() is get_dispatcher()
    await dispatcher.close()


async def test_a_task_with_a_driver_of_its_own_goes_there(
    gate: Gate, dispatcher: Dispatcher, sent: Sent
) -> None:
    other = QueueDriver(Gate(), name="other", config=get_global_config())

    @task(driver=other, name="dispatching-elsewhere")
    def elsewhere() -> None: ...

    @task(driver=dispatcher.driver.name, name="dispatching-by-name")
    def by_name() -> None: ...

    bind_dispatcher(dispatcher)
    await elsewhere.dispatch()
    await elsewhere().delay(0).dispatch()
    await by_name.dispatch()
    assert isinstance(other.driver, Gate)
    assert sizes(other.driver) == [1, 1]
    assert sizes(gate) == [1]
    assert len(await sent()) == 3
    bind_dispatcher(None)


async def test_a_bound_dispatcher_says_what_the_name_of_another_driver_means() -> None:
    settings = get_global_config().given | {"memory_name": "dispatching-bound"}
    bound = Config(**settings)

    @task(driver="memory", name="dispatching-named")
    def named() -> None: ...

    bind_dispatcher(Dispatcher(QueueDriver(Gate(), name="other", config=bound)))
    await named.dispatch()
    bind_dispatcher(None)
    assert await QueueDriver.from_config(bound).get_queue_size("default") == 1


async def test_a_bound_dispatcher_serves_threads_without_a_loop(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    bind_dispatcher(dispatcher)
    await asyncio.to_thread(f.dispatch_sync, 1)
    assert sizes(gate) == [1]
    bind_dispatcher(None)
    await asyncio.to_thread(f.dispatch_sync, 2)
    assert sizes(gate) == [1]


async def test_two_loops_with_dispatchers_leave_threads_without_an_answer(
    gate: Gate, dispatcher: Dispatcher
) -> None:
    async def elsewhere() -> None:
        bind_dispatcher(Dispatcher(QueueDriver(gate, name="memory", config=get_global_config())))
        with pytest.raises(ConfigurationError, match=r"several.*anyio\.from_thread\.run"):
            await asyncio.to_thread(f.dispatch_sync, 1)
        bind_dispatcher(None)

    bind_dispatcher(dispatcher)
    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    bind_dispatcher(None)
    assert gate.batches == []


async def test_a_loop_is_bound_to_one_dispatcher(dispatcher: Dispatcher) -> None:
    bind_dispatcher(dispatcher)
    bind_dispatcher(dispatcher)
    other = Dispatcher(dispatcher.driver)
    with pytest.raises(ConfigurationError, match="share one integration"):
        bind_dispatcher(other)
    bind_dispatcher(None)
