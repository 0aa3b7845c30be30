"""What happens when the file, the disk or the lock will not do."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from async_task.spi.errors import (
    ConfigurationError,
    DriverError,
    DriverTimeoutError,
    OutcomeUnknownError,
)
from async_task.spi.messages import Message
from async_task_sqlite.connection import Connection
from async_task_sqlite.driver import SqliteDriver
from async_task_sqlite.schema import Schema
from async_task_sqlite.session import Session
from async_task_sqlite.wakeup import Wakeup

pytestmark = pytest.mark.anyio
Make = Callable[..., SqliteDriver]


def message(size: int = 0) -> Message:
    return Message(os.urandom(16), "q", bytes(size))


def write(path: Path, content: bytes, *, at: int = 0) -> None:
    with path.open("r+b" if at else "wb") as file:
        file.seek(at)
        file.write(content)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


async def test_a_missing_directory_is_named(make: Make, tmp_path: Path) -> None:
    driver = make(path=tmp_path / "nowhere" / "queue.db")
    with pytest.raises(ConfigurationError, match="nowhere, does not exist; make it first"):
        await driver.open()


async def test_a_directory_is_no_file(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory"):
        await make(path=tmp_path).open()


async def test_what_is_no_database_is_refused(make: Make, path: Path) -> None:
    write(path, b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(ConfigurationError, match=r"queue\.db is not a sound SQLite database"):
        await make().open()


async def test_a_file_that_is_destroyed_meanwhile_is_refused(make: Make, path: Path) -> None:
    driver = make()
    await driver.open()
    await driver.enqueue([message(4000) for _ in range(100)])
    await driver.close()
    write(path, os.urandom(100_000), at=4096)
    with pytest.raises(ConfigurationError, match="not a sound SQLite database"):
        await driver.open()
        await driver.enqueue([message()])
    await driver.close()


async def test_tables_of_a_newer_version_are_left_alone(make: Make, path: Path) -> None:
    driver = make()
    await driver.open()
    await driver.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO async_task_schema VALUES ('9999_later', '')")
    db.close()
    with pytest.raises(ConfigurationError, match="9999_later"):
        await driver.open()


async def test_a_namespace_is_a_table_prefix() -> None:
    with pytest.raises(ConfigurationError, match="no table prefix"):
        Schema('x"; DROP TABLE messages; --')


async def test_a_driver_that_is_not_open_says_so(make: Make) -> None:
    with pytest.raises(DriverError, match="await its open"):
        await make().ping()


async def test_a_lock_held_too_long_is_a_time_out(make: Make, path: Path) -> None:
    driver = make(op_timeout_ms=100)
    await driver.open()
    one = message()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DriverTimeoutError, match="locked by another process") as caught:
        await driver.enqueue([one])
    assert caught.value.retryable
    assert [each.ready for each in await driver.stats(["q"])] == [0]  # reading goes on
    holder.execute("COMMIT")
    holder.close()
    assert list(await driver.enqueue([one])) == []
    await driver.close()


async def test_a_call_that_does_not_end_is_given_up(path: Path) -> None:
    release = threading.Event()
    connection = Connection(
        lambda: Session(str(path), None), op_timeout_ms=50, wakeup=Wakeup(str(path))
    )
    async with connection:
        stuck = asyncio.create_task(connection.run(lambda _: release.wait()))
        await asyncio.sleep(0)
        with pytest.raises(DriverTimeoutError, match="not run"):
            await connection.write(lambda db: db.execute("CREATE TABLE never (x)"))
        with pytest.raises(OutcomeUnknownError):
            await stuck
        release.set()
        names = await connection.read(
            lambda db: db.execute("SELECT name FROM sqlite_master").fetchall()
        )
        assert names == []


async def test_a_file_that_was_replaced_is_not_written_to(make: Make, path: Path) -> None:
    driver = make()
    await driver.open()
    await driver.enqueue([message()])
    for part in path.parent.glob("queue.db*"):
        if part.is_file():
            part.unlink()
    await driver.enqueue([message(), message()])
    other = make()
    await other.open()
    assert [each.ready for each in await other.stats(["q"])] == [2]
    await other.close()
    await driver.close()


async def test_a_commit_that_fails_half_way_is_an_unknown_outcome(make: Make, path: Path) -> None:
    driver = make()
    await driver.open()
    one = message(1_000_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(OutcomeUnknownError, match="repeating the call is safe"):
            await driver.enqueue([one])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await driver.enqueue([one])
    assert [each.ready for each in await driver.stats(["q"])] == [1]
    await driver.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_refuses_and_recovers(make: Make, small_disk: Path) -> None:
    driver = make(path=small_disk / "queue.db")
    await driver.open()
    await driver.enqueue([message()])
    ballast = small_disk / "ballast"
    write(ballast, bytes(1_000_000))
    with pytest.raises(DriverError, match=r"queue\.db: the disk is full") as caught:
        await driver.enqueue([message(1_500_000)])
    assert caught.value.retryable
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert [each.ready for each in await driver.stats(["q"])] == [1]
    ballast.unlink()
    await driver.enqueue([message(500_000)])
    assert [each.ready for each in await driver.stats(["q"])] == [2]
    await driver.close()


async def test_a_file_that_cannot_be_written_for_a_while_works_again(
    make: Make, small_disk: Path
) -> None:
    driver = make(path=small_disk / "queue.db")
    await driver.open()
    await driver.close()
    remount(small_disk, "ro")
    with pytest.raises(DriverError, match=r"queue\.db") as caught:
        await driver.open()
        await driver.enqueue([message()])
    assert caught.value.retryable
    remount(small_disk, "rw")
    await driver.open()
    await driver.enqueue([message()])
    await driver.close()
