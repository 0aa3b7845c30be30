"""A task as a class: its constructor's arguments travel, and its body can be called by itself."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from async_task.core.task import SyncTask, Task
from async_task.errors import ConfigurationError, TaskArgumentsError

pytestmark = pytest.mark.anyio

Sent = Callable[..., Awaitable[list[Any]]]


class Pay(Task[bool]):
    queue = "payments"

    def __init__(self, user: int, amount: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.user = user
        self.amount = amount * 2  # what travels is what was passed, not what became of it

    async def handle(self) -> bool:
        return self.amount > 1


class Free(Task[str]):
    name: str

    async def handle(self) -> str:
        return self.name


class Blocking(SyncTask[int]):
    def __init__(self, x: int) -> None:
        self.x = x

    def handle_sync(self) -> int:
        return self.x + 1


class Greedy(Task[None]):
    """Takes everything that could clash with a name of ours."""

    def __init__(self, cls: int, args: int, kwargs: int, queue: str, delay: int) -> None:
        self.values = (cls, args, kwargs, queue, delay)
        self._call = self._arguments = self._pending_call = "mine"
        self.queue = queue  # type: ignore[misc]  # a name that the base has, too
        self.delay = delay  # type: ignore[assignment,method-assign]  # a name that the base has, too

    async def handle(self) -> None: ...


async def test_the_constructors_arguments_travel(sent: Sent) -> None:
    await Pay(1, amount=2.5, note="x").dispatch()
    ((_, envelope, args, kwargs),) = await sent("payments")
    assert (args, kwargs) == ([1], {"amount": 2.5, "note": "x"})
    assert envelope.task == f"{__name__}:Pay"


async def test_a_class_without_a_constructor_keeps_keywords(sent: Sent) -> None:
    await Free(name="x", other=[1]).dispatch()
    ((_, _, args, kwargs),) = await sent()
    assert (args, kwargs) == ([], {"name": "x", "other": [1]})
    assert await Free(name="x").handle() == "x"


@pytest.mark.parametrize("name", ["delay", "priority", "dispatch", "handle", "failed", "at"])
def test_a_keyword_that_would_hide_a_method_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'{name}' would hide Task.{name}; write an"):
        Free(**{name: 1})


async def test_a_constructor_may_take_any_name_for_its_own(sent: Sent) -> None:
    await Greedy(1, args=2, kwargs=3, queue="own", delay=5).dispatch()
    await Greedy(cls=1, args=2, kwargs=3, queue="own", delay=5).on_queue("high").dispatch()
    ((_, _, args, kwargs),) = await sent()
    assert (args, kwargs) == ([1], {"args": 2, "kwargs": 3, "queue": "own", "delay": 5})
    ((_, _, args, kwargs),) = await sent("high")
    assert (args, kwargs["cls"]) == ([], 1)


async def test_the_body_runs_without_a_backend() -> None:
    assert await Pay(1).handle() is True
    assert await Blocking(1).handle() == 2
    assert Blocking(1).handle_sync() == 2
    task = Pay(1)
    assert (task._task_id, task._attempts, task._dispatched_at) == (None, 0, None)
    await task.failed(ValueError())
    assert task.should_retry(ValueError())


async def test_arguments_that_the_constructor_would_not_take_do_not_get_that_far() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'user'"):
        Pay()  # type: ignore[call-arg]  # a mistake on purpose
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        Free("x")  # type: ignore[call-arg]  # a mistake on purpose


async def test_a_copy_is_the_same_call(sent: Sent) -> None:
    await copy.copy(Pay(1)).dispatch()
    ((_, _, args, _),) = await sent("payments")
    assert args == [1]


async def test_one_instance_can_be_sent_again(sent: Sent) -> None:
    task = Pay(1)
    assert await task.dispatch() != await task.dispatch()
    assert len(await sent("payments")) == 2


async def test_an_argument_that_is_no_longer_taken_is_refused_at_dispatch(sent: Sent) -> None:
    class Narrow(Task[None]):
        def __new__(cls, /, *args: Any, **kwargs: Any) -> Narrow:
            return super().__new__(cls, *args, more=1, **kwargs)

        def __init__(self) -> None: ...

        async def handle(self) -> None: ...

    with pytest.raises(TaskArgumentsError, match=r"takes \(\).*: got an unexpected.*'more'"):
        await Narrow().dispatch()
    assert await sent() == []
