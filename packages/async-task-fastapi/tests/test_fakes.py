"""The test kit's queue stands in for the backend of an application, without overrides."""

from __future__ import annotations

import asyncio

from async_task import Config, Dispatcher, Worker, task
from async_task.testing.fake import FakeQueue
from async_task_fastapi import AsyncTaskIntegration
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

done: list[str] = []


@task
async def note(what: str) -> None:
    done.append(what)


def make_app(async_task: AsyncTaskIntegration) -> FastAPI:
    app = FastAPI(lifespan=async_task.lifespan)
    app.include_router(async_task.health)

    @app.post("/send")
    async def send() -> None:
        await note.dispatch("sent")

    @app.post("/send-from-a-thread")
    def send_from_a_thread() -> None:
        note.dispatch_sync("sent")

    @app.post("/send-through-the-dispatcher")
    async def through(dispatcher: Dispatcher = Depends(async_task.get_dispatcher)) -> None:
        await dispatcher.dispatch(note("sent"))

    return app


def use(app: FastAPI, queue: FakeQueue) -> None:
    with TestClient(app) as client:
        for number, way in enumerate(("", "-from-a-thread", "-through-the-dispatcher"), 1):
            client.post(f"/send{way}").raise_for_status()
            queue.assert_dispatched(note, {"what": "sent"}, times=number)
        assert client.get("/ready").status_code == 200


def test_what_is_dispatched_is_recorded_and_run_when_told(fake_queue: FakeQueue) -> None:
    done.clear()
    use(make_app(AsyncTaskIntegration(driver="redis", worker=Worker)), fake_queue)
    assert done == []
    assert asyncio.run(fake_queue.run()) == 3
    assert done == ["sent"] * 3


def test_it_can_come_after_the_start(own: Config) -> None:
    app = make_app(AsyncTaskIntegration(config=own))
    with TestClient(app) as client, FakeQueue() as queue:
        client.post("/send-through-the-dispatcher").raise_for_status()
        queue.assert_dispatched(note, times=1)


def test_tasks_can_run_within_the_request(inline_queue: FakeQueue) -> None:
    done.clear()
    with TestClient(make_app(AsyncTaskIntegration())) as client:
        client.post("/send").raise_for_status()
        assert done == ["sent"]
