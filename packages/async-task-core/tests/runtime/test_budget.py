"""How often a task runs, when it runs again, and what it is told in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from async_task.core.context import current_context
from async_task.core.retry import RejectTask, ReleaseTask, RetryTask
from async_task.core.task import SyncTask, Task, task

if TYPE_CHECKING:
    from runtime.conftest import Bench

pytestmark = pytest.mark.anyio

runs: list[Any] = []


@pytest.fixture(autouse=True)
def no_runs() -> None:
    runs.clear()


@task(max_retries=3, retry_delay=60)
async def failing(what: str = "") -> None:
    context = current_context()
    runs.append((context.attempt, context.deliveries))
    raise ValueError(what)


class Failing(Task[None]):
    max_retries = 1
    retry_delay = 0

    def __init__(self, give_up: bool = False) -> None:
        self.give_up = give_up

    async def handle(self) -> None:
        runs.append(("ran", self._attempts))
        raise ValueError("bad")

    def should_retry(self, exception: Exception) -> bool:
        runs.append(("asked", str(exception)))
        return not self.give_up

    async def failed(self, exception: Exception) -> None:
        runs.append(("failed", str(exception)))


async def test_three_retries_are_four_runs_each_after_its_delay(bench: Bench) -> None:
    await bench.send(failing("bad"))
    for run in range(4):
        await bench.work()
        assert len(runs) == run + 1
        await bench.work()
        await bench.advance(59_999)
        await bench.work()
        assert len(runs) == run + 1
        await bench.advance(1)
    assert runs == [(0, 1), (1, 2), (2, 3), (3, 4)]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures, dead.deliveries) == ("failed", 4, 4)
    assert [(error.type, error.message, error.attempt) for error in dead.errors] == [
        ("ValueError", "bad", attempt) for attempt in range(4)
    ]
    assert "raise ValueError(what)" in dead.errors[-1].traceback
    assert "async_task" not in dead.errors[-1].traceback.replace("async-task-core", "")


async def test_no_retries_is_one_run(bench: Bench) -> None:
    @task(max_retries=0, name="budget-once")
    def once() -> None:
        runs.append(1)
        raise ValueError

    await bench.send(once())
    await bench.work()
    assert runs == [1]
    assert await bench.counts() == (0, 0, 0, 1)


async def test_a_requeued_task_has_its_whole_budget_again(bench: Bench) -> None:
    await bench.send(Failing())
    await bench.work()
    assert runs.count(("ran", 0)) == 1
    assert await bench.queue_driver.dead_letters.requeue("default") == 1
    runs.clear()
    await bench.work()
    assert [run for run in runs if run[0] == "ran"] == [("ran", 0), ("ran", 1)]
    (dead,) = await bench.dead()
    assert len(dead.errors) == 4


async def test_a_class_task_is_asked_and_told(bench: Bench) -> None:
    await bench.send(Failing())
    await bench.work()
    assert runs == [("ran", 0), ("asked", "bad"), ("ran", 1), ("failed", "bad")]


async def test_a_class_task_can_give_up_early(bench: Bench) -> None:
    await bench.send(Failing(give_up=True))
    await bench.work()
    assert runs == [("ran", 0), ("asked", "bad"), ("failed", "bad")]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("failed", 1)


async def test_what_should_retry_and_failed_raise_stands_in_nobodys_way(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(Task[None], name="budget-clumsy"):
        max_retries = 1
        retry_delay = 0

        async def handle(self) -> None:
            runs.append(1)
            raise ValueError

        def should_retry(self, exception: Exception) -> bool:
            raise KeyError

        async def failed(self, exception: Exception) -> None:
            raise KeyError

    await bench.send(Clumsy())
    await bench.work()
    assert runs == [1, 1]
    assert await bench.counts() == (0, 0, 0, 1)
    assert "should_retry() of" in caplog.text
    assert "failed() of budget-clumsy[" in caplog.text


async def test_kinds_of_errors_decide(bench: Bench) -> None:
    @task(name="budget-kinds", retry_on=(OSError,), fail_on=(FileNotFoundError,), retry_delay=0)
    async def kinds(kind: str) -> None:
        runs.append(kind)
        raise {"os": OSError, "missing": FileNotFoundError, "value": ValueError}[kind]

    await bench.send(kinds("os"), kinds("missing"), kinds("value"))
    await bench.work()
    assert sorted(runs) == ["missing", "os", "os", "os", "os", "value"]


async def test_the_caller_can_choose_the_delay_of_retries(bench: Bench) -> None:
    await bench.send(failing().retry_after(5))
    await bench.work()
    await bench.advance(4_999)
    await bench.work()
    assert len(runs) == 1
    await bench.advance(1)
    await bench.work()
    assert len(runs) == 2


async def test_back_off_grows_and_is_capped(bench: Bench) -> None:
    @task(name="budget-growing", retry_delay=10, retry_backoff=3, retry_max_delay=60)
    async def growing() -> None:
        runs.append(1)
        raise ValueError

    await bench.send(growing())
    await bench.work()
    for delay_ms in (10_000, 30_000, 60_000):
        before = len(runs)
        await bench.advance(delay_ms - 1)
        await bench.work()
        assert len(runs) == before
        await bench.advance(1)
        await bench.work()
        assert len(runs) == before + 1


async def test_a_task_steers_its_own_outcome(bench: Bench) -> None:
    @task(name="budget-steering", max_retries=1, fail_on=(Exception,))
    async def steering(how: str) -> None:
        context = current_context()
        runs.append((how, context.attempt))
        if context.deliveries > 1:
            return
        raise {
            "retry": RetryTask(5),
            "release": ReleaseTask(5, "not yet"),
            "reject": RejectTask("never"),
        }[how]

    await bench.send(steering("retry"), steering("release"), steering("reject"))
    await bench.work()
    assert await bench.counts() == (0, 2, 0, 1)
    await bench.advance(5_000)
    await bench.work()
    assert sorted(runs) == [
        ("reject", 0),
        ("release", 0),
        ("release", 0),
        ("retry", 0),
        ("retry", 1),
    ]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures, dead.errors[-1].message) == ("rejected", 0, "never")


async def test_asking_for_a_retry_spends_the_budget(bench: Bench) -> None:
    @task(name="budget-asking", max_retries=2)
    async def asking() -> None:
        runs.append(1)
        raise RetryTask(0)

    await bench.send(asking())
    await bench.work()
    assert len(runs) == 3
    (dead,) = await bench.dead()
    assert dead.reason == "failed"


async def test_a_signal_that_cannot_be_is_a_failure_like_any_other(bench: Bench) -> None:
    @task(name="budget-bad-signal", max_retries=0)
    async def bad() -> None:
        raise ReleaseTask(float("nan"))

    await bench.send(bad())
    await bench.work()
    (dead,) = await bench.dead()
    assert dead.errors[-1].type == "ValueError"


async def test_a_running_task_knows_itself(bench: Bench) -> None:
    class Knowing(SyncTask[None], name="budget-knowing"):
        def handle_sync(self) -> None:
            runs.append((self._task_id, self._attempts, self._dispatched_at, current_context()))

    (handle,) = await bench.send(Knowing().on_queue("q"))
    await bench.work("q")
    ((task_id, attempts, dispatched_at, context),) = runs
    assert (task_id, attempts) == (handle, 0)
    assert dispatched_at.tzinfo is not None
    assert (context.task_id, context.task, context.queue) == (handle, "budget-knowing", "q")
    assert (context.attempt, context.deliveries, context.max_retries) == (0, 1, 3)
    assert context.dispatched_at == dispatched_at
    with pytest.raises(LookupError, match="no task is running here"):
        current_context()


async def test_what_a_task_raises_about_other_tasks_is_a_plain_failure(bench: Bench) -> None:
    @task(name="budget-calling", retry_delay=0, max_retries=1)
    async def calling() -> None:
        runs.append(1)
        await failing.dispatch(1, 2, 3)  # type: ignore[call-overload]  # a mistake on purpose

    await bench.send(calling())
    await bench.work()
    assert runs == [1, 1]
    (dead,) = await bench.dead()
    assert (dead.reason, dead.failures) == ("failed", 2)
