"""Arguments are checked before anything is stored, and no parameter name is taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from async_task.config import get_global_config, set_global_config
from async_task.core.task import FunctionTask, task
from async_task.errors import EncodeError, MessageTooLargeError, TaskArgumentsError

pytestmark = pytest.mark.anyio

Sent = Callable[..., Awaitable[list[Any]]]


@task
def plain(a: int, b: str = "x", *, c: bool = False) -> None: ...


@task
async def anything(*args: Any, **kwargs: Any) -> None: ...


@task
def positional(a: int, /, b: int) -> None: ...


@task
def delaying(delay: float) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, "x", True), {}, "too many positional arguments"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
        ((1,), {"d": 2}, "got an unexpected keyword argument 'd'"),
    ],
)
async def test_wrong_arguments_are_refused_with_the_signature(
    sent: Sent, args: Any, kwargs: Any, reason: str
) -> None:
    signature = r"\(a: 'int', b: 'str' = 'x', \*, c: 'bool' = False\)"
    expected = rf"task '.*:plain' takes {signature}.*: {reason}"
    with pytest.raises(TaskArgumentsError, match=expected):
        await plain.dispatch(*args, **kwargs)
    with pytest.raises(TaskArgumentsError, match=expected):
        await plain(*args, **kwargs).delay(1).dispatch()
    with pytest.raises(TypeError):  # what a call of the function itself would have raised
        await plain.dispatch(*args, **kwargs)
    assert await sent() == []


async def test_a_positional_parameter_cannot_be_a_keyword(sent: Sent) -> None:
    with pytest.raises(TaskArgumentsError, match=r"'a' parameter is positional only|missing"):
        await positional.dispatch(a=1, b=2)  # type: ignore[call-overload]  # a mistake on purpose
    await positional.dispatch(1, b=2)
    ((_, _, args, kwargs),) = await sent()
    assert (args, kwargs) == ([1], {"b": 2})


async def test_what_cannot_be_encoded_is_named_by_its_place(sent: Sent) -> None:
    with pytest.raises(EncodeError) as caught:
        await anything.dispatch(1, data={"key": [0, object()]})
    assert caught.value.path == "data['key'][1]"
    assert "data['key'][1]" in str(caught.value)
    with pytest.raises(EncodeError) as caught:
        await plain.dispatch(object())  # type: ignore[call-overload]  # a mistake on purpose
    assert caught.value.path == "a"
    assert await sent() == []


async def test_a_message_over_the_limit_is_refused_with_its_size(sent: Sent) -> None:
    set_global_config(**get_global_config().given | {"max_body": 2048})
    with pytest.raises(MessageTooLargeError, match=r"anything': its message has 3\d{3} bytes"):
        await anything.dispatch("x" * 3000)
    await anything.dispatch("x" * 1000)
    assert len(await sent()) == 1


NAMES = """
    self cls func args kwargs queue delay timeout config task task_id name priority call options
    definition message driver type __class__ _accepts
"""


@pytest.mark.parametrize("name", NAMES.split())
async def test_a_parameter_may_have_any_name(sent: Sent, name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def f({name}, *, more={name!r}): return {name}", namespace)
    namespace["f"].__module__ = __name__
    declared: FunctionTask[Any, Any] = task(name=f"taking-{name}")(namespace["f"])
    await declared.dispatch(1)
    await declared.dispatch(**{name: 2})
    await declared(**{name: 3}).delay(0).dispatch()
    assert [(a, k) for _, _, a, k in await sent()] == [([1], {}), ([], {name: 2}), ([], {name: 3})]


async def test_delay_beside_the_arguments_delays(sent: Sent) -> None:
    await plain.dispatch(1, delay=60)
    assert await sent() == []
    await plain.dispatch(1, delay=0)
    await plain.dispatch(2, delay=None)  # type: ignore[call-overload]  # a mistake on purpose
    assert [args for _, _, args, _ in await sent()] == [[1], [2]]


async def test_a_parameter_called_delay_is_the_tasks_own(sent: Sent) -> None:
    await delaying.dispatch(delay=60)
    await delaying(delay=61).delay(3600).dispatch()
    ((_, _, _, kwargs),) = await sent()
    assert kwargs == {"delay": 60}


async def test_any_keyword_task_takes_delay_as_a_delay(sent: Sent) -> None:
    await anything.dispatch(delay=60)
    assert await sent() == []
    await anything(delay=60).dispatch()
    ((_, _, _, kwargs),) = await sent()
    assert kwargs == {"delay": 60}
