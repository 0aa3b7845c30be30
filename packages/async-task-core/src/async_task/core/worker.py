"""The documented import path of the worker."""

from async_task.runtime.worker import Worker as Worker
