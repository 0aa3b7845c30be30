"""One connection, by aiomysql: the only file that knows the client library's inside.

aiomysql's cursors and pool are not used: a cursor asks for the text of every warning in a call of
its own, and a pool hands out connections whose reply is pending, and cannot be bounded in time.
"""

from __future__ import annotations

import importlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from async_task.spi.errors import ConfigurationError

if TYPE_CHECKING:
    from async_task_mysql.address import Address


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one statement came to.

    Attributes:
        count: Rows changed, or returned.
        rows: Rows returned, each a tuple of columns.
    """

    count: int
    rows: tuple[Any, ...]


class Client:
    """A connection to a server. One call at a time; no call is bounded in time.

    Made by `connect`. Whoever gives up on a call must `abort`: its reply would be the next call's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, address: Address, timeout_s: float) -> Self:
        """Connect and authenticate.

        Args:
            address: Where and as whom.
            timeout_s: Bound of reaching the server; not of what it says then.

        Raises:
            ConfigurationError: The server offers no TLS, which `address` asks for.
        """
        client = cls(_make(address, timeout_s))
        try:
            await client._connection._connect()  # noqa: SLF001 - `connect` leaks when cancelled
            client._check_tls(address)
        except BaseException:
            client.abort()
            raise
        return client

    @property
    def version(self) -> str:
        """What the server calls itself."""
        return str(self._connection.get_server_info())

    @property
    def ended(self) -> bool:
        """Whether the connection is closed, by whichever side."""
        reader = self._connection._reader  # noqa: SLF001 - has no other way to ask
        return reader is None or bool(reader.at_eof())

    async def run(self, script: str) -> list[Outcome]:
        """Send statements in one packet; return what each came to, or raise at the first error."""
        connection = self._connection
        await connection.query(script)
        outcomes: list[Outcome] = []
        while True:
            result = connection._result  # noqa: SLF001 - what a cursor reads
            outcomes.append(Outcome(result.affected_rows, result.rows or ()))
            if not result.has_next:
                return outcomes
            await connection.next_result()

    def _check_tls(self, address: Address) -> None:
        """Refuse to go on in the open, which aiomysql does without a word."""
        writer = self._connection._writer  # noqa: SLF001 - has no other way to ask
        if address.tls != "disabled" and writer.get_extra_info("ssl_object") is None:
            raise ConfigurationError(
                f"{address} offers no TLS, and mysql_dsn says ssl-mode={address.tls}"
            )

    def abort(self) -> None:
        """Drop the connection at once, unsent bytes included; a call in flight fails."""
        writer = self._connection._writer  # noqa: SLF001 - `close` waits for unsent bytes
        if writer is not None:
            writer.transport.abort()
            self._connection.close()


def _make(address: Address, timeout_s: float) -> Any:
    aiomysql: Any = importlib.import_module("aiomysql")
    return aiomysql.Connection(
        host=address.host,
        port=address.port,
        unix_socket=address.socket,
        user=address.user or None,
        # It sends a password in Latin-1; the server compares bytes, of UTF-8 as every other client.
        password=address.password.encode().decode("latin-1"),
        db=address.database,
        charset="utf8mb4",
        autocommit=None,
        connect_timeout=timeout_s,
        ssl=_tls(address),
        program_name="async-task",
    )


def _tls(address: Address) -> ssl.SSLContext | None:
    if address.tls == "disabled":
        return None
    context = ssl.create_default_context(cafile=address.tls_ca)
    context.check_hostname = address.tls == "verify_identity"
    if address.tls == "required":
        context.verify_mode = ssl.CERT_NONE
    return context
