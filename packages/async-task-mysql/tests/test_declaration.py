"""What is declared without importing the driver."""

from __future__ import annotations

import subprocess
import sys

import pytest
from async_task.spi.errors import ConfigurationError
from async_task_mysql.address import Address
from async_task_mysql.names import Names
from async_task_mysql.settings import MysqlSettings

DSN = "mysql://me:secret@db.example:3307/app"


def test_a_url_is_the_dsn() -> None:
    assert MysqlSettings.make(**MysqlSettings.from_url(DSN)).dsn == DSN


def test_nothing_shows_the_password() -> None:
    settings = MysqlSettings(dsn=DSN)
    assert "secret" not in repr(settings)
    assert "secret" not in repr(settings.address())
    assert "secret" not in str(settings.address())


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("me:secret", "me", "secret"),
        ("me", "me", ""),
        ("m%40e:p%40ss%3Aw%2Frd%2541%3F%23", "m@e", "p@ss:w/rd%41?#"),
        ("me:p@ss:w/rd?#[]", "me", "p@ss:w/rd?#[]"),
        ("me:100%", "me", "100%"),
        ("me:%C3%BC+%20", "me", "ü+ "),
    ],
)
def test_any_password_can_be_written(login: str, user: str, password: str) -> None:
    address = Address.of(f"mysql://{login}@db:3307/app?ssl-mode=required")
    assert (address.user, address.password) == (user, password)
    assert (address.host, address.port, address.database) == ("db", 3307, "app")
    assert address.tls == "required"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("mysql:///app", "localhost:3306/app"),
        ("mariadb://me@db/my%20app", "db:3306/my app"),
        ("mysql://[::1]:3307/app", "::1:3307/app"),
        ("mysql:///app?socket=/run/mysqld.sock", "/run/mysqld.sock/app"),
    ],
)
def test_a_place_is_read(url: str, place: str) -> None:
    assert str(Address.of(url)) == f"MySQL at {place}"


def test_a_certificate_authority_means_that_the_server_is_verified() -> None:
    assert Address.of("mysql://db/app?ssl-ca=/ca.pem").tls == "verify_identity"


@pytest.mark.parametrize(
    "dsn",
    [
        None,
        "",
        "host=db password=secret",
        "mysql+aiomysql://me:secret@db/app",
        "mysql://me:secret@db",
        "mysql://me:secret@db:port/app",
        "mysql://me:secret@db:0/app",
        "mysql://me:secret@db/app?password=secret",
        "mysql://me:secret@db/app?ssl-mode=secret",
    ],
)
def test_what_is_no_url_of_a_database_is_refused(dsn: str | None) -> None:
    with pytest.raises(ConfigurationError, match="mysql_dsn") as caught:
        MysqlSettings(dsn=dsn)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "table", ["", ".", "a.", ".a", "a.b.c", "x" * 65, "n\0l", "a:b", "a ", "𝄞"]
)
@pytest.mark.parametrize("setting", ["queue_table", "dead_letter_table"])
def test_a_table_that_cannot_be_is_refused(setting: str, table: str) -> None:
    with pytest.raises(ConfigurationError, match=f"mysql_{setting}"):
        MysqlSettings.make(dsn=DSN, **{setting: table})


@pytest.mark.parametrize(("least", "most"), [(-1, 1), (2, 1), (0, 0)])
def test_pool_sizes_that_do_not_fit_are_refused(least: int, most: int) -> None:
    with pytest.raises(ConfigurationError, match="pool_size"):
        MysqlSettings(dsn=DSN, min_pool_size=least, max_pool_size=most)


@pytest.mark.parametrize("dead", ["jobs", "Jobs_Results", "jobs_queues", "jobs_schema"])
def test_dead_letters_need_a_table_of_their_own(dead: str) -> None:
    settings = MysqlSettings(dsn=DSN, queue_table="jobs", dead_letter_table=dead)
    with pytest.raises(ConfigurationError, match="another name"):
        Names.of(settings, "")


def test_the_longest_namespace_fits_the_usual_tables() -> None:
    assert Names.of(MysqlSettings(dsn=DSN), "n" * 40).queue == f"`{'n' * 40}_task_queue`"


def test_names_that_are_too_long_are_refused() -> None:
    settings = MysqlSettings(dsn=DSN, queue_table="q" * 40)
    with pytest.raises(ConfigurationError, match="shorten"):
        Names.of(settings, "n" * 40)


def test_declaring_imports_no_driver() -> None:
    script = (
        "import sys, async_task_mysql.plugin, async_task_mysql.settings\n"
        "[info] = async_task_mysql.plugin.async_task_drivers()\n"
        "assert info.name == 'mysql' and info.spi_version == 1, info\n"
        "print({'aiomysql', 'pymysql', 'asyncio', 'async_task_mysql.driver'} & sys.modules.keys()"
        " or 'none')"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "none\n"
