"""The quick start as a newcomer runs it, from wheels, on every driver."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from async_task.testing.servers.base import LocalServer
from async_task.testing.servers.mysql import MariadbServer
from async_task.testing.servers.postgres import PostgresServer
from async_task.testing.servers.rabbitmq import RabbitmqServer
from async_task.testing.servers.redis import RedisServer
from async_task.testing.servers.sqs import FauxqsServer
from workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = (ROOT / "docs/examples/quickstart/main.py").read_text()
SQLITE = 'set_global_config(driver="sqlite")'
EMAILS = sorted(f"Sending email to user{i}@example.com: Welcome {i}!" for i in range(10))


DRIVERS: dict[str, tuple[type[LocalServer] | None, str]] = {
    "sqlite": (None, SQLITE),
    "redis": (
        RedisServer,
        'set_global_config(driver="redis", redis_url="URL", redis_password=None)',
    ),
    "postgres": (PostgresServer, 'set_global_config(driver="postgres", postgres_dsn="URL")'),
    "mysql": (MariadbServer, 'set_global_config(driver="mysql", mysql_dsn="URL")'),
    "rabbitmq": (RabbitmqServer, 'set_global_config(driver="rabbitmq", rabbitmq_url="URL")'),
    "sqs": (FauxqsServer, 'set_global_config(url="URL")'),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_ten_emails_are_sent_once_each(
    driver: str, installed: Path, tmp_path: Path, url_of: Callable[[type[LocalServer]], str]
) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [installed, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    server, configured = DRIVERS[driver]
    if server is not None:
        configured = configured.replace("URL", url_of(server))
    assert SQLITE in SOURCE
    namespace = f"quick_{tmp_path.name.lower()}"[:40].replace("-", "_")
    line = configured.replace(")", f', namespace="{namespace}")')
    (tmp_path / "main.py").write_text(SOURCE.replace(SQLITE, line))
    said = run("-X", "dev", "-W", "error", "main.py").splitlines()
    assert len(said) == 10, said
    assert all(line.startswith("Task dispatched: ") for line in said)
    sent = run("-m", "async_task", "worker", "--stop-when-empty").splitlines()
    assert sorted(sent) == EMAILS
    assert run("-m", "async_task", "worker", "--stop-when-empty") == ""
