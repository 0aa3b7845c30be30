"""A worker inside the application, and what the health routes say of it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial

import pytest
from async_task import Config, Worker, task
from async_task.errors import ConfigurationError
from async_task_fastapi import AsyncTaskIntegration
from fastapi import FastAPI
from fastapi.testclient import TestClient

pytestmark = pytest.mark.anyio
Waiting = Callable[[Config], int]
done: list[str] = []


class Gate:
    """Where the slow task waits for the test, and the test for the task."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()


gate: Gate


@task
async def follow(what: str) -> None:
    done.append(what)


@task(result_ttl=60)
async def note(what: str) -> str:
    done.append(what)
    await follow.dispatch(f"{what}, and again")
    return what


@task
async def slow() -> None:
    gate.entered.set()
    await gate.opened.wait()
    done.append("slow")


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


def make_app(async_task: AsyncTaskIntegration) -> FastAPI:
    app = FastAPI(lifespan=async_task.lifespan)
    app.include_router(async_task.health, prefix="/health")

    @app.post("/")
    async def send(what: str) -> str:
        return await (await note.dispatch(what)).result(60)

    return app


def test_it_works_off_what_is_dispatched(own: Config) -> None:
    app = make_app(AsyncTaskIntegration(config=own, worker=Worker))
    with TestClient(app) as client:
        assert client.post("/", params={"what": "one"}).json() == "one"
        assert client.get("/health/ready").json() == {"status": "ready"}
    assert done[0] == "one"


async def test_what_runs_is_finished_when_the_application_ends(
    own: Config, waiting: Waiting
) -> None:
    global gate
    gate = Gate()
    async_task = AsyncTaskIntegration(config=own, worker=partial(Worker, concurrency=2))
    async with async_task.lifespan(FastAPI()):
        await slow.dispatch()
        await gate.entered.wait()
        asyncio.get_running_loop().call_soon(gate.opened.set)
    assert done == ["slow"]
    assert await asyncio.to_thread(waiting, own) == 0


async def test_signals_are_left_to_the_server(own: Config) -> None:
    assert threading.current_thread() is threading.main_thread()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with AsyncTaskIntegration(config=own, worker=Worker).lifespan(FastAPI()):
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_worker_that_has_ended_is_not_ready(own: Config) -> None:
    app = make_app(AsyncTaskIntegration(config=own, worker=partial(Worker, max_tasks=1)))
    with TestClient(app) as client:
        client.post("/", params={"what": "only"})
        while (answer := client.get("/health/ready")).status_code == 200:
            pass
        assert client.get("/health/live").json() == {"status": "live"}
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "the worker has ended"}


def test_a_worker_that_cannot_be_made_fails_the_start(own: Config) -> None:
    app = make_app(AsyncTaskIntegration(config=own, worker=partial(Worker, concurrency=0)))
    with pytest.raises(ConfigurationError, match="concurrency must be at least 1"), TestClient(app):
        pass
