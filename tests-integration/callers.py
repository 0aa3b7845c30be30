"""Connections as applications hold them, to the databases that drivers keep tasks in."""

# aiomysql has no types of its own.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import sqlite3
import unittest.mock
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import aiomysql
import aiosqlite
import asyncpg
import django
from async_task.testing.servers.base import LocalServer
from async_task.testing.servers.mysql import MariadbServer
from async_task.testing.servers.postgres import PostgresServer
from django.conf import settings as django_settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

if not django_settings.configured:
    django_settings.configure()
django.setup()


class Caller:
    """A connection, and how the application writes with it, commits and rolls back.

    Attributes:
        connection: What the application holds.
        is_async: Whether its methods are to be awaited.
    """

    def __init__(
        self, connection: Any, *, is_async: bool, wrap: Callable[[str], Any] = str
    ) -> None:
        self.connection = connection
        self.is_async = is_async
        self._wrap = wrap
        self._ends = connection

    async def execute(self, sql: str) -> None:
        """Run a statement of the application's own."""
        if isinstance(self.connection, aiomysql.Connection):
            async with self.connection.cursor() as cursor:
                await cursor.execute(sql)
        elif isinstance(self.connection, BaseDatabaseWrapper):
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
        else:
            await _awaited(self.connection.execute(self._wrap(sql)))

    async def begin(self) -> None:
        """Begin, where that is not done by itself."""
        if isinstance(self.connection, asyncpg.Connection):
            self._ends = self.connection.transaction()
            await self._ends.start()
        elif isinstance(self.connection, aiomysql.Connection):
            await self.connection.begin()
        elif isinstance(self.connection, BaseDatabaseWrapper):
            self.connection.set_autocommit(False)

    async def commit(self) -> None:
        await _awaited(self._ends.commit())

    async def rollback(self) -> None:
        await _awaited(self._ends.rollback())


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Caller]]


@dataclass(frozen=True)
class Database:
    """One database, fresh for a test: a driver's settings, and ways to connect to it.

    Attributes:
        settings: What leads the driver to it.
        kinds: Every kind of connection that can be had to it.
        ledger: Name of a table with one column, `entry`.
    """

    settings: dict[str, Any]
    kinds: dict[str, Open]
    ledger: str


def _raw(connect: Callable[[], AbstractAsyncContextManager[Any]]) -> Open:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Caller]:
        async with connect() as connection:
            yield Caller(connection, is_async=True)

    return opened


def _sqlalchemy(url: str, async_url: str) -> dict[str, Open]:
    @asynccontextmanager
    async def engine_of(url: str) -> AsyncGenerator[AsyncEngine]:
        engine = create_async_engine(url)
        try:
            yield engine
        finally:
            await engine.dispose()

    def sync(enter: Callable[[Any], Any]) -> Open:
        @asynccontextmanager
        async def opened() -> AsyncGenerator[Caller]:
            engine = create_engine(url)
            try:
                with enter(engine) as held:
                    yield Caller(held, is_async=False, wrap=text)
            finally:
                engine.dispose()

        return opened

    def asynchronous(enter: Callable[[Any], Any]) -> Open:
        @asynccontextmanager
        async def opened() -> AsyncGenerator[Caller]:
            async with engine_of(async_url) as engine, enter(engine) as held:
                yield Caller(held, is_async=True, wrap=text)

        return opened

    return {
        "connection": sync(lambda engine: engine.connect()),
        "session": sync(Session),
        "async connection": asynchronous(lambda engine: engine.connect()),
        "async session": asynchronous(AsyncSession),
    }


def _django(engine: str, **settings: Any) -> dict[str, Open]:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Caller]:
        databases = {"default": {"ENGINE": f"django.db.backends.{engine}", **settings}}
        connection = ConnectionHandler(databases)["default"]
        # These tests have a loop in the thread in which applications have none.
        with unittest.mock.patch.dict(os.environ, DJANGO_ALLOW_ASYNC_UNSAFE="yes"):
            try:
                yield Caller(connection, is_async=False)
            finally:
                connection.close()

    return {"django": opened}


def _at(url: str) -> dict[str, Any]:
    at = urlsplit(url)
    return {
        "NAME": at.path.strip("/"),
        "HOST": at.hostname,
        "PORT": at.port,
        "USER": at.username,
        "PASSWORD": unquote(at.password or ""),
    }


UrlOf: TypeAlias = Callable[[type[LocalServer]], str]
"""Where a server of some kind is, started on first use."""


@contextmanager
def sqlite(folder: Path, _: UrlOf) -> Generator[Database]:
    path = folder / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE ledger (entry TEXT)")

    @asynccontextmanager
    async def plain() -> AsyncGenerator[Caller]:
        with closing(sqlite3.connect(path)) as db:
            yield Caller(db, is_async=False)

    kinds = {"sqlite3": plain, "aiosqlite": _raw(lambda: aiosqlite.connect(path))}
    kinds |= _sqlalchemy(f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}")
    kinds |= _django("sqlite3", NAME=str(path))
    yield Database({"driver": "sqlite", "sqlite_path": str(path)}, kinds, "ledger")


@contextmanager
def postgres(_: Path, url_of: UrlOf) -> Generator[Database]:
    url = url_of(PostgresServer)
    name = f"ledger_{uuid.uuid4().hex}"
    rest = url.partition("://")[2]

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Any]:
        connection = await asyncpg.connect(url)
        try:
            yield connection
        finally:
            await connection.close()

    kinds = {"asyncpg": _raw(connect)}
    kinds |= _sqlalchemy(f"postgresql+psycopg://{rest}", f"postgresql+asyncpg://{rest}")
    kinds |= _django("postgresql", **_at(url))
    engine = create_engine(f"postgresql+psycopg://{rest}")
    yield from _with_ledger(engine, Database(_of("postgres", url), kinds, name))


@contextmanager
def mysql(_: Path, url_of: UrlOf) -> Generator[Database]:
    url = url_of(MariadbServer)
    name = f"ledger_{uuid.uuid4().hex}"
    parts = urlsplit(url)
    rest = url.partition("://")[2]

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Any]:
        connection = await aiomysql.connect(
            host=parts.hostname or "",
            port=parts.port or 0,
            user=parts.username,
            password=unquote(parts.password or ""),
            db=parts.path.strip("/"),
        )
        try:
            yield connection
        finally:
            connection.close()

    kinds = {"aiomysql": _raw(connect)}
    kinds |= _sqlalchemy(f"mysql+pymysql://{rest}", f"mysql+aiomysql://{rest}")
    engine = create_engine(f"mysql+pymysql://{rest}")
    yield from _with_ledger(engine, Database(_of("mysql", url), kinds, name))


def _of(driver: str, url: str) -> dict[str, Any]:
    namespace = f"t{uuid.uuid4().hex[:12]}"
    return {"driver": driver, f"{driver}_dsn": url, "namespace": namespace}


def _with_ledger(engine: Any, database: Database) -> Generator[Database]:
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {database.ledger} (entry TEXT)"))
        yield database
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {database.ledger}"))
    finally:
        engine.dispose()


DATABASES = {"sqlite": sqlite, "postgres": postgres, "mysql": mysql}
KINDS = {
    "sqlite": ("sqlite3", "aiosqlite", "django"),
    "postgres": ("asyncpg", "django"),
    "mysql": ("aiomysql",),
}
SQLALCHEMY = ("connection", "session", "async connection", "async session")
ALL = [(name, kind) for name, own in KINDS.items() for kind in (*own, *SQLALCHEMY)]
"""Every database with every kind of connection to it."""
