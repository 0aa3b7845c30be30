"""FastAPI applications as they are deployed: served by uvicorn, on real backends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Self, assert_type

import httpx2
import psycopg
import pytest
from async_task import Config, Dispatcher, QueueDriver, Worker, task
from async_task.testing.servers.base import LocalServer, free_port
from async_task.testing.servers.postgres import PostgresServer
from async_task.testing.servers.redis import RedisServer
from async_task_fastapi import AsyncTaskIntegration
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg import sql
from workspace import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 60
"""Longest that a test waits for another process."""

APP = """
import asyncio, os
from pathlib import Path
from typing import Annotated
from async_task import Config, QueueDriver, TaskHandle, Worker, task
from async_task_fastapi import AsyncTaskIntegration
from fastapi import Depends, FastAPI

async_task = AsyncTaskIntegration(config=Config({settings}), worker={worker})
app = FastAPI(lifespan=async_task.lifespan)
app.include_router(async_task.health)

def record(what: str) -> None:
    with open("record", "ab", buffering=0) as file:
        file.write(f"{{what}}\\n".encode())

@task(result_ttl=600)
async def work(n: int) -> int:
    record(str(n))
    return n

@task
async def slow() -> None:
    print("slow has started", flush=True)
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    record("slow")

@app.post("/sent/{{n}}")
async def send(n: int) -> dict[str, str]:
    return {{"id": await work.dispatch(n), "pid": str(os.getpid())}}

@app.post("/sent-from-a-thread/{{n}}")
def send_from_a_thread(n: int) -> dict[str, str]:
    return {{"id": work.dispatch_sync(n), "pid": str(os.getpid())}}

@app.get("/result/{{id}}")
async def result(id: str) -> int:
    return await TaskHandle[int](id).result(timeout=60)

@app.post("/slow")
async def send_slow() -> str:
    return await slow.dispatch()

@app.get("/size")
async def size(driver: Annotated[QueueDriver, Depends(async_task.get_driver)]) -> int:
    return await driver.get_queue_size("default", include_in_flight=True)
"""


class Program:
    """A program in the folder of the application; what it prints can be waited for."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def wait_for(self, line: str, times: int = 1) -> None:
        """Read what it prints until a line has come so often."""
        assert self.process.stdout is not None
        read: list[str] = []
        while times:
            read.append(self.process.stdout.readline())
            assert read[-1], f"ended before it said {line!r}:\n{''.join(read)}"
            times -= line in read[-1]

    def ended(self) -> str:
        """Wait for its end; return what it printed since."""
        printed, _ = self.process.communicate(timeout=PATIENCE_S)
        return printed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # all of it has ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


class Server(Program):
    """The application, served by uvicorn."""

    def __init__(self, folder: Path, processes: int = 1) -> None:
        port = free_port()
        options = f"--port={port} --workers={processes} --no-access-log".split()
        super().__init__(folder, "uvicorn", "app:app", *options)
        self.url = f"http://127.0.0.1:{port}"
        self.processes = processes

    def started(self) -> httpx2.Client:
        """Return a client that connects anew for each request, to any of the processes."""
        self.wait_for("Application startup complete", times=self.processes)
        limits = httpx2.Limits(max_keepalive_connections=0)
        return httpx2.Client(base_url=self.url, timeout=PATIENCE_S, limits=limits)


def write_app(folder: Path, config: Config, worker: str = "None") -> None:
    settings = ", ".join(f"{name}={value!r}" for name, value in config.given.items())
    (folder / "app.py").write_text(APP.format(settings=settings, worker=worker))


def config_at(kind: type[LocalServer], url: str) -> Config:
    key = "redis_url" if kind is RedisServer else "postgres_dsn"
    return Config(driver=kind.name, namespace=f"t{uuid.uuid4().hex[:12]}", **{key: url})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer], ids=lambda kind: kind.name)
def test_everything_sent_to_two_processes_is_done_once(
    kind: type[LocalServer], url_of: Callable[[type[LocalServer]], str], tmp_path: Path
) -> None:
    config = config_at(kind, url_of(kind))
    write_app(tmp_path, config)
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in config.given.items()]
    command = ["async_task", "worker", "--app=app", *settings]
    sent: dict[int, str] = {}
    pids: set[str] = set()

    with (
        Program(tmp_path, *command) as first,
        Program(tmp_path, *command) as second,
        Server(tmp_path, processes=2) as server,
        server.started() as client,
        ThreadPoolExecutor(8) as threads,
    ):
        for program in (first, second):
            program.wait_for("working on")

        def send(n: int) -> None:
            path = "sent-from-a-thread" if n % 4 == 0 else "sent"
            answer = client.post(f"/{path}/{n}").json()
            sent[n] = answer["id"]
            pids.add(answer["pid"])

        def result(task_id: str) -> int:
            answer: int = client.get(f"/result/{task_id}").json()
            return answer

        numbers = count()
        while len(sent) < 200 or len(pids) < 2:
            list(threads.map(send, (next(numbers) for _ in range(40))))
        assert list(threads.map(result, sent.values())) == list(sent)
        assert client.get("/size").json() == 0
        for program in (first, second, server):
            program.process.terminate()
            assert "Traceback" not in program.ended()
        assert (first.process.returncode, second.process.returncode) == (0, 0)
    done = (tmp_path / "record").read_text().split()
    assert sorted(map(int, done)) == sorted(sent)


@task
async def note(what: str) -> None:
    del what


def redis_connections(server: LocalServer) -> int:
    assert isinstance(server, RedisServer)
    found = re.search(r"connected_clients:(\d+)", server.say("INFO clients"))
    assert found
    return int(found[1]) - 1  # this one


def postgres_connections(server: LocalServer) -> int:
    counted = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with psycopg.connect(server.url) as connection:
        row: tuple[int] | None = connection.execute(counted).fetchone()
        assert row is not None
        return row[0]


COUNTS: dict[type[LocalServer], Callable[[LocalServer], int]] = {
    RedisServer: redis_connections,
    PostgresServer: postgres_connections,
}


@pytest.fixture(scope="module", params=COUNTS, ids=lambda kind: kind.name)
def private(request: pytest.FixtureRequest) -> Generator[LocalServer]:
    """A server to which nobody else connects."""
    with request.param() as server:
        yield server


def connections(server: LocalServer) -> int:
    return COUNTS[type(server)](server)


def ending_in(failure: str, server: LocalServer, worker: type[Worker] | None) -> FastAPI:
    """Make an application whose lifespan fails as its name says."""

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncGenerator[None]:
        await note.dispatch("starting")
        assert connections(server) > 0
        if failure == "failure at the start":
            raise RuntimeError(failure)
        yield
        if failure == "failure at the end":
            raise RuntimeError(failure)

    config = config_at(type(server), server.url)
    async_task = AsyncTaskIntegration(own, config=config, worker=worker)
    app = FastAPI(lifespan=async_task.lifespan)

    @app.post("/")
    def send() -> str:
        return note.dispatch_sync("in an endpoint")

    return app


def run_twice(app: FastAPI) -> None:
    for _ in range(2):
        with TestClient(app) as client:
            client.post("/").raise_for_status()


def assert_no_connection(server: LocalServer) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while connections(server):  # the server learns of the end later than the client
        assert time.monotonic() < deadline, f"{connections(server)} connections are still open"
        time.sleep(0.01)


@pytest.mark.parametrize("worker", [None, Worker], ids=["no worker", "worker"])
def test_every_connection_is_closed_when_the_application_ends(
    private: LocalServer, worker: type[Worker] | None
) -> None:
    run_twice(ending_in("order", private, worker))
    assert_no_connection(private)


@pytest.mark.parametrize("failure", ["failure at the start", "failure at the end"])
def test_every_connection_is_closed_when_its_own_lifespan_fails(
    private: LocalServer, failure: str
) -> None:
    with pytest.raises(RuntimeError, match=failure):
        run_twice(ending_in(failure, private, Worker))
    assert_no_connection(private)


def test_readiness_follows_the_backend() -> None:
    with RedisServer() as server:
        async_task = AsyncTaskIntegration(config=Config(url=server.url, op_timeout=0.5))
        app = FastAPI(lifespan=async_task.lifespan)
        app.include_router(async_task.health, prefix="/health")
        with TestClient(app) as client:
            assert client.get("/health/ready").status_code == 200
            server.freeze()
            answer = client.get("/health/ready")
            assert answer.status_code == 503
            assert answer.json()["reason"] == "the backend does not answer"
            assert client.get("/health/live").status_code == 200
            server.thaw()
            assert client.get("/health/ready").status_code == 200


def test_a_backend_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    port = free_port()
    write_app(tmp_path, Config(url=f"redis://:hush@127.0.0.1:{port}"))
    with Server(tmp_path) as server:
        printed = server.ended()
    assert server.process.returncode == 3  # uvicorn's: the application did not start
    assert "Application startup failed" in printed
    assert f"127.0.0.1:{port}" in printed
    assert "hush" not in printed


def test_an_embedded_worker_finishes_its_tasks_when_the_server_is_told_to_end(
    tmp_path: Path,
) -> None:
    write_app(tmp_path, Config(driver="sqlite"), worker="Worker")
    with Server(tmp_path) as server, server.started() as client:
        client.post("/slow").raise_for_status()
        server.wait_for("slow has started")
        server.process.terminate()
        server.wait_for("Waiting for application shutdown")
        (tmp_path / "go").touch()
        assert "Application shutdown complete" in server.ended()
    assert (tmp_path / "record").read_text() == "slow\n"


@pytest.mark.anyio
async def test_dependencies_are_typed() -> None:
    async_task = AsyncTaskIntegration(config=Config(driver="memory"))
    app = FastAPI(lifespan=async_task.lifespan)
    async with async_task.lifespan(app):
        assert_type(await async_task.get_dispatcher(), Dispatcher)
        assert_type(await async_task.get_driver(), QueueDriver)
    AsyncTaskIntegration(config="redis")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a mistake on purpose


def test_the_example_passes_its_own_tests(
    url_of: Callable[[type[LocalServer]], str], tmp_path: Path
) -> None:
    url = url_of(PostgresServer)
    database = f"orders_{uuid.uuid4().hex[:12]}"
    shutil.copytree(ROOT / "docs/examples/orders", tmp_path, dirs_exist_ok=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        try:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
                cwd=tmp_path,
                env=os.environ | {"ORDERS_DATABASE": f"{url.rpartition('/')[0]}/{database}"},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            assert "3 passed" in done.stdout
        finally:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))
