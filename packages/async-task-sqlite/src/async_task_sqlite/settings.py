"""Settings of the SQLite driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting


@dataclass(frozen=True, kw_only=True)
class SqliteSettings(DriverSettings):
    """Where the SQLite driver keeps its file.

    Attributes:
        path: The database file, made when missing; its directory must exist. Relative paths start
            at the working directory of the process that makes the driver.

    Raises:
        ConfigurationError: The path names no file.
    """

    path: str = setting("async-task.db", "Database file; made when missing, its directory is not.")

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path:
            raise ConfigurationError(
                f"sqlite_path={self.path!r} names no file; give a path such as 'async-task.db'"
            )
        if self.path == ":memory:" or self.path.startswith("file:"):
            raise ConfigurationError(
                f"sqlite_path={self.path!r}: a queue in memory or behind a URI is not a file that "
                "processes can share; give a plain path, or use driver='memory'"
            )

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Read `sqlite:///relative.db` or `sqlite:////absolute.db`, percent-decoded.

        Raises:
            ConfigurationError: The URL names a host, has options, or names no file.
        """
        _, _, rest = url.partition("://")
        place, question, _ = rest.partition("?")
        host, slash, path = place.partition("/")
        if host == ":memory:" or path in ("", ":memory:"):
            raise ConfigurationError(
                f"{url!r} names no file; write sqlite:///relative.db or sqlite:////absolute.db, "
                "or use driver='memory'"
            )
        if host or not slash or question:
            raise ConfigurationError(
                f"{url!r} has a host or options, which SQLite does not; write "
                "sqlite:///relative.db (three slashes) or sqlite:////absolute.db (four)"
            )
        return {"path": unquote(path)}
