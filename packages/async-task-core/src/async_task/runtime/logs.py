"""Logging of workers: to standard error, as text or one JSON object per line.

Only the command line configures logging; importing async-task never does. In an application with
a set-up of its own, `TaskFilter` on a handler gives every record its task.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from async_task.core.context import running

_IN_URL = re.compile(r"(://[^\s:@/]*|\b[\w.%+-]+):(?!//)\S*@")  # also where a scheme is missing
_NAMED = re.compile(
    r"((?:password|passwd|pwd|secret\w*)=)('[^']*'|\"[^\"]*\"|[^\s&'\"]+)", re.IGNORECASE
)


def masked(text: str) -> str:
    """Return `text` without the passwords of URLs and connection strings in it."""
    return _NAMED.sub(r"\1***", _IN_URL.sub(r"\1:***@", text))


class TaskFilter(logging.Filter):
    """Gives each record `task_id`, `task` and `attempt` of the task that made it, or None."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; lets everything pass."""
        run = running.get(None)
        context = None if run is None else run.context()
        record.task_id = None if context is None else context.task_id
        record.task = None if context is None else context.task
        record.attempt = None if context is None else context.attempt
        return True


class TextFormatter(logging.Formatter):
    """A line for people: time (UTC), level, task, message; never the password of a URL."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """Return the time of a record."""
        del datefmt
        return f"{_time(record):%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a record."""
        task = getattr(record, "task", None)
        if task is not None and not record.name.startswith("async_task."):  # ours name it
            where = f"{task}[{getattr(record, 'task_id', None)}]"
            record.message = f"{where} run {getattr(record, 'attempt', 0)}: {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return masked(super().format(record))


class JsonFormatter(logging.Formatter):
    """A line for programs: time, level, logger, message, the task and the exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of a record."""
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if getattr(record, "task", None) is not None:
            line |= {name: getattr(record, name, None) for name in ("task", "task_id", "attempt")}
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(line)


chosen: tuple[str, bool] | None = None
"""What `configure_logging` was called with last, for child processes to do the same."""


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send every logger's records of at least `level` to standard error."""
    global chosen
    chosen = level, as_json
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    handler.addFilter(TaskFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
