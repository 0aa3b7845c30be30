"""What is declared without importing the driver."""

from __future__ import annotations

import subprocess
import sys

import pytest
from async_task.spi.errors import ConfigurationError
from async_task_sqlite.place import file_system
from async_task_sqlite.settings import SqliteSettings


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///queue.db", "queue.db"),
        ("sqlite:///data/queue.db", "data/queue.db"),
        ("sqlite:////var/lib/queue.db", "/var/lib/queue.db"),
        ("sqlite:///my%20queue%23%3F.db", "my queue#?.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert SqliteSettings.make(**SqliteSettings.from_url(url)).path == path


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite:///%3Amemory%3A",
    ],
)
def test_a_url_without_a_file_points_to_the_memory_driver(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        SqliteSettings.make(**SqliteSettings.from_url(url))


@pytest.mark.parametrize("url", ["sqlite://host/queue.db", "sqlite:///queue.db?mode=ro"])
def test_a_url_with_a_host_or_options_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="three slashes"):
        SqliteSettings.from_url(url)


@pytest.mark.parametrize("path", ["", ":memory:", "file:queue.db?mode=memory", "a\0b"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite_path"):
        SqliteSettings(path=path)


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys, async_task_sqlite.plugin, async_task_sqlite.settings\n"
        "[info] = async_task_sqlite.plugin.async_task_drivers()\n"
        "assert info.name == 'sqlite' and info.spi_version == 1, info\n"
        "print({'sqlite3', 'asyncio', 'async_task_sqlite.driver'} & sys.modules.keys() or 'none')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "none\n"


def test_the_file_system_of_a_directory_is_that_of_its_innermost_mount() -> None:
    mounts = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /srv rw - nfs4 host:/srv rw\n"
        "31 30 8:2 / /srv/local\\040disk rw,relatime - xfs /dev/sdb1 rw\n"
    )
    assert file_system("/var/lib", mounts) == "ext4"
    assert file_system("/srv", mounts) == "nfs4"
    assert file_system("/srv/app", mounts) == "nfs4"
    assert file_system("/srvice", mounts) == "ext4"
    assert file_system("/srv/local disk/app", mounts) == "xfs"
