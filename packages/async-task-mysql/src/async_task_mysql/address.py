"""The URL of a database, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from async_task.spi.errors import ConfigurationError

_SCHEMES: Final = ("mysql", "mariadb")
_TLS: Final = ("disabled", "required", "verify_ca", "verify_identity")
_PORT: Final = 3306


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and as whom to go there.

    Attributes:
        host: Name or address of the server.
        port: Its port.
        user: Who we are; empty for the operating system's user.
        password: His password, maybe empty. Never shown.
        database: The database with the tables.
        socket: Path of the server's Unix socket, instead of host and port.
        tls: `disabled`, `required` (encrypted, whoever answers), `verify_ca`, or
            `verify_identity`.
        tls_ca: File of the authorities to trust, instead of the system's.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    socket: str | None = None
    tls: str = "disabled"
    tls_ca: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        """Read `mysql://user:password@host:port/database?ssl-mode=...&ssl-ca=...&socket=...`.

        User and password are what stands before the last `@` and are percent-decoded, so that any
        password can be written; one that holds no `%` can also stand there as it is.

        Raises:
            ConfigurationError: It is no such URL; nothing of it is shown, for it holds a password.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise ConfigurationError(
                "mysql_dsn must begin with mysql:// (a URL, without a client's name such as "
                "'+aiomysql')"
            )
        login, _, place = rest.rpartition("@")
        user, _, password = login.partition(":")
        place, _, query = place.partition("?")
        where, _, database = place.partition("/")
        options = _options(query)
        host, port = _host_and_port(where)
        if not database:
            raise ConfigurationError(
                "mysql_dsn names no database: mysql://user:password@host:3306/database"
            )
        ca = options.get("ssl-ca")
        tls = options.get("ssl-mode", "verify_identity" if ca else "disabled").lower()
        if tls not in _TLS:
            raise ConfigurationError(f"ssl-mode of mysql_dsn is none of {', '.join(_TLS)}")
        return cls(
            host=host,
            port=port,
            user=unquote(user),
            password=unquote(password),
            database=unquote(database),
            socket=options.get("socket"),
            tls=tls,
            tls_ca=ca,
        )

    def __str__(self) -> str:
        """Return what messages call it: without user and password."""
        return f"MySQL at {self.socket or f'{self.host}:{self.port}'}/{self.database}"


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"ssl-mode", "ssl-ca", "socket"})
    if unknown:
        raise ConfigurationError(
            f"mysql_dsn has options it cannot have ({len(unknown)}); known are ssl-mode, ssl-ca "
            "and socket, and special characters of user and password must be percent-encoded"
        )
    return options


def _host_and_port(where: str) -> tuple[str, int]:
    host, port = where, ""
    if where.startswith("["):  # an IPv6 address
        host, _, port = where[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in where:
        host, _, port = where.rpartition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ConfigurationError(
            "the port in mysql_dsn is no number of a port; percent-encode special characters of "
            "user and password"
        )
    return unquote(host) or "localhost", int(port or _PORT)
