"""A server and how to connect to it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from async_task.spi.errors import ConfigurationError, ConnectionLostError

from async_task_postgres.failures import CLIENT_ERRORS, translate_connect

Connection = Any
"""An `asyncpg.Connection`, which is generic only for type checkers."""

OLDEST = 13
"""Oldest major version of PostgreSQL whose statements we use."""

SESSION = {
    # Statistics of a queue are always stale. Every statement has one good plan, loops of index
    # seeks in the order given, so leave no other: 1.35 instead of 3.6 ms for a lease and a
    # settlement of 100 on a table that was never analyzed.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # What the server's owner has as default would make calls fail that cannot fail otherwise.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}
"""Settings of our own connections, which nobody else uses."""


class Server:
    """A PostgreSQL server, or a pooler in front of one.

    Attributes:
        place: What messages call it: hosts, port and database, without user and password.
        op_timeout_s: Bound of one call.
        pooled: Whether a connection may lead to another session in each transaction. Known once
            `look` has returned.
    """

    def __init__(self, dsn: str, op_timeout_ms: int) -> None:
        self._dsn = dsn
        self.place = _place(dsn)
        self.op_timeout_s = op_timeout_ms / 1000
        self.pooled = False
        # A statement ends on the server before we give up on it, so that we hear that it did.
        self._statement_timeout_ms = max(1, op_timeout_ms * 9 // 10)

    async def look(self) -> None:
        """Connect, and see what the server is.

        A pooler makes up the process number that it greets with, since no process is ours.

        Raises:
            ConfigurationError: It is too old.
            DriverError: It cannot be reached.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.op_timeout_s
        connection = await self.connect_plainly(deadline)
        timer = loop.call_at(deadline, connection.terminate)
        try:
            await connection.execute(self.begin())
            process = await connection.fetchval("SELECT pg_backend_pid()")
            self.pooled = process != connection.get_server_pid()
            version = connection.get_server_version().major
        except CLIENT_ERRORS as error:
            raise translate_connect(error, self.place) from error
        finally:
            timer.cancel()
            connection.terminate()
        if version < OLDEST:
            raise ConfigurationError(
                f"{self.place} runs PostgreSQL {version}; async-task needs {OLDEST} or later"
            )

    async def connect(self, deadline: float) -> Connection:
        """Make a connection with `SESSION`; behind a pooler, a plain one.

        Args:
            deadline: When to give up, by the loop's clock.

        Raises:
            DriverError: It cannot be made; nothing was sent.
        """
        if self.pooled:
            return await self.connect_plainly(deadline)
        return await self._bounded(
            self._connect(self._script("SET"), cached_statements=200), deadline
        )

    async def connect_plainly(self, deadline: float) -> Connection:
        """Make a connection that sets nothing and keeps no prepared statements.

        Raises:
            DriverError: It cannot be made.
        """
        return await self._bounded(self._connect(cached_statements=0), deadline)

    def begin(self) -> str:
        """Return a script that begins a transaction with `SESSION`."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        return f"{begin}; {self._script('SET LOCAL')}"

    def _script(self, command: str) -> str:
        timeout_ms = str(self._statement_timeout_ms)
        everything = {**SESSION, "statement_timeout": timeout_ms}
        return "; ".join(f"{command} {name} = '{value}'" for name, value in everything.items())

    async def _connect(self, script: str = "", *, cached_statements: int) -> Connection:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self.op_timeout_s,
            statement_cache_size=cached_statements,
            max_cached_statement_lifetime=0,
        )
        try:
            if script:
                await connection.execute(script)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _bounded(self, connecting: Any, deadline: float) -> Connection:
        """Await a connection until `deadline`, then leave it to itself.

        Waiting for a cancelled connection attempt to end may take longer than there is time.
        """
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Connection] = loop.create_task(connecting)
        try:
            await asyncio.wait([task], timeout=max(0.0, deadline - loop.time()))
        except asyncio.CancelledError:
            _abandon(task)  # also when it is done: it may have come in this very moment
            raise
        if not task.done():
            _abandon(task)
            raise ConnectionLostError(
                f"{self.place} did not accept a connection within op_timeout; check that it runs "
                "and can be reached"
            )
        try:
            return task.result()
        except (*CLIENT_ERRORS, ValueError) as error:
            raise translate_connect(error, self.place) from error


def _abandon(task: asyncio.Task[Connection]) -> None:
    """Leave an attempt to itself; should a connection come of it, or have come, it is dropped."""
    task.add_done_callback(_forget)
    task.cancel()


def _forget(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _place(dsn: str) -> str:
    """Return hosts and database of a URL.

    Raises:
        ConfigurationError: It is none; nothing of it is shown, for it holds a password.
    """
    try:
        parts = urlsplit(dsn)
    except ValueError:
        raise ConfigurationError(
            "postgres_dsn is not a URL; percent-encode special characters of user and password"
        ) from None
    host = parts.netloc.rpartition("@")[2] or "localhost"
    return f"PostgreSQL at {host}{parts.path}"
