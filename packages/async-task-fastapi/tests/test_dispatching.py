"""Wherever an application dispatches, it goes through the integration's own driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from async_task import Config, Dispatcher, QueueDriver, TaskHandle, get_global_config, task
from async_task_fastapi import AsyncTaskIntegration
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request
from fastapi.testclient import TestClient

Waiting = Callable[[Config], int]


@task
async def note(what: str) -> None: ...


@task(driver="memory")
def named() -> None: ...


router = APIRouter()


async def audited(request: Request) -> TaskHandle[None]:
    return await note.dispatch(f"{request.url} is asked for")


def audited_blocking(request: Request) -> TaskHandle[None]:
    return note.dispatch_sync(f"{request.url} is asked for")


@router.post("/coroutine")
async def coroutine() -> str:
    return await note.dispatch("from a coroutine")


@router.post("/thread")
def thread() -> str:
    return note.dispatch_sync("from a thread")


@router.post("/thread-of-its-own")
async def thread_of_its_own() -> str:
    return await asyncio.to_thread(note.dispatch_sync, "from another thread")


@router.post("/background")
async def background(later: BackgroundTasks) -> None:
    later.add_task(note.dispatch, "after the response")


@router.post("/background-thread")
def background_thread(later: BackgroundTasks) -> None:
    later.add_task(note.dispatch_sync, "after the response")


@router.post("/dependency")
async def dependency(found: TaskHandle[None] = Depends(audited)) -> str:
    return found


@router.post("/dependency-thread")
def dependency_thread(found: TaskHandle[None] = Depends(audited_blocking)) -> str:
    return found


def make_app(async_task: AsyncTaskIntegration) -> FastAPI:
    app = FastAPI(lifespan=async_task.lifespan)
    app.include_router(router)

    @app.post("/dispatcher")
    async def dispatcher(found: Dispatcher = Depends(async_task.get_dispatcher)) -> str:
        return await found.dispatch(note("through the dispatcher"))

    @app.post("/named")
    async def by_name() -> str:
        return await named.dispatch()

    @app.get("/size")
    async def size(driver: QueueDriver = Depends(async_task.get_driver)) -> int:
        return await driver.get_queue_size("default")

    return app


PATHS = [
    "coroutine", "thread", "thread-of-its-own", "background", "background-thread", "dependency",
    "dependency-thread", "dispatcher", "named",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_it_goes_to_the_integrations_driver(path: str, own: Config, waiting: Waiting) -> None:
    app = make_app(AsyncTaskIntegration(config=own))
    with TestClient(app) as client:
        assert client.post(f"/{path}").status_code == 200
        assert client.get("/size").json() == 1
    assert waiting(own) == 1
    assert waiting(get_global_config()) == 0


def test_without_anything_it_is_the_global_configuration(waiting: Waiting) -> None:
    with TestClient(make_app(AsyncTaskIntegration())) as client:
        client.post("/coroutine")
    assert waiting(get_global_config()) == 1


def test_a_driver_may_be_given_itself(own: Config, waiting: Waiting) -> None:
    driver = QueueDriver.from_config(own)
    app = make_app(AsyncTaskIntegration(driver=driver))
    for sent in (1, 2):
        with TestClient(app) as client:
            client.post("/coroutine")
        assert waiting(own) == sent


def test_a_driver_may_be_given_by_name(own: Config, waiting: Waiting) -> None:
    settings = {"memory_name": own.memory_name, "driver": "absent"}
    with TestClient(
        make_app(AsyncTaskIntegration(config=Config(**settings), driver="memory"))
    ) as client:
        client.post("/coroutine")
    assert waiting(own) == 1


def test_applications_in_loops_of_their_own_keep_apart(own: Config, waiting: Waiting) -> None:
    other = own.replace(namespace="other")
    apps = [make_app(AsyncTaskIntegration(config=config)) for config in (own, other)]
    with ExitStack() as stack:
        first, second = (stack.enter_context(TestClient(app)) for app in apps)
        first.post("/coroutine")
        second.post("/coroutine")
        second.post("/dispatcher")
    assert (waiting(own), waiting(other)) == (1, 2)


def test_one_application_may_run_in_several_loops(own: Config, waiting: Waiting) -> None:
    app = make_app(AsyncTaskIntegration(config=own))
    with TestClient(app) as first, TestClient(app) as second:
        first.post("/dispatcher")
        second.post("/dispatcher")
    assert waiting(own) == 2
