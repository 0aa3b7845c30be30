"""A call is configured, then sent; it runs nothing and changes no other call."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from async_task.core.pending import CallOptions, Fluent, UndispatchedTaskWarning
from async_task.core.task import Task, task
from async_task.errors import ConfigurationError, TaskError

pytestmark = pytest.mark.anyio

Sent = Callable[..., Awaitable[list[Any]]]


@task
def f(x: int) -> int:
    return x


class C(Task[int]):
    def __init__(self, x: int) -> None:
        self.x = x

    async def handle(self) -> int:
        return self.x


def options(call: Fluent[Any]) -> CallOptions:
    """Return the options of a call, which is then not sent."""
    return call.__pending__().options


@pytest.mark.parametrize(
    ("configure", "expected"),
    [
        (lambda c: c.delay(1.5), CallOptions(delay_ms=1500)),
        (lambda c: c.delay(0), CallOptions()),
        (lambda c: c.on_queue("high"), CallOptions(queue="high")),
        (lambda c: c.retry_after(2), CallOptions(retry_delay_ms=2000)),
        (lambda c: c.retry_after(0), CallOptions(retry_delay_ms=0)),
        (lambda c: c.priority(9), CallOptions(priority=9)),
        (lambda c: c.expires_in(0.25), CallOptions(expires_in_ms=250)),
        (
            lambda c: c.delay(60).on_queue("high").retry_after(120).priority(1).delay(5),
            CallOptions(queue="high", delay_ms=5000, retry_delay_ms=120_000, priority=1),
        ),
    ],
)
@pytest.mark.parametrize("make", [f, C])
def test_every_option_makes_a_new_call_and_leaks_to_no_other(
    make: Any, configure: Any, expected: CallOptions
) -> None:
    base = make(1)
    assert options(configure(base)) == expected
    assert options(base.delay(9)) == CallOptions(delay_ms=9000)
    assert options(base) == CallOptions()
    assert options(make(1)) == CallOptions()


async def test_options_reach_the_store(sent: Sent) -> None:
    await f(1).on_queue("high").priority(3).retry_after(7).dispatch()
    await f(2).on_queue("high").dispatch()
    await f(3).on_queue("high").delay(60).dispatch()
    (first, envelope, args, _), (second, plain, _, _) = await sent("high")
    assert (first.priority, first.queue, envelope.retry_delay_ms, args) == (3, "high", 7000, [1])
    assert (second.priority, plain.retry_delay_ms) == (0, None)
    assert await sent() == []


@pytest.mark.parametrize(
    ("configure", "reason"),
    [
        (lambda c: c.delay(-1), r"delay\(-1\) must be"),
        (lambda c: c.delay(float("nan")), r"delay\(nan\) must be"),
        (lambda c: c.retry_after(float("inf")), r"retry_after\(inf\) must be"),
        (lambda c: c.expires_in(-0.1), r"expires_in\(-0.1\) must be"),
        (lambda c: c.on_queue("no spaces"), "queue name 'no spaces' is not valid"),
        (lambda c: c.on_queue(""), "queue name '' is not valid"),
        (lambda c: c.priority(10), "priority must be .* not 10"),
        (lambda c: c.priority(-1), "priority must be .* not -1"),
        (lambda c: c.priority(1.5), "priority must be .* not 1.5"),
        (lambda c: c.at(datetime(2030, 1, 1)), "needs an aware datetime"),  # noqa: DTZ001 - a mistake on purpose
    ],
)
@pytest.mark.parametrize("make", [f, C])
def test_an_option_that_cannot_be_is_refused_and_says_nothing_else(
    make: Any, configure: Any, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):  # a warning would be an error here
        configure(make(1))


def test_an_instant_becomes_a_delay_whatever_its_zone() -> None:
    east = timezone(timedelta(hours=9))
    call = f(1).at(datetime.now(east) + timedelta(hours=1))
    assert 3_590_000 < options(call).delay_ms <= 3_600_000
    past = f(1).at(datetime.now(UTC) - timedelta(days=1))
    assert options(past).delay_ms == 0


def test_a_dropped_call_warns_with_the_remedy() -> None:
    with pytest.warns(UndispatchedTaskWarning, match=r"test_calls:f'> was dropped: .*Await .disp"):
        f(1)
    with pytest.warns(UndispatchedTaskWarning) as caught:
        f(1).delay(5).on_queue("high")
    assert len(caught) == 1


async def test_a_call_that_was_sent_or_refused_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await f(1).dispatch()
        with pytest.raises(TypeError):
            await f("too", "many").dispatch()  # type: ignore[call-arg,arg-type]  # a mistake on purpose
        C(1)  # an instance is no call: it may be a unit test's
        gc.collect()


async def test_an_awaited_call_raises_with_the_remedy() -> None:
    with pytest.raises(TaskError, match=r"was awaited: .* \.dispatch\(\) .*\.func\(\.\.\.\)"):
        await f(1)


async def test_the_plain_body_needs_no_backend(sent: Sent) -> None:
    assert f.func(3) == 3
    assert await C(4).handle() == 4
    assert await sent() == []
