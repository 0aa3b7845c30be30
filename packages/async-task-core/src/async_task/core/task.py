"""Declaring tasks: the `@task` decorator, and the classes `Task` and `SyncTask`."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from async_task.core.definition import Execution, TaskDefinition, TaskOptions
from async_task.core.naming import module_name, qualified_name
from async_task.core.pending import Fluent, PendingCall
from async_task.core.registry import registry
from async_task.core.retry import LONGEST_DELAY_S
from async_task.errors import ConfigurationError
from async_task.serialization.types import default_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from async_task.core.handle import TaskHandle
    from async_task.core.queue_driver import QueueDriver

default_registry.module_name = module_name  # types of a script travel under its import name

P = ParamSpec("P")
R = TypeVar("R")


class FunctionTask(Generic[P, R]):
    """A function declared as a task. Calling it makes a call to be dispatched; it runs nothing.

    Attributes:
        func: The plain function: what to call in a unit test.
        definition: What is known about the task.
        name: The name it travels under.
    """

    func: Callable[P, Any]

    def __init__(self, func: Callable[P, Any], definition: TaskDefinition) -> None:
        functools.update_wrapper(self, func)
        self.func = func
        self.definition = definition
        self.name: str = definition.name

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> PendingCall[R]:
        """Return the call with these arguments, to be configured and dispatched."""
        return PendingCall(self.definition, args, kwargs)

    @overload
    async def dispatch(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]: ...
    @overload
    async def dispatch(self, /, *args: Any, delay: float, **kwargs: Any) -> TaskHandle[R]: ...
    async def dispatch(self, /, *args: Any, **kwargs: Any) -> TaskHandle[R]:
        """Send the task with these arguments; return once it is stored durably.

        `delay=` seconds may be given besides, unless the task has a parameter of that name: then
        the value is the task's, and `.delay()` on a call is the way. (The type system cannot add a
        keyword to a parameter list, so arguments beside `delay=` are checked at run time only.)

        Raises:
            TaskArgumentsError, EncodeError, MessageTooLargeError, UnsupportedError: It cannot be
                sent as it is; nothing was stored.
            DriverError: It was not stored.
            OutcomeUnknownError: It may be stored; see `PendingCall.dispatch`.
        """
        if "delay" in kwargs and "delay" not in self.definition.parameters:
            delay = kwargs.pop("delay")
        else:
            delay = None
        # Not PendingCall[R](...): called by its alias, a class takes 0.8 us longer.
        call: PendingCall[R] = PendingCall(self.definition, args, kwargs)
        return await (call if delay is None else call.delay(delay)).dispatch()

    def dispatch_sync(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Send the task from code without an event loop; options are chained on a call."""
        call: PendingCall[R] = PendingCall(self.definition, args, kwargs)
        return call.dispatch_sync()

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


class _Decorator(Protocol):
    @overload
    def __call__(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> FunctionTask[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> FunctionTask[P, R]: ...


@overload
def task(func: Callable[P, Coroutine[Any, Any, R]], /) -> FunctionTask[P, R]: ...
@overload
def task(func: Callable[P, R], /) -> FunctionTask[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    aliases: tuple[str, ...] | list[str] = (),
    process: bool = False,
    queue: str | None = None,
    max_retries: int | None = None,
    retry_delay: float | None = None,
    timeout: float | None = None,
    driver: str | QueueDriver | None = None,
    retry_backoff: float = 1.0,
    retry_jitter: bool = False,
    retry_max_delay: float = LONGEST_DELAY_S,
    retry_on: tuple[type[BaseException], ...] = (),
    fail_on: tuple[type[BaseException], ...] = (),
    result_ttl: float | None = None,
) -> _Decorator: ...
def task(
    func: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] | list[str] = (),
    process: bool = False,
    **options: Any,
) -> Any:
    """Declare a function as a task: `async def` runs on the worker's loop, `def` in a thread.

    Args:
        func: The function, when used as a bare `@task`.
        name: The name it travels under; `module:qualname` unless given.
        aliases: Older names that messages may still carry.
        process: Run it in a child process: for CPU-bound work. Its `timeout` then kills.
        **options: The fields of `TaskOptions`: `queue`, `max_retries`, `retry_delay`, `timeout`,
            `driver`, `retry_backoff`, `retry_jitter`, `retry_max_delay`, `retry_on`, `fail_on`,
            `result_ttl`.

    Raises:
        ConfigurationError: An option's value cannot be, or another task has the name.
    """

    def declare(func: Callable[..., Any]) -> FunctionTask[Any, Any]:
        if not inspect.isfunction(func):
            msg = f"@task is for functions, not for {func!r}; derive a class from Task instead"
            raise ConfigurationError(msg)
        if name is None and func.__name__ == "<lambda>":
            msg = "@task: lambdas of a module all have one name; give this one another by name="
            raise ConfigurationError(msg)
        _check_runs(func)
        definition = TaskDefinition(
            name=name or qualified_name(func),
            aliases=tuple(aliases),
            target=func,
            method=None,
            execution=Execution.PROCESS if process else _execution(func),
            options=TaskOptions(**options),
            signature=inspect.signature(func),
        )
        registry.add(definition)
        default_registry.register_annotations(func)
        return FunctionTask(func, definition)

    return declare if func is None else declare(func)


class Task(Fluent[R]):
    """A task as a class: write `handle`; arguments are what the constructor is given.

    What travels are the constructor's arguments: the worker makes the instance again by calling the
    class with them. Without a constructor of its own, a class takes any keywords and keeps them as
    attributes. Deriving a class that has a `handle` declares the task; `name=` and `aliases=` in
    the class statement say how it is called: `class Pay(Task[bool], name="pay")`.

    Attributes:
        queue: Queue that the task goes to.
        max_retries: Re-runs after a failed first run.
        retry_delay: Seconds before the first re-run.
        timeout: Seconds that one run may take; 0 for no limit whatever the default is.
        driver: Where the task goes if not to the default driver.
        process: Run it in a child process: for CPU-bound work. Its `timeout` then kills.
        retry_backoff, retry_jitter, retry_max_delay, retry_on, fail_on,
        result_ttl: See `TaskOptions`.
    """

    queue: ClassVar[str | None] = None
    max_retries: ClassVar[int | None] = None
    retry_delay: ClassVar[float | None] = None
    timeout: ClassVar[float | None] = None
    driver: ClassVar[str | QueueDriver | None] = None
    process: ClassVar[bool] = False
    retry_backoff: ClassVar[float] = 1.0
    retry_jitter: ClassVar[bool] = False
    retry_max_delay: ClassVar[float] = LONGEST_DELAY_S
    retry_on: ClassVar[tuple[type[BaseException], ...]] = ()
    fail_on: ClassVar[tuple[type[BaseException], ...]] = ()
    result_ttl: ClassVar[float | None] = None

    _body: ClassVar[str] = "handle"
    _execution: ClassVar[Execution] = Execution.ASYNC
    _definition: ClassVar[TaskDefinition | None] = None
    _task_id: str | None = None
    _attempts: int = 0
    _dispatched_at: datetime | None = None
    __arguments: tuple[tuple[Any, ...], dict[str, Any]]  # names no task can take for its own
    __call: PendingCall[R] | None = None

    def __init_subclass__(
        cls, *, name: str | None = None, aliases: tuple[str, ...] | list[str] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        body = getattr(cls, cls._body)
        if getattr(body, "__isabstractmethod__", False):  # still a base class of tasks
            return
        _check_runs(body)
        options = {field: getattr(cls, field) for field in TaskOptions.__dataclass_fields__}
        signature = inspect.signature(cls.__init__)
        parameters = list(signature.parameters.values())[1:]
        cls._definition = TaskDefinition(
            name=name or f"{module_name(cls.__module__)}:{cls.__qualname__}",
            aliases=tuple(aliases),
            target=cls,
            method=cls._body,
            execution=Execution.PROCESS if cls.process else cls._execution,
            options=TaskOptions(**options),
            signature=signature.replace(parameters=parameters),
        )
        registry.add(cls._definition)
        default_registry.register_annotations(cls.__init__)
        default_registry.register_annotations(body)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        """Remember what the constructor was given; that is what travels."""
        self = super().__new__(cls)
        self.__arguments = (args, kwargs)
        return self

    def __init__(self, /, **kwargs: Any) -> None:
        """Keep keywords as attributes.

        Raises:
            ConfigurationError: A keyword would hide a method of `Task`.
        """
        for key, value in kwargs.items():
            if callable(getattr(Task, key, None)):
                msg = (
                    f"{type(self).__name__}: keyword {key!r} would hide Task.{key}; write an"
                    " __init__ that keeps it under another name"
                )
                raise ConfigurationError(msg)
            setattr(self, key, value)

    @abstractmethod
    async def handle(self) -> R:
        """Do the work. The result is the task's."""
        raise NotImplementedError

    async def failed(self, exception: Exception) -> None:
        """React when the task will not be tried again; runs at least once per dead task."""

    def should_retry(self, exception: Exception) -> bool:
        """Say whether this failure may be tried again, within the budget of `max_retries`."""
        return True

    def __pending__(self) -> PendingCall[R]:
        definition = self._definition
        if definition is None:
            msg = f"{type(self).__name__} has no {self._body}(), so it is no task yet"
            raise ConfigurationError(msg)
        if self.__call is None:
            # Kept, so that after an unknown outcome the same message goes out again.
            call: PendingCall[R] = PendingCall(definition, *self.__arguments)
            call.used = True
            self.__call = call
        return self.__call


class SyncTask(Task[R]):
    """A class task of blocking code: write `handle_sync`; it runs in the worker's thread pool."""

    _body: ClassVar[str] = "handle_sync"
    _execution: ClassVar[Execution] = Execution.THREAD

    @abstractmethod
    def handle_sync(self) -> R:
        """Do the work. The result is the task's."""
        raise NotImplementedError

    async def handle(self) -> R:
        """Run `handle_sync` here, blocking; for unit tests."""
        return self.handle_sync()


def _check_runs(body: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        msg = (
            f"{qualified_name(body)} has a yield in it: calling it runs nothing of it, so it cannot"
            " be a task; return a value instead"
        )
        raise ConfigurationError(msg)


def definition_of(task: FunctionTask[Any, Any] | type[Task[Any]]) -> TaskDefinition:
    """Return what is known about a declared task.

    Raises:
        ConfigurationError: It is a class without a `handle`.
    """
    if isinstance(task, FunctionTask):
        return task.definition
    definition = task._definition  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this module
    if definition is None:
        msg = f"{task.__name__} has no handle(), so it is no task yet"
        raise ConfigurationError(msg)
    return definition


def _execution(func: Callable[..., Any]) -> Execution:
    return Execution.ASYNC if inspect.iscoroutinefunction(func) else Execution.THREAD
