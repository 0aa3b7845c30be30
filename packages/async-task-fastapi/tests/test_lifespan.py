"""Starting and ending: with the application's own lifespan, and whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from async_task import Config, QueueDriver, task
from async_task.drivers.memory import MemoryDriver
from async_task.errors import ConfigurationError
from async_task_fastapi import AsyncTaskIntegration
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

Waiting = Callable[[Config], int]


@task
async def note(what: str) -> None: ...


def opened(driver: QueueDriver) -> bool:
    assert isinstance(driver.driver, MemoryDriver)
    return driver.driver.is_open


@pytest.fixture
def driver(own: Config) -> QueueDriver:
    return QueueDriver.from_config(own)


def test_the_applications_own_lifespan_runs_inside(
    driver: QueueDriver, own: Config, waiting: Waiting
) -> None:
    seen: list[FastAPI] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        seen.append(app)
        await note.dispatch("the application starts")
        yield {"greeting": "hello"}
        await note.dispatch("the application ends")

    app = FastAPI(lifespan=AsyncTaskIntegration(lifespan, driver=driver).lifespan)

    @app.get("/")
    def greet(request: Request) -> str:
        greeting: str = request.state.greeting
        return greeting

    with TestClient(app) as client:
        assert client.get("/").json() == "hello"
    assert seen == [app]
    assert not opened(driver)
    assert waiting(own) == 2


def test_it_can_be_entered_inside_the_applications_own_lifespan(
    driver: QueueDriver, own: Config, waiting: Waiting
) -> None:
    async_task = AsyncTaskIntegration(driver=driver)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, int]]:
        async with async_task.lifespan(app):
            await note.dispatch("the application starts")
            yield {"answer": 42}

    with TestClient(FastAPI(lifespan=lifespan)) as client:
        assert client.app_state == {"answer": 42}
    assert not opened(driver)
    assert waiting(own) == 1


@pytest.mark.parametrize("when", ["start", "end"])
def test_connections_close_when_the_applications_lifespan_fails(
    driver: QueueDriver, when: str
) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        assert opened(driver)
        if when == "start":
            raise RuntimeError("at its start")
        yield
        raise RuntimeError("at its end")

    app = FastAPI(lifespan=AsyncTaskIntegration(lifespan, driver=driver).lifespan)
    with pytest.raises(RuntimeError, match=f"at its {when}"), TestClient(app):
        pass
    assert not opened(driver)


def test_a_driver_that_cannot_be_made_fails_the_start() -> None:
    app = FastAPI(lifespan=AsyncTaskIntegration(driver="memmory").lifespan)
    with pytest.raises(ConfigurationError, match="memory"), TestClient(app):
        pass


@pytest.mark.parametrize("dependency", ["get_dispatcher", "get_driver"])
def test_what_is_not_started_says_how_to_start_it(driver: QueueDriver, dependency: str) -> None:
    async_task = AsyncTaskIntegration(driver=driver)
    app = FastAPI(lifespan=async_task.lifespan)
    app.include_router(async_task.health)

    @app.get("/", dependencies=[Depends(getattr(async_task, dependency))])
    def nothing() -> None: ...

    for path in ("/", "/ready"):
        with pytest.raises(ConfigurationError, match=r"lifespan=async_task\.lifespan.*TestClient"):
            TestClient(app).get(path)
    with TestClient(app) as client:
        assert client.get("/").status_code == 200
    with pytest.raises(ConfigurationError, match="not started"):
        TestClient(app).get("/")


@pytest.mark.anyio
async def test_two_integrations_in_one_loop_are_refused(own: Config) -> None:
    first, second = AsyncTaskIntegration(config=own), AsyncTaskIntegration(config=own)
    app = FastAPI()
    async with first.lifespan(app):
        with pytest.raises(ConfigurationError, match="share one integration"):
            async with second.lifespan(app):
                pass
        assert (await first.get_driver()).name == "memory"
    async with second.lifespan(app):
        assert (await second.get_driver()).name == "memory"
