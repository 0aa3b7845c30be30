"""Reading the URL of a Redis server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import unquote

from async_task.spi.errors import ConfigurationError
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_task_redis.settings import RedisSettings
    from async_task_redis.wire import Stream

Host: TypeAlias = "tuple[str, int]"
"""Name or number, and port."""

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_FORMS = "redis://host:port/db, rediss://..., unix:///path or redis+sentinel://host:port/service/db"
_SCHEMES = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})

_OPTIONS = frozenset({"db", "username", "password", "client_name", "socket_keepalive"})
"""Those of redis-py that are taken besides `ssl_...`: what concerns its pool, its timeouts and its
repetitions has no meaning here."""

_SENTINEL_OPTIONS: Final = {"sentinel_username": "username", "sentinel_password": "password"}

_ALWAYS: Final[Mapping[str, Any]] = {
    # Replies of the same shapes from every server; the third also takes one permission more.
    "protocol": 2,
    # A call has a bound of its own.
    "socket_timeout": None,
    "socket_connect_timeout": None,
    "retry": Retry(NoBackoff(), 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is and how to introduce oneself; `str()` shows the first only.

    Attributes:
        hosts: The server, or the Sentinels, or nodes of a cluster; empty for a socket file.
        service: What the Sentinels call the server.
        kind: Which of redis-py's connections leads there.
        options: What it is made with.
        sentinel_options: The same for the Sentinels.
    """

    hosts: tuple[Host, ...] = ()
    service: str | None = None
    kind: type[Connection | UnixDomainSocketConnection] = Connection
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    sentinel_options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def at(self, host: Host) -> Address:
        """Return the same for another host: a node of the cluster, or what a Sentinel named."""
        return replace(self, hosts=(host,), service=None)

    def stream(self) -> Stream:
        """Return a connection to the first host, not connected yet."""
        options = {**_ALWAYS, **self.options}
        if self.hosts:
            options["host"], options["port"] = self.hosts[0]
        return cast("Stream", self.kind(**options))

    def sentinel(self, host: Host) -> Address:
        """Return where one of the Sentinels is."""
        return replace(self, hosts=(host,), service=None, options=self.sentinel_options)

    def __str__(self) -> str:
        if self.kind is UnixDomainSocketConnection:
            return f"unix://{self.options['path']}"
        scheme = "rediss" if self.kind is SSLConnection else "redis"
        hosts = ",".join(f"[{h}]:{port}" if ":" in h else f"{h}:{port}" for h, port in self.hosts)
        return scheme + (f"+sentinel://{hosts}/{self.service}" if self.service else f"://{hosts}")


def address_of(settings: RedisSettings) -> Address:
    """Read the URL of settings, with their `password` and `db` applied.

    Raises:
        ConfigurationError: It is not such a URL, or does not fit the other settings. The message
            does not quote it, since it may hold a password.
    """
    address = _read(settings.url)
    options = dict(address.options)
    if settings.password is not None:
        options["password"] = settings.password
    if settings.db and options.setdefault("db", settings.db) != settings.db:
        raise ConfigurationError(
            f"redis_db={settings.db}, but redis_url says database {options['db']}; give one of them"
        )
    address = replace(address, options=options)
    if not settings.cluster and address.service is None and len(address.hosts) > 1:
        raise ConfigurationError(
            "redis_url names several servers; that is for redis_cluster=True or for Sentinels "
            "(redis+sentinel://)"
        )
    if settings.cluster and (options.get("db") or address.service or not address.hosts):
        raise ConfigurationError(
            "redis_cluster: a cluster has database 0 only, and its nodes are reached by host "
            "and port; write redis://host:port"
        )
    try:
        address.stream()
    except (TypeError, RedisError) as error:
        raise ConfigurationError(f"redis_url: an option cannot be ({error})") from None
    return address


def _read(url: str) -> Address:
    scheme, separator, rest = url.partition("://")
    scheme, _, watched = scheme.lower().partition("+")
    if not separator or (f"{scheme}+{watched}" if watched else scheme) not in _SCHEMES:
        raise ConfigurationError(f"redis_url is none of {_FORMS}")
    rest, question, query = rest.partition("?")
    # The last @ ends the credentials: a password that was not encoded may hold one.
    credentials, _, place = rest.rpartition("@")
    hosts, _, path = place.partition("/")
    service = ""
    if watched:
        service, _, path = path.partition("/")
        if not service:
            raise ConfigurationError(
                "redis_url: after the Sentinels comes the name of the service they watch: "
                "redis+sentinel://host:port,host:port/service/db"
            )
    try:
        parts = [
            cast("dict[str, Any]", parse_url(f"{scheme}://{host}/{path}{question}{query}"))
            for host in hosts.split(",")
        ]
    except ValueError:
        raise ConfigurationError(f"redis_url: a host, port or option is none of {_FORMS}") from None
    port = SENTINEL_PORT if watched else PORT
    where = tuple((each.pop("host", "localhost"), each.pop("port", port)) for each in parts)
    options = parts[0]
    kind = options.pop("connection_class", Connection)
    if kind is UnixDomainSocketConnection:
        if hosts or not path:
            raise ConfigurationError("redis_url: a socket is an absolute path: unix:///path")
        path, where = "", ()
    if path.strip("/") and not path.strip("/").isdecimal():
        raise ConfigurationError("redis_url: a database is a number: redis://host:port/0")
    sentinel_options = _for_sentinels(options) if watched else {}
    _check(options, scheme, tls=kind is SSLConnection)
    if watched:
        sentinel_options |= {name: options[name] for name in options if name.startswith("ssl_")}
    user, _, secret = credentials.partition(":")
    options |= {"username": unquote(user)} if user else {}
    options |= {"password": unquote(secret)} if secret else {}
    return Address(
        hosts=where,
        service=unquote(service) or None,
        kind=kind,
        options=options,
        sentinel_options=sentinel_options,
    )


def _for_sentinels(options: dict[str, Any]) -> dict[str, Any]:
    """Take what is for the Sentinels out of the options."""
    names = [name for name in _SENTINEL_OPTIONS if name in options]
    return {_SENTINEL_OPTIONS[name]: options.pop(name) for name in names}


def _check(options: Mapping[str, Any], scheme: str, *, tls: bool) -> None:
    known = _OPTIONS | {"path"} if scheme == "unix" else _OPTIONS
    unknown = [n for n in options.keys() - known if not (tls and n.startswith("ssl_"))]
    if unknown:
        raise ConfigurationError(
            f"redis_url: {scheme}:// has no option {', '.join(sorted(unknown))}; there are "
            f"{', '.join(sorted(_OPTIONS))}, ssl_... with rediss://, and with Sentinels "
            f"{', '.join(_SENTINEL_OPTIONS)}"
        )
