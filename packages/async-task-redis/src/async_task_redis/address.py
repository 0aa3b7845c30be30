"""Reading the URL of a Redis server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, unquote

from async_task.spi.errors import ConfigurationError

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_SCHEMES = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_FORMS = "redis://host:port/db, rediss://..., unix:///path or redis+sentinel://host:port/service/db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to check the server and show who we are; paths of PEM files.

    Attributes:
        ca_file: Authorities to trust instead of the system's.
        cert_file: Our certificate.
        key_file: Its key.
        verify: Whether the server's certificate and name are checked.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is and how to introduce oneself; `str()` shows the first only.

    Attributes:
        hosts: Host and port of the server, or of the Sentinels; empty for a socket file.
        path: A socket file.
        service: What the Sentinels call the server.
        tls: `None` for a plain connection.
        db: Number of the database.
        username: For AUTH; `None` for the default user.
        password: For AUTH.
        sentinel_username: The same for the Sentinels.
        sentinel_password: The same for the Sentinels.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    service: str | None = None
    tls: Tls | None = None
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    def at(self, host: tuple[str, int]) -> Address:
        """Return the same for another host: a node of the cluster, or what a Sentinel named."""
        return replace(self, hosts=(host,), service=None)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        scheme = "redis" if self.tls is None else "rediss"
        hosts = ",".join(f"[{h}]:{port}" if ":" in h else f"{h}:{port}" for h, port in self.hosts)
        service = f"+sentinel://{hosts}/{self.service}" if self.service else f"://{hosts}"
        return scheme + service


def parse(url: str, *, password: str | None = None, db: int = 0) -> Address:
    """Read a URL.

    Args:
        url: See `RedisSettings`.
        password: Wins over the URL's.
        db: Used where the URL names none.

    Raises:
        ConfigurationError: It is not such a URL. The message does not quote it, since it may hold a
            password.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _SCHEMES:
        raise ConfigurationError(f"redis_url is none of {_FORMS}")
    rest, _, query = rest.partition("?")
    options = _options(query, scheme)
    # The last @ ends the credentials: a password that was not encoded may hold one.
    credentials, _, place = rest.rpartition("@")
    user, _, secret = credentials.partition(":")
    address = Address(
        username=unquote(user) or None,
        password=password if password is not None else unquote(secret) or None,
        tls=_tls(options) if scheme.startswith("rediss") else None,
    )
    if scheme == "unix":
        path = unquote(place)
        if not path.startswith("/"):
            raise ConfigurationError("redis_url: a socket is an absolute path: unix:///path")
        return replace(address, path=path, db=_db(options.get("db"), db))
    hosts, _, path = place.partition("/")
    if not scheme.endswith("+sentinel"):
        where = tuple(_host(host, PORT) for host in (hosts or "localhost").split(","))
        return replace(address, hosts=where, db=_db(path or options.get("db"), db))
    service, _, number = path.partition("/")
    if not service:
        raise ConfigurationError(
            "redis_url: after the Sentinels comes the name of the service they watch: "
            "redis+sentinel://host:port,host:port/service/db"
        )
    return replace(
        address,
        hosts=tuple(_host(host, SENTINEL_PORT) for host in hosts.split(",")),
        service=unquote(service),
        db=_db(number or options.get("db"), db),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _host(text: str, default: int) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    host = host.strip("[]")
    if not host or not (port or str(default)).isdecimal() or int(port or default) > 65535:
        raise ConfigurationError(f"redis_url: the server is none of {_FORMS}")
    return unquote(host), int(port or default)


def _db(text: str | None, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal():
        raise ConfigurationError("redis_url: a database is a number: redis://host:port/0")
    if default and int(text) != default:
        raise ConfigurationError(
            f"redis_db={default}, but redis_url says database {text}; give one of them"
        )
    return int(text)


def _options(query: str, scheme: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = {"db"}
    if scheme.startswith("rediss"):
        known |= _TLS_OPTIONS
    if scheme.endswith("sentinel"):
        known |= _SENTINEL_OPTIONS
    if unknown := sorted(options.keys() - known):
        raise ConfigurationError(
            f"redis_url: {scheme}:// has no option {', '.join(unknown)}; "
            f"there are {', '.join(sorted(known))}"
        )
    return options


def _tls(options: dict[str, str]) -> Tls:
    checks = options.get("ssl_cert_reqs", "required")
    if checks not in ("required", "none"):
        raise ConfigurationError("redis_url: ssl_cert_reqs is required or none")
    return Tls(
        ca_file=options.get("ssl_ca_certs"),
        cert_file=options.get("ssl_certfile"),
        key_file=options.get("ssl_keyfile"),
        verify=checks == "required",
    )
