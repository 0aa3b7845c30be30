"""What can be declared as a task, and what is refused at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from async_task.config import Config
from async_task.core.definition import TaskOptions
from async_task.core.registry import Registry, registry
from async_task.core.task import SyncTask, Task, task
from async_task.errors import ConfigurationError, UnknownTaskError


def test_a_task_is_found_by_its_name_and_its_aliases() -> None:
    @task(name="declared-new", aliases=["declared-old", "declared-older"])
    def f() -> None: ...

    class C(Task[None], name="declared-class", aliases=("declared-klass",)):
        async def handle(self) -> None: ...

    for name in ("declared-new", "declared-old", "declared-older"):
        assert registry.get(name) is f.definition
    assert registry.get("declared-class") is registry.get("declared-klass") is C._definition
    assert list(registry).count(f.definition) == 1


def test_a_name_that_is_taken_is_refused_naming_both() -> None:
    @task(name="declared-once", aliases=["declared-alias"])
    def first() -> None: ...

    for names in ({"name": "declared-once"}, {"name": "x", "aliases": ["declared-alias"]}):
        with pytest.raises(ConfigurationError, match=r"first and .*second; give one of them"):

            @task(**names)
            def second() -> None: ...

    with pytest.raises(UnknownTaskError):
        registry.get("x")


def test_declaring_the_same_function_again_replaces_it() -> None:
    def declare() -> Any:
        @task
        def f() -> None: ...

        return f

    first, second = declare(), declare()
    assert registry.get(first.name) is second.definition


def test_a_name_nobody_declared_is_unknown() -> None:
    with pytest.raises(UnknownTaskError, match=r"'never'.*is the module that defines it imported"):
        Registry().get("never")


@pytest.mark.parametrize("thing", [len, Config, staticmethod(len), partial(print), 5])
def test_only_functions_can_be_decorated(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="derive a class from Task instead"):
        task(thing)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="lambdas of a module all have one name"):
        task(lambda: 1)
    named: Any = task(name="declared-lambda")(lambda: 1)
    assert registry.get("declared-lambda") is named.definition


def test_a_body_that_a_call_would_not_run_is_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def asynchronous() -> AsyncIterator[int]:
        yield 1

    bodies: list[Callable[..., object]] = [generator, asynchronous]
    for body in bodies:
        with pytest.raises(ConfigurationError, match=r"has a yield in it"):
            task(body)
    with pytest.raises(ConfigurationError, match=r"handle_sync has a yield in it"):

        class C(SyncTask[Any]):
            def handle_sync(self) -> Any:
                yield 1


def test_a_class_without_a_body_is_a_base_and_no_task() -> None:
    class Base(Task[int]):
        def __init__(self, x: int) -> None:
            self.x = x

    class Concrete(Base):
        async def handle(self) -> int:
            return self.x

    assert Base._definition is None
    with pytest.raises(ConfigurationError, match=r"Base has no handle\(\), so it is no task yet"):
        Base(1).delay(1)  # type: ignore[abstract]  # a mistake on purpose
    assert Concrete(1).delay(1).__pending__().args == (1,)
    assert Concrete._definition is not None
    assert Concrete._definition.parameters == ("x",)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "no spaces"},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": "3"},
        {"retry_delay": -1},
        {"retry_delay": float("nan")},
        {"retry_delay": float("inf")},
        {"timeout": -1},
        {"timeout": "1"},
        {"result_ttl": -1},
        {"retry_backoff": 0.5},
        {"retry_backoff": float("nan")},
        {"retry_max_delay": -1},
        {"retry_max_delay": float("inf")},
        {"retry_on": ValueError},
        {"retry_on": [ValueError]},
        {"fail_on": ("ValueError",)},
    ],
)
def test_an_option_that_cannot_be_is_refused_at_declaration(options: dict[str, Any]) -> None:
    (option,) = options
    with pytest.raises(ConfigurationError, match=option.removeprefix("retry_")):

        @task(**options)
        def f() -> None: ...

    with pytest.raises(ConfigurationError, match=option.removeprefix("retry_")):
        type("C", (Task,), options | {"handle": _handle})


async def _handle(self: object) -> None: ...


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="retries"):

        @task(retries=3)  # type: ignore[call-overload,untyped-decorator]  # a mistake on purpose
        def f() -> None: ...


def test_options_of_a_class_are_inherited_and_overridden() -> None:
    class First(Task[None]):
        queue = "first"
        max_retries = 7

        async def handle(self) -> None: ...

    class Second(First):
        queue = "second"

    assert First._definition is not None
    assert Second._definition is not None
    assert First._definition.options == TaskOptions(queue="first", max_retries=7)
    assert Second._definition.options == TaskOptions(queue="second", max_retries=7)
    assert Second._definition.name.endswith(".Second")


def test_what_a_task_leaves_open_follows_the_configuration() -> None:
    config = Config(default_max_retries=7, default_retry_delay=8, default_timeout=9)
    policy, timeout_s, _ = TaskOptions().terms(config)
    assert (policy.max_retries, policy.delay, timeout_s) == (7, 8.0, 9.0)
    policy, timeout_s, _ = TaskOptions(max_retries=0, retry_delay=0, timeout=0).terms(config)
    assert (policy.max_retries, policy.delay, timeout_s) == (0, 0, None)
