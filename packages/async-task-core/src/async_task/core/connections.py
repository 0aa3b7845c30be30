"""Executing a driver's SQL on a connection that belongs to the application.

Whatever the application holds is used through its own interface: a statement that went to the raw
connection below SQLAlchemy would not be in SQLAlchemy's transaction (measured with asyncpg: its
adapter begins lazily).
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from async_task.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from async_task.spi.facets import Statement

T = TypeVar("T")

_PLACEHOLDER = re.compile(r":([a-z_][a-z0-9_]*)")


class Connection(Protocol):
    """A caller's connection. Methods of a synchronous one never suspend; see `completed`."""

    @property
    def dialect(self) -> str:
        """`"postgresql"`, `"mysql"` or `"sqlite"`."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it needs an event loop."""
        ...

    async def begin(self) -> None:
        """Begin a transaction; it must not be in one."""
        ...

    async def commit(self) -> None:
        """Commit it."""
        ...

    async def rollback(self) -> None:
        """Roll it back."""
        ...

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        """Execute a statement and return its rows; an empty sequence if it has none."""
        ...


def completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("a synchronous connection has suspended")


def _is_of(connection: Any, package: str) -> bool:
    return any(kind.__module__.startswith(package) for kind in type(connection).__mro__)


async def _awaited(value: Any) -> Any:
    """Return what a call of a client came to, asynchronous or not."""
    return await value if inspect.isawaitable(value) else value


class _Sqlite:
    """A connection of sqlite3 or aiosqlite, which are the same but for awaiting."""

    dialect = "sqlite"

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.is_async = _is_of(connection, "aiosqlite")

    async def begin(self) -> None:
        await _awaited(self._connection.execute("BEGIN IMMEDIATE"))

    async def commit(self) -> None:
        await _awaited(self._connection.commit())

    async def rollback(self) -> None:
        await _awaited(self._connection.rollback())

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        execute = self._connection.execute
        cursor = await _awaited(execute(statement.sql, dict(statement.parameters)))
        rows: Sequence[Any] = await _awaited(cursor.fetchall())
        return rows


class _Asyncpg:
    dialect = "postgresql"
    is_async = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._transaction: Any = None

    async def begin(self) -> None:
        if self._connection.is_in_transaction():
            raise ConfigurationError("the connection is in a transaction already")
        self._transaction = self._connection.transaction()
        await self._transaction.start()

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        names: list[str] = []

        def number(match: re.Match[str]) -> str:
            if match[1] not in names:
                names.append(match[1])
            return f"${names.index(match[1]) + 1}"

        sql = _PLACEHOLDER.sub(number, statement.sql)
        values = (statement.parameters[name] for name in names)
        rows: Sequence[Any] = await self._connection.fetch(sql, *values)
        return rows


class _Aiomysql:
    """A connection of aiomysql or asyncmy."""

    dialect = "mysql"
    is_async = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def begin(self) -> None:
        await self._connection.begin()

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        sql = _PLACEHOLDER.sub(r"%(\1)s", statement.sql.replace("%", "%%"))
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, dict(statement.parameters))
            rows: Sequence[Any] = await cursor.fetchall() if cursor.description else ()
            return rows


class _Sqlalchemy:
    """A connection or session of SQLAlchemy, asynchronous or not."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._text = importlib.import_module("sqlalchemy").text
        self.is_async = _is_of(connection, "sqlalchemy.ext.asyncio")
        bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
        name: str = bind.dialect.name
        self.dialect = "mysql" if name == "mariadb" else name

    async def begin(self) -> None:
        if self._connection.in_transaction():
            raise ConfigurationError("the session or connection is in a transaction already")
        await _awaited(self._connection.begin())

    async def commit(self) -> None:
        await _awaited(self._connection.commit())

    async def rollback(self) -> None:
        await _awaited(self._connection.rollback())

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        execute = self._connection.execute
        result = await _awaited(execute(self._text(statement.sql), dict(statement.parameters)))
        rows: Sequence[Any] = result.fetchall() if result.returns_rows else ()
        return rows


class _Django:
    """A connection of Django."""

    is_async = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect: str = connection.vendor

    async def begin(self) -> None:
        if self._connection.in_atomic_block or not self._connection.get_autocommit():
            raise ConfigurationError("the connection is in a transaction already")
        # Like this, an atomic() inside is a savepoint of it.
        self._connection.set_autocommit(False)

    async def commit(self) -> None:
        self._connection.commit()
        self._connection.set_autocommit(True)

    async def rollback(self) -> None:
        self._connection.rollback()
        self._connection.set_autocommit(True)

    async def fetch(self, statement: Statement) -> Sequence[Any]:
        sql = _PLACEHOLDER.sub(r"%(\1)s", statement.sql.replace("%", "%%"))
        with self._connection.cursor() as cursor:
            cursor.execute(sql, dict(statement.parameters))
            rows: Sequence[Any] = cursor.fetchall() if cursor.description else ()
            return rows


_KINDS: dict[tuple[str, str], Callable[[Any], Connection]] = {
    ("django", "BaseDatabaseWrapper"): _Django,
    ("django", "ConnectionProxy"): _Django,
    ("sqlite3", "Connection"): _Sqlite,
    ("aiosqlite", "Connection"): _Sqlite,
    ("asyncpg", "Connection"): _Asyncpg,
    ("asyncpg", "PoolConnectionProxy"): _Asyncpg,
    ("aiomysql", "Connection"): _Aiomysql,
    ("asyncmy", "Connection"): _Aiomysql,
    ("sqlalchemy", "Connection"): _Sqlalchemy,
    ("sqlalchemy", "Session"): _Sqlalchemy,
    ("sqlalchemy", "AsyncConnection"): _Sqlalchemy,
    ("sqlalchemy", "AsyncSession"): _Sqlalchemy,
}
"""Package and class name -> how to use it, so that no client is imported to find out."""


def connection_of(given: Any) -> Connection:
    """Return how to use what the caller holds.

    Raises:
        ConfigurationError: It is nothing that is known here.
    """
    for kind in type(given).__mro__:
        wrap = _KINDS.get((kind.__module__.partition(".")[0], kind.__name__))
        if wrap is not None:
            return wrap(given)
    msg = (
        f"{type(given).__module__}.{type(given).__qualname__} is no connection that is known here;"
        " pass a connection of asyncpg, aiomysql, sqlite3, aiosqlite or Django, or a connection or"
        " session of SQLAlchemy"
    )
    raise ConfigurationError(msg)
