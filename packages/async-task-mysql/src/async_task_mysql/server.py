"""A server and how to connect to it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from async_task.spi.errors import ConfigurationError, ConnectionLostError

from async_task_mysql.client import Client
from async_task_mysql.failures import CLIENT_ERRORS, translate_connect

if TYPE_CHECKING:
    from async_task_mysql.address import Address

OLDEST: Final = {"MySQL": (8, 0, 19), "MariaDB": (10, 6, 0)}
"""Oldest versions with SKIP LOCKED and JSON_TABLE in the form that we use."""

LEAST_PACKET: Final = 4 << 20
"""Least `max_allowed_packet`: a body of 1 MiB in hexadecimal, a result beside it, and the rest."""

LARGEST_PACKET: Final = (16 << 20) - (1 << 16)
"""Largest packet we send; beyond 16 MiB the protocol cuts packets into several."""

_BYTES: Final = bytes(range(256))

_SESSION: Final = """
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET SESSION autocommit = 1, time_zone = '+00:00', sql_notes = 0, sql_safe_updates = 0,
        sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
        wait_timeout = 28800, net_write_timeout = {seconds},
        innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}
        /*M! , max_statement_time = {statement_s}, in_predicate_conversion_threshold = 0,
            group_concat_max_len = 1048576 */
        /*!80000 , max_execution_time = {statement_ms} */;
    SHOW SESSION VARIABLES WHERE Variable_name IN (
        'transaction_isolation', 'tx_isolation', 'sql_mode', 'time_zone', 'max_allowed_packet',
        'log_bin', 'binlog_format'
    );
    SELECT x'{probe}'
"""


class Server:
    """A MySQL or MariaDB server.

    Attributes:
        place: What messages call it: host, port and database, without user and password.
        op_timeout_s: Bound of one call.
        max_packet: Largest packet to send. Known once `look` has returned.
    """

    def __init__(self, address: Address, op_timeout_ms: int) -> None:
        self._address = address
        self.place = str(address)
        self.op_timeout_s = op_timeout_ms / 1000
        self.max_packet = LEAST_PACKET
        # A statement ends on the server before we give up on it, so that we hear that it did.
        patience_ms = max(1, op_timeout_ms * 9 // 10)
        self._script = _SESSION.format(
            seconds=max(1, patience_ms // 1000),
            statement_s=patience_ms / 1000,
            statement_ms=patience_ms,
            probe=_BYTES.hex(),
        )

    async def look(self) -> None:
        """Connect, and see what the server is.

        Raises:
            ConfigurationError: It cannot serve.
            DriverError: It cannot be reached.
        """
        deadline = asyncio.get_running_loop().time() + self.op_timeout_s
        client = await self.connect(deadline)
        client.abort()

    async def connect(self, deadline: float) -> Client:
        """Make a connection with a session of our own kind.

        Args:
            deadline: When to give up, by the loop's clock.

        Raises:
            ConfigurationError: The server cannot serve.
            DriverError: It cannot be reached; nothing was sent.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._connect())
        try:
            await asyncio.wait([task], timeout=max(0.0, deadline - loop.time()))
        except asyncio.CancelledError:
            _drop(task)
            raise
        if not task.done():
            _drop(task)
            raise ConnectionLostError(
                f"{self.place} did not accept a connection within op_timeout; check that it runs "
                "and can be reached"
            )
        try:
            return task.result()
        except CLIENT_ERRORS as error:
            raise translate_connect(error, self.place) from error

    async def _connect(self) -> Client:
        client = await Client.connect(self._address, self.op_timeout_s)
        try:
            self._check_version(client.version)
            *_, variables, probe = await client.run(self._script)
            self._check(dict(variables.rows), probe.rows)
        except BaseException:
            client.abort()
            raise
        return client

    def _check_version(self, version: str) -> None:
        kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        # MariaDB puts 5.5.5 before its version, for replicas of old.
        numbers = re.findall(r"\d+", version.removeprefix("5.5.5-"))[:3]
        if tuple(map(int, numbers)) < OLDEST[kind]:
            oldest = ".".join(map(str, OLDEST[kind]))
            raise ConfigurationError(
                f"{self.place} runs {kind} {version}; async-task needs {oldest} or later"
            )

    def _check(self, variables: dict[str, str], probe: tuple[Any, ...]) -> None:
        isolation = variables.get("transaction_isolation") or variables.get("tx_isolation")
        if (
            isolation != "READ-COMMITTED"
            or "STRICT_ALL_TABLES" not in variables["sql_mode"]
            or variables["time_zone"] != "+00:00"
        ):
            raise ConfigurationError(
                f"{self.place} did not take the settings of our session (isolation {isolation}, "
                f"sql_mode {variables['sql_mode']!r}); if a proxy drops them, go past it"
            )
        if probe != ((_BYTES,),):
            raise ConfigurationError(
                f"{self.place} returns other bytes than were sent; check the versions of aiomysql "
                "and PyMySQL (at least 1.1.1, below 1.2.1)"
            )
        packet = int(variables["max_allowed_packet"])
        if packet < LEAST_PACKET:
            raise ConfigurationError(
                f"{self.place} has max_allowed_packet={packet}; async-task needs {LEAST_PACKET} or "
                "more for its bodies of up to 1 MiB"
            )
        if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
            raise ConfigurationError(
                f"{self.place} has binlog_format=STATEMENT, which READ COMMITTED and SKIP LOCKED "
                "cannot be logged in; set it to ROW or MIXED"
            )
        self.max_packet = min(packet - (1 << 16), LARGEST_PACKET)


def _drop(task: asyncio.Task[Client]) -> None:
    """Leave a connection attempt to itself: to wait for its end may take longer than there is."""
    task.add_done_callback(_forget)
    task.cancel()


def _forget(task: asyncio.Task[Client]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
