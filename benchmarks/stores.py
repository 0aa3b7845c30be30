"""Where the tasks are: private servers, as durable as their drivers' pages recommend."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
import pymysql
from async_task.testing.servers.mysql import MariadbServer
from async_task.testing.servers.postgres import PostgresServer
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task.testing.servers.redis import RedisServer
from async_task.testing.servers.sqs import FauxqsServer

from benchmarks.accounting import tree

if TYPE_CHECKING:
    from collections.abc import Generator

    from async_task.testing.servers.base import LocalServer


class Store:
    """A store; as it is here, one in a process of its own that is emptied by starting it anew.

    Attributes:
        settings: What makes it durable, in words.
    """

    settings = ""
    kind: type[LocalServer]

    def __init__(self) -> None:
        self._server = self.make()
        self._number = itertools.count(1)

    def make(self) -> LocalServer:
        """Return the server, not started."""
        return self.kind()

    @classmethod
    def installed(cls) -> bool:
        """Tell whether it can be started here."""
        return cls.kind.find_binary() is not None

    def fresh(self) -> str:
        """Empty it, and return its URL."""
        self._server.stop()
        self._server.start()
        return self._server.url

    def processes(self) -> list[int]:
        """Return the processes of the server."""
        return tree(self._server.pid)

    def used(self) -> dict[str, float]:
        """Return what it counts itself, up to now: `calls` it has read, `log_bytes` written."""
        return {}

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()


class RedisStore(Store):
    """Redis."""

    settings = "appendonly yes, appendfsync everysec"
    kind = RedisServer

    def make(self) -> RedisServer:
        """Return the server, not started."""
        self._redis = RedisServer("--appendonly", "yes", "--appendfsync", "everysec")
        return self._redis

    def fresh(self) -> str:
        """Empty it, and return its URL."""
        self._redis.say("FLUSHALL")
        self._redis.say("FUNCTION FLUSH")
        return self._redis.url

    def used(self) -> dict[str, float]:
        """Count how often it has read what clients had sent; what comes at once is one."""
        return {
            "calls": float(_word_after("total_reads_processed:", self._redis.say("INFO stats")))
        }


class PostgresStore(Store):
    """PostgreSQL: a database of its own each time."""

    settings = "fsync on, synchronous_commit on, shared_buffers 128 MB (its defaults)"
    kind = PostgresServer

    def make(self) -> PostgresServer:
        """Return the server, not started."""
        return PostgresServer(shared_buffers="128MB", max_connections="200")

    def fresh(self) -> str:
        """Make a database, and return its URL."""
        name, url = f"bench_{next(self._number)}", self._server.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return url.rpartition("/")[0] + f"/{name}"

    def used(self) -> dict[str, float]:
        """Return how long its write-ahead log is."""
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
            ).fetchone()
        assert row is not None
        return {"log_bytes": float(row[0])}


class MysqlStore(Store):
    """MariaDB: a database of its own each time."""

    settings = "innodb_flush_log_at_trx_commit 1, innodb_buffer_pool_size 128 MB (its defaults)"
    kind = MariadbServer

    def make(self) -> MariadbServer:
        """Return the server, not started."""
        return MariadbServer(innodb_buffer_pool_size="128M")

    def fresh(self) -> str:
        """Make a database, and return its URL."""
        name, url = f"bench_{next(self._number)}", self._server.url
        self._say(f"CREATE DATABASE {name}")
        return url.rpartition("/")[0] + f"/{name}"

    def used(self) -> dict[str, float]:
        """Return how much its redo log was written."""
        return {"log_bytes": float(self._say("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")[1])}

    def _say(self, statement: str) -> Any:
        connection: Any = pymysql.connect(host="127.0.0.1", port=self._server.port, user="root")
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()


class RabbitmqStore(Store):
    """RabbitMQ: a virtual host of its own each time."""

    settings = "durable quorum queues, publishes confirmed"
    kind = RabbitmqServer

    def make(self) -> RabbitmqServer:
        """Return the server, not started."""
        self._rabbit = RabbitmqServer()
        return self._rabbit

    def fresh(self) -> str:
        """Make a virtual host, and return its URL."""
        name = f"bench_{next(self._number)}"
        self._rabbit.control("add_vhost", name)
        self._rabbit.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return self._rabbit.url + name


class _LoggingFauxqs(FauxqsServer):
    def command(self, binary: str) -> list[str]:
        """Return the command line, with the log of calls on."""
        return [word.replace("LOGGER=false", "LOGGER=true") for word in super().command(binary)]


class SqsStore(Store):
    """A stand-in for Amazon SQS, in memory: it shows calls and our CPU, not Amazon's latency."""

    settings = "fauxqs, in memory"
    kind = _LoggingFauxqs

    def used(self) -> dict[str, float]:
        """Count the calls that it has logged."""
        return {"calls": float(self._server.log.count('"incoming request"'))}


class SqliteStore(Store):
    """SQLite: a file of its own each time, in the temporary folder; nobody else's process."""

    settings = "WAL, synchronous FULL"

    def __init__(self) -> None:
        self._number = itertools.count(1)

    @classmethod
    def installed(cls) -> bool:
        """Tell that it comes with Python."""
        return True

    def fresh(self) -> str:
        """Return the URL of a file that is not there yet."""
        return f"sqlite:///{self._folder}/{next(self._number)}.db"

    def processes(self) -> list[int]:
        """Return none: its work is the worker's."""
        return []

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="async-task-bench-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


STORES: Final[dict[str, type[Store]]] = {
    "redis": RedisStore,
    "postgres": PostgresStore,
    "mysql": MysqlStore,
    "sqlite": SqliteStore,
    "rabbitmq": RabbitmqStore,
    "sqs": SqsStore,
}


def _word_after(mark: str, text: str) -> str:
    return text.partition(mark)[2].split()[0]


@contextmanager
def started(name: str) -> Generator[Store]:
    """Run a store."""
    with STORES[name]() as store:
        yield store
