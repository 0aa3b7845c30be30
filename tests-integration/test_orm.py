"""The example applications with rows as arguments that need a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from async_task.testing.servers.redis import RedisServer
from workspace import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_help_desk_on_redis(tmp_path: Path) -> None:
    folder = tmp_path / "helpdesk"
    shutil.copytree(ROOT / "docs/examples/helpdesk", folder)
    with RedisServer() as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=folder, env=os.environ | {"REDIS_URL": server.url},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
