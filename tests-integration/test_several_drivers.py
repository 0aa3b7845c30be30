"""One application whose tasks go to different drivers, with a worker for each."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from async_task.testing.servers.mysql import MariadbServer
from async_task.testing.servers.postgres import PostgresServer
from async_task.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from async_task.testing.servers.base import LocalServer

APP = """
import asyncio
from async_task import set_global_config, task

set_global_config(
    driver="sqlite", redis_url={redis!r}, postgres_dsn={postgres!r}, mysql_dsn={mysql!r},
    namespace={namespace!r},
)

@task
async def on_default(n: int) -> None:
    print("default", n)

@task(driver="redis")
async def on_redis(n: int) -> None:
    print("redis", n)
    await on_postgres.dispatch(n + 1)

@task(driver="postgres")
async def on_postgres(n: int) -> None:
    print("postgres", n)

@task(driver="mysql")
def on_mysql(n: int) -> None:
    print("mysql", n)
    on_default(n + 1).dispatch_sync()

async def main() -> None:
    await asyncio.gather(on_redis.dispatch(1), on_mysql.dispatch(1))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def app(tmp_path: Path, url_of: Callable[[type[LocalServer]], str]) -> Path:
    source = APP.format(
        redis=url_of(RedisServer),
        postgres=url_of(PostgresServer),
        mysql=url_of(MariadbServer),
        namespace=f"t{uuid.uuid4().hex[:12]}",
    )
    (tmp_path / "app.py").write_text(source)
    return tmp_path


def test_each_task_goes_to_its_own_driver(app: Path) -> None:
    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(command, cwd=app, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def work(driver: str) -> list[str]:
        return run("-m", "async_task", "worker", "--driver", driver, "--stop-when-empty")

    run("app.py")
    assert work("sqlite") == []
    assert work("mysql") == ["mysql 1"]
    assert work("postgres") == []
    assert work("redis") == ["redis 1"]
    assert work("postgres") == ["postgres 2"]
    assert work("sqlite") == ["default 2"]
