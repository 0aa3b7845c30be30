"""async-task: a typed task queue for async Python, with one API on every backend.

Names are resolved when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from async_task.__about__ import __version__ as __version__
    from async_task.config import Config as Config
    from async_task.config import get_global_config as get_global_config
    from async_task.config import set_global_config as set_global_config
    from async_task.core.context import TaskContext as TaskContext
    from async_task.core.context import current_context as current_context
    from async_task.core.dispatcher import Dispatcher as Dispatcher
    from async_task.core.dispatcher import get_dispatcher as get_dispatcher
    from async_task.core.driver_factory import DriverFactory as DriverFactory
    from async_task.core.handle import TaskHandle as TaskHandle
    from async_task.core.pending import PendingCall as PendingCall
    from async_task.core.queue_driver import QueueDriver as QueueDriver
    from async_task.core.retry import RejectTask as RejectTask
    from async_task.core.retry import ReleaseTask as ReleaseTask
    from async_task.core.retry import RetryTask as RetryTask
    from async_task.core.task import FunctionTask as FunctionTask
    from async_task.core.task import SyncTask as SyncTask
    from async_task.core.task import Task as Task
    from async_task.core.task import task as task
    from async_task.core.worker import Worker as Worker
    from async_task.errors import AsyncTaskError as AsyncTaskError
    from async_task.serialization.types import register_type as register_type

_HOMES = {
    "__version__": "__about__",
    "Config": "config",
    "get_global_config": "config",
    "set_global_config": "config",
    "TaskContext": "core.context",
    "current_context": "core.context",
    "Dispatcher": "core.dispatcher",
    "get_dispatcher": "core.dispatcher",
    "DriverFactory": "core.driver_factory",
    "TaskHandle": "core.handle",
    "PendingCall": "core.pending",
    "QueueDriver": "core.queue_driver",
    "RejectTask": "core.retry",
    "ReleaseTask": "core.retry",
    "RetryTask": "core.retry",
    "FunctionTask": "core.task",
    "SyncTask": "core.task",
    "Task": "core.task",
    "task": "core.task",
    "Worker": "core.worker",
    "AsyncTaskError": "errors",
    "register_type": "serialization.types",
}

__all__ = [
    "AsyncTaskError",
    "Config",
    "Dispatcher",
    "DriverFactory",
    "FunctionTask",
    "PendingCall",
    "QueueDriver",
    "RejectTask",
    "ReleaseTask",
    "RetryTask",
    "SyncTask",
    "Task",
    "TaskContext",
    "TaskHandle",
    "Worker",
    "__version__",
    "current_context",
    "get_dispatcher",
    "get_global_config",
    "register_type",
    "set_global_config",
    "task",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'async_task' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"async_task.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
