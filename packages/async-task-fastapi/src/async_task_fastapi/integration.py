"""What an application holds: one lifespan, two dependencies, two health routes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from async_task.config import get_global_config
from async_task.core.dispatcher import (
    Dispatcher,
    bind_dispatcher,
    get_dispatcher,
    substituted_driver,
)
from async_task.core.queue_driver import QueueDriver
from async_task.errors import ConfigurationError

from async_task_fastapi.embedded import EmbeddedWorker
from async_task_fastapi.health import health_router

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from async_task.config import Config
    from async_task.core.worker import Worker
    from fastapi import APIRouter, FastAPI


class AsyncTaskIntegration:
    """Connects an application to its queue for as long as the application runs.

        async_task = AsyncTaskIntegration()
        app = FastAPI(lifespan=async_task.lifespan)

    While it is started, `f.dispatch()` in endpoints, their dependencies and background tasks, and
    `f.dispatch_sync()` in those that are no coroutines, go through its connections. Every process,
    and every event loop, that runs the application has connections of its own.

    Args:
        lifespan: The application's own. It is entered after this one and left before it, so that it
            can dispatch too; what it yields is the application's state.
        config: The configuration; the global one at the start unless given.
        driver: Name of a driver, to choose another one than the configuration does, or a driver,
            which serves one loop at a time and is connected and disconnected here.
        worker: Makes a worker that runs inside the application, from the driver it is to serve:
            `Worker`, or `partial(Worker, queues=["emails"], concurrency=4)`. None for no worker.
    """

    def __init__(
        self,
        lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Any]] | None = None,
        *,
        config: Config | None = None,
        driver: QueueDriver | str | None = None,
        worker: Callable[[QueueDriver], Worker] | None = None,
    ) -> None:
        self._own_lifespan = lifespan
        self._config = config
        self._driver = driver
        self._make_worker = worker
        self._started: dict[asyncio.AbstractEventLoop, EmbeddedWorker | None] = {}
        self.health: APIRouter = health_router(self._check)
        """Routes `/live` and `/ready`, to be included in the application.

        `/live` answers 200 as long as the event loop does. `/ready` answers 503 unless the backend
        answers, within `op_timeout`, and the embedded worker, if there is one, is at work.
        """

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[Any]:
        """Connect, run the application, then disconnect, however it ends.

        Its value is that of the application's own lifespan, or None. Under a `FakeQueue` no backend
        is reached and no worker is started.

        Raises:
            ConfigurationError: The backend cannot serve as configured, or this event loop runs
                another integration already.
            DriverError: The backend cannot be reached.
        """
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            fake = substituted_driver()
            driver = fake or self._own_driver()
            dispatcher = Dispatcher(driver, joins_transactions=fake is None)
            stack.push_async_callback(dispatcher.close)
            await driver.connect()
            bind_dispatcher(dispatcher)
            stack.callback(bind_dispatcher, None)
            worker = None
            if self._make_worker is not None and fake is None:
                again = QueueDriver.from_config(driver.config, name=driver.name)
                worker = EmbeddedWorker(self._make_worker(again))
                await stack.enter_async_context(worker)
            self._started[loop] = worker
            stack.callback(self._started.pop, loop)
            state = None
            if self._own_lifespan is not None:
                state = await stack.enter_async_context(self._own_lifespan(app))
            yield state

    async def get_dispatcher(self) -> Dispatcher:
        """Return the dispatcher: a dependency, `Depends(async_task.get_dispatcher)`.

        Raises:
            ConfigurationError: The lifespan was not entered in this event loop.
        """
        self._here()
        return get_dispatcher()

    async def get_driver(self) -> QueueDriver:
        """Return the driver, for sizes of queues and dead letters: a dependency.

        Raises:
            ConfigurationError: The lifespan was not entered in this event loop.
        """
        return (await self.get_dispatcher()).driver

    def _own_driver(self) -> QueueDriver:
        if isinstance(self._driver, QueueDriver):
            return self._driver
        config = get_global_config() if self._config is None else self._config
        return QueueDriver.from_config(config, name=self._driver)

    def _here(self) -> EmbeddedWorker | None:
        """Return the worker of the running loop, if it has one; raises if nothing is started."""
        try:
            return self._started[asyncio.get_running_loop()]
        except KeyError:
            msg = (
                "async-task is not started here: make the application by"
                " FastAPI(lifespan=async_task.lifespan), and enter its test client,"
                " `with TestClient(app) as client`, so that the lifespan runs"
            )
            raise ConfigurationError(msg) from None

    async def _check(self) -> str | None:
        """Return what is wrong, in words for everybody, or None."""
        worker = self._here()
        driver = await self.get_driver()
        await driver.connect()
        await driver.driver.ping()
        return "the worker has ended" if worker is not None and worker.ended else None
