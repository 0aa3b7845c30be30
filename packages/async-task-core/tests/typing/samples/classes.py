"""Class tasks as a type checker sees them. Lines marked `# error` must be refused."""

from __future__ import annotations

from typing import Any, assert_type

from async_task import (
    Config,
    Dispatcher,
    DriverFactory,
    PendingCall,
    QueueDriver,
    SyncTask,
    Task,
    TaskHandle,
    Worker,
    get_dispatcher,
    set_global_config,
)


class Pay(Task[bool]):
    queue = "payments"
    max_retries = 3
    retry_delay = 60
    timeout = 30
    driver = "redis"
    retry_on = (OSError,)

    def __init__(self, user_id: int, amount: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.user_id = user_id
        self.amount = amount

    async def handle(self) -> bool:
        return self.amount > 0

    async def failed(self, exception: Exception) -> None: ...

    def should_retry(self, exception: Exception) -> bool:
        return self._attempts < 3 and self._task_id is not None


class Report(SyncTask[bytes], name="report", aliases=("old-report",)):
    timeout = 0.5

    def handle_sync(self) -> bytes:
        return b""


async def kinds(dispatcher: Dispatcher) -> None:
    assert_type(await Pay(user_id=1, amount=9.99).dispatch(), TaskHandle[bool])
    assert_type(Pay(1, 2).delay(60), PendingCall[bool])
    assert_type(await Pay(1, 2).delay(60).on_queue("high").dispatch(), TaskHandle[bool])
    assert_type(await dispatcher.dispatch(Pay(1, 2)), TaskHandle[bool])
    assert_type(await Report().dispatch(), TaskHandle[bytes])
    assert_type(await Pay(1, 2).handle(), bool)
    assert_type(await Report().handle(), bytes)


async def others() -> None:
    set_global_config(driver="redis", redis_url="redis://localhost", redis_password=None)
    config = Config.from_env(driver="redis")
    assert_type(config.default_queue, str)
    assert_type(config.default_timeout, float | None)
    driver = DriverFactory.create_from_config(config)
    assert_type(driver, QueueDriver)
    assert_type(await driver.get_queue_size("default"), int)
    assert_type(get_dispatcher(), Dispatcher)
    worker = Worker(queue_driver=driver, queues=["high", "low"], concurrency=10, max_tasks=None)
    weighted = Worker(driver, {"high": 6, "low": 1}, stop_when_empty=True)
    assert_type(await worker.start(), None)
    assert_type(await weighted.start(), None)


async def refused(driver: QueueDriver) -> None:
    Pay()  # error
    Pay("x", 1)  # error
    Pay(1)  # error
    Pay(1, 2).delay("soon")  # error
    Worker()  # error
    Worker(driver, queues=5)  # error
    Worker(driver, concurrency="many")  # error
    await driver.get_queue_size()  # error
    Report(1)  # error


class BadQueue(Task[None]):
    queue = 5  # error

    async def handle(self) -> None: ...


class BadResult(Task[bool]):
    async def handle(self) -> str:  # error
        return ""
