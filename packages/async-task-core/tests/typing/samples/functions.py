"""Function tasks as a type checker sees them. Lines marked `# error` must be refused."""

from __future__ import annotations

from typing import Any, assert_type

from async_task import Dispatcher, FunctionTask, PendingCall, TaskHandle, task


@task
async def coroutine(to: str, n: int = 1) -> str:
    return to * n


@task
def function(x: int, /, *, y: bool) -> list[int]:
    return [x] if y else []


@task(queue="emails", max_retries=5, retry_delay=120, timeout=30, driver="redis")
async def with_options(x: int) -> str:
    return str(x)


@task(process=True, result_ttl=60)
def in_process(x: int) -> float:
    return x / 2


@task
async def anything(*args: Any, **kwargs: Any) -> None: ...


async def kinds(dispatcher: Dispatcher) -> None:
    assert_type(await coroutine.dispatch("x"), TaskHandle[str])
    assert_type(await coroutine.dispatch(to="x", n=2), TaskHandle[str])
    assert_type(await function.dispatch(1, y=True), TaskHandle[list[int]])
    assert_type(await with_options.dispatch(1), TaskHandle[str])
    assert_type(await in_process.dispatch(1), TaskHandle[float])
    assert_type(await anything.dispatch(1, b=2), TaskHandle[None])

    assert_type(coroutine("x"), PendingCall[str])
    assert_type(coroutine("x").delay(60).on_queue("high"), PendingCall[str])
    chain = coroutine("x").retry_after(1).priority(1).expires_in(5)
    assert_type(await chain.dispatch(), TaskHandle[str])
    assert_type(await dispatcher.dispatch(function(1, y=True)), TaskHandle[list[int]])
    assert_type(await dispatcher.dispatch(coroutine("x"), queue="q", delay=1), TaskHandle[str])
    many = await dispatcher.dispatch_many([coroutine("x"), coroutine("y")])
    assert_type(many, list[TaskHandle[str] | Exception])

    assert_type(await coroutine.dispatch("x", delay=60), TaskHandle[str])
    assert_type(await function.dispatch(1, y=True, delay=0.5), TaskHandle[list[int]])

    assert_type(await (await coroutine.dispatch("x")).result(timeout=5), str)
    assert_type(await TaskHandle[int]("id").result(), int)
    assert_type((await coroutine.dispatch("x")).upper(), str)
    plain: FunctionTask[[int], str] = with_options
    _ = plain


async def refused() -> None:
    await coroutine.dispatch()  # error
    await coroutine.dispatch(1)  # error
    await coroutine.dispatch("x", m=1)  # error
    await coroutine.dispatch("x", 1, 2)  # error
    await function.dispatch(x=1, y=True)  # error
    await function.dispatch(1, y="x")  # error
    await coroutine.dispatch("x", delay="soon")  # error
    coroutine(1)  # error
    coroutine("x").delay("soon")  # error
    coroutine("x").on_queue(5)  # error
    coroutine("x").at(5)  # error


@task(max_retries="many")  # error
async def bad_option() -> None: ...


@task(retries=3)  # error
async def unknown_option() -> None: ...


@task(retry_on=(ValueError, 5))  # error
async def bad_kinds() -> None: ...
