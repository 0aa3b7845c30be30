"""The backends that the scenarios run on. A new driver is one more entry in `BACKENDS`."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from async_task.plugins.manager import plugins
from async_task.spi.capabilities import Capabilities
from async_task.testing.servers.base import LocalServer
from async_task.testing.servers.mysql import MariadbServer
from async_task.testing.servers.postgres import PostgresServer
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task.testing.servers.redis import RedisServer
from async_task.testing.servers.sqs import FauxqsServer

FULL = os.environ.get("ASYNC_TASK_FAULTS") == "full"

Outage: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Entered, the store takes no writes; left, it does again, and has lost nothing."""


@dataclass(frozen=True)
class Store:
    """A fresh, empty place for queues.

    Attributes:
        config: Settings that lead to it.
        outages: Ways to take it away for a while, by name.
    """

    config: Mapping[str, object]
    outages: Mapping[str, Outage] = field(default_factory=dict[str, Outage])


@dataclass(frozen=True)
class Backend:
    """One driver.

    Attributes:
        name: Its name in the ids of the tests.
        store: Makes a store, in a folder of its own.
        outages: The names of the outages that its stores can have while workers run.
        outages_at_start: Those that a worker waits for that starts meanwhile.
        shared: Whether several processes can use one store.
        slow: Whether a worker on it takes seconds to stop. A normal run leaves out what would try
            core's supervisor once more then, and plays all that tries the driver.
    """

    name: str
    store: Callable[[Path], AbstractContextManager[Store]]
    outages: tuple[str, ...] = ()
    outages_at_start: tuple[str, ...] = ()
    shared: bool = True
    slow: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def capabilities(self) -> Capabilities:
        """What its driver declares."""
        return plugins().driver(self.name).capabilities


@contextlib.contextmanager
def _memory(folder: Path) -> Generator[Store]:
    yield Store({"url": f"memory://{folder.name}"})


@contextlib.contextmanager
def _sqlite(folder: Path) -> Generator[Store]:
    home = folder / "store"
    home.mkdir()
    path = home / "tasks.db"

    @contextlib.contextmanager
    def locked() -> Generator[None]:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            try:
                yield
            finally:
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def moved() -> Generator[None]:
        away = home.rename(folder / "away")
        try:
            yield
        finally:
            away.rename(home)

    yield Store({"driver": "sqlite", "sqlite_path": str(path)}, {"locked": locked, "moved": moved})


@contextlib.contextmanager
def _redis(folder: Path) -> Generator[Store]:
    with RedisServer("--appendonly", "yes") as server:
        yield Store({"driver": "redis", "redis_url": server.url}, _outages(server))


@contextlib.contextmanager
def _mysql(folder: Path) -> Generator[Store]:
    with MariadbServer() as server:
        yield Store({"driver": "mysql", "mysql_dsn": server.url}, _outages(server))


@contextlib.contextmanager
def _postgres(folder: Path) -> Generator[Store]:
    with PostgresServer() as server:
        config = {"driver": "postgres", "postgres_dsn": server.url}
        yield Store(config, _outages(server))


@functools.cache
def _rabbitmq_server() -> RabbitmqServer:
    """Start one for all scenarios of this process, since that takes 5 s."""
    return RabbitmqServer().__enter__()  # ended with the process


@contextlib.contextmanager
def _rabbitmq(folder: Path) -> Generator[Store]:
    server = _rabbitmq_server()
    # RabbitMQ gives up on a worker that misses two heartbeats.
    config = {"rabbitmq_url": f"{server.url}?heartbeat=2", "namespace": f"t{os.urandom(6).hex()}"}
    yield Store({"driver": "rabbitmq", **config}, _outages(server))


@functools.cache
def fauxqs_server() -> FauxqsServer:
    """Start one for all scenarios of this process: a new namespace is as good as a new server."""
    return FauxqsServer().__enter__()  # ended with the process


@contextlib.contextmanager
def _sqs(folder: Path) -> Generator[Store]:
    server = fauxqs_server()
    outages = _outages(server)
    del outages["killed"]  # it would have lost everything: it keeps nothing on disk
    yield Store(sqs_config(server.port), outages)


def sqs_config(port: int) -> dict[str, object]:
    """Return the settings of a namespace of its own on whatever speaks SQS at a port."""
    url = FauxqsServer.url_at("127.0.0.1", port)
    return {"driver": "sqs", "url": url, "namespace": f"t{os.urandom(6).hex()}"}


def _outages(server: LocalServer) -> dict[str, Outage]:
    """Those that every server can have."""

    @contextlib.contextmanager
    def killed() -> Generator[None]:
        server.kill9()
        try:
            yield
        finally:
            server.start()

    @contextlib.contextmanager
    def frozen() -> Generator[None]:
        server.freeze()
        try:
            yield
        finally:
            server.thaw()

    return {"killed": killed, "frozen": frozen}


BACKENDS = [
    Backend("memory", _memory, shared=False),
    # A missing directory at start is taken for a mistake in the settings, and refused at once.
    Backend("sqlite", _sqlite, outages=("locked", "moved"), outages_at_start=("locked",)),
    Backend(
        "redis",
        _redis,
        outages=("killed", "frozen"),
        outages_at_start=("killed", "frozen"),
    ),
    Backend(
        "mysql",
        _mysql,
        outages=("killed", "frozen"),
        outages_at_start=("killed", "frozen"),
    ),
    Backend(
        "postgres",
        _postgres,
        outages=("killed", "frozen"),
        outages_at_start=("killed", "frozen"),
    ),
    Backend(
        "rabbitmq",
        _rabbitmq,
        outages=("killed", "frozen"),
        outages_at_start=("killed", "frozen"),
    ),
    Backend("sqs", _sqs, outages=("frozen",), outages_at_start=("frozen",), slow=True),
]
