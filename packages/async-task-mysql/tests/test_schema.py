"""Making the tables, under names and users of all kinds."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from async_task.spi.driver import ConsumerOptions
from async_task.spi.errors import AccessDeniedError, ConfigurationError, DriverError
from async_task.spi.messages import Ack, Message, Reject
from async_task.testing.servers.mysql import MariadbServer
from async_task_mysql.client import Client

pytestmark = pytest.mark.anyio
Make = Callable[..., Any]
PASSWORDS = ("p@ss:w/rd%41?#[]", "pässwörd")


async def works(driver: Any) -> None:
    """Take two messages through all tables."""
    await driver.open()
    try:
        await driver.enqueue([Message(os.urandom(16), "q", body) for body in (b"1", b"2")])
        async with driver.consumer(ConsumerOptions(queues=("q",), max_leases=2)) as consumer:
            one, two = await consumer.lease(
                ("q",), 2, wait_ms=0, lease_id=os.urandom(16), visibility_ms=1000
            )
            assert not await consumer.settle([Ack(one), Reject(two, "failed", b"")])
        assert [letter.id for letter in await driver.dead_letters.browse("q", limit=9)] == [two.id]
        assert list(await driver.control.queues()) == ["q"]
        await driver.maintain()
    finally:
        await driver.close()


async def test_opening_makes_what_is_not_there(make: Make) -> None:
    await works(make())


async def test_four_processes_may_open_at_once(make: Make, server: MariadbServer) -> None:
    script = (
        "import asyncio, sys\n"
        "from async_task.spi.driver import DriverOptions\n"
        "from async_task_mysql.driver import MysqlDriver\n"
        "from async_task_mysql.settings import MysqlSettings\n"
        "async def main():\n"
        "    options = DriverOptions(op_timeout_ms=20_000)\n"
        "    driver = MysqlDriver(MysqlSettings(dsn=sys.argv[1]), options)\n"
        "    print(*await driver.migrations.apply())\n"
        "    await driver.open()\n"
        "    await driver.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, server.url]
    pipe = asyncio.subprocess.PIPE
    runs = [
        await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe) for _ in range(4)
    ]
    answers = [await run.communicate() for run in runs]
    assert [error for _, error in answers] == [b""] * 4
    assert sorted(names for names, _ in answers) == [b"\n"] * 3 + [b"0001_initial\n"]


@pytest.mark.parametrize(
    ("queue", "dead"),
    [
        ("we`ird; DROP TABLE x; -- ", "{dead} % @now \\ 'letters'"),
        ("select", "Größe"),
        ("home.queue", "home.dead"),
        ("ho`me.task_queue", "dead_letter_queue"),
    ],
)
async def test_any_names_will_do(make: Make, admin: Client, queue: str, dead: str) -> None:
    await admin.run("CREATE DATABASE home; CREATE DATABASE `ho``me`")
    await works(make(queue_table=queue.strip(), dead_letter_table=dead))
    [made] = await admin.run(
        "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables "
        "WHERE table_schema IN ('test', 'home', 'ho`me')"
    )
    tables = {name if "." in name else f"test.{name}" for name in (queue.strip(), dead)}
    assert tables <= {name for (name,) in made.rows}
    await admin.run("DROP DATABASE home; DROP DATABASE `ho``me`")


async def test_the_script_makes_the_same_as_applying(make: Make, admin: Client) -> None:
    driver = make()
    await admin.run(driver.migrations.sql())
    assert list(await driver.migrations.pending()) == []
    await works(driver)


async def test_a_migration_that_was_cut_off_is_completed(make: Make, admin: Client) -> None:
    driver = make()
    await driver.migrations.apply()
    await admin.run("DELETE FROM task_queue_schema; DROP TABLE task_queue_results; COMMIT")
    assert list(await driver.migrations.apply()) == ["0001_initial"]
    await works(driver)


async def test_what_is_pending_is_not_applied_unasked(make: Make) -> None:
    driver = make()
    await driver.migrations.apply()
    driver.migrations._scripts["0002_next"] = "SELECT 1"
    with pytest.raises(ConfigurationError, match=r"0002_next.*async-task migrate"):
        await driver.open()
    assert list(await driver.migrations.apply()) == ["0002_next"]
    await works(driver)


async def test_the_schema_of_a_newer_release_will_do(make: Make, admin: Client) -> None:
    await make().migrations.apply()
    await admin.run("INSERT INTO task_queue_schema VALUES ('9999_newer', UTC_TIMESTAMP(6)); COMMIT")
    await admin.run("ALTER TABLE task_queue ADD COLUMN newer INT NOT NULL DEFAULT 0")
    await works(make())


async def test_a_table_of_somebody_else_is_left_alone(make: Make, admin: Client) -> None:
    await admin.run("CREATE TABLE dead_letter_queue (payload TEXT)")
    with pytest.raises(ConfigurationError, match="mysql_dead_letter_table"):
        await make().open()
    [tables] = await admin.run("SHOW TABLES")
    assert tables.rows == (("dead_letter_queue",),)


async def test_a_user_who_may_not_make_tables_is_told_what_to_do(
    make: Make, admin: Client, server: MariadbServer
) -> None:
    await admin.run("CREATE USER poor; GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO poor")
    poor = make(dsn=server.url.replace("root@", "poor@"))
    with pytest.raises(ConfigurationError, match="async-task migrate"):
        await poor.open()
    await make().migrations.apply()
    await works(poor)
    await admin.run("REVOKE INSERT ON test.* FROM poor")
    await poor.open()
    with pytest.raises(AccessDeniedError, match="grant"):
        await poor.enqueue([Message(os.urandom(16), "q", b"")])
    await poor.close()
    await admin.run("DROP USER poor")


async def test_tables_that_vanish_are_an_error_that_says_so(driver: Any, admin: Client) -> None:
    await admin.run("DROP TABLE task_queue")
    with pytest.raises(DriverError, match="async-task migrate"):
        await driver.enqueue([Message(os.urandom(16), "q", b"")])


async def test_a_database_that_is_not_there_is_named(make: Make, server: MariadbServer) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        await make(dsn=server.url.replace("/test", "/nowhere")).open()
    with pytest.raises(DriverError, match="nowhere"):
        await make(queue_table="nowhere.tasks").open()


@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_password_may_hold_anything_and_is_never_shown(
    make: Make, admin: Client, server: MariadbServer, password: str
) -> None:
    await admin.run(f"CREATE USER secretive IDENTIFIED BY '{password}'")
    await admin.run("GRANT ALL ON test.* TO secretive")
    right, wrong = (
        make(dsn=server.url.replace("root@", f"secretive:{quote(word, safe='')}@"))
        for word in (password, "other" + password)
    )
    await works(right)
    with pytest.raises(AccessDeniedError, match="mysql_dsn") as caught:
        await wrong.open()
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__)
    assert password not in shown
    assert quote(password, safe="") not in shown
    await admin.run("DROP USER secretive")


async def test_a_server_that_cannot_serve_says_what_to_change(make: Make, admin: Client) -> None:
    await admin.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        with pytest.raises(ConfigurationError, match="max_allowed_packet=1048576"):
            await make().open()
    finally:
        await admin.run("SET GLOBAL max_allowed_packet = 16777216")
