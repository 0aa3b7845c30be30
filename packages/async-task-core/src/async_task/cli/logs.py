"""Logging of the command line: to standard error, as text or one JSON object per line.

Only here is logging configured; importing async-task never does.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from async_task.cli.output import masked


class TextFormatter(logging.Formatter):
    """A line for people: time (UTC), level, message; never the password of a URL."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time of a record."""
        del datefmt
        return f"{_time(record):%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return masked(super().format(record))


class JsonFormatter(logging.Formatter):
    """A line for programs: time, level, logger, message, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of a record."""
        line = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(line)


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send every logger's records of at least `level` to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
