"""Settings of the RabbitMQ driver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting

from async_task_rabbitmq.limits import CONSUMER_TIMEOUT_S

_EXCHANGE = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


@dataclass(frozen=True, kw_only=True)
class RabbitmqSettings(DriverSettings):
    """Where RabbitMQ is and how it is used.

    Attributes:
        url: `amqp://[user[:password]@]host[:port][/vhost]`, or `amqps://` for TLS. What is not a
            letter or digit in user, password and virtual host is percent-encoded; the default
            virtual host `/` may be left out. Options are aiormq's: `heartbeat` (seconds, 10 unless
            said), and with TLS `cafile` or `capath` of the authorities to trust instead of the
            system's, `certfile` and `keyfile` of a certificate to show, and `no_verify_ssl=1`.
        exchange_name: Exchange that all messages pass; those it needs for delays begin with the
            same name. Applications of one virtual host may share it.
        prefetch_count: Most messages that one lease call asks of a queue. Without it as many as
            the worker has room for.
        passive: Declare nothing, for accounts that may not: exchanges, queues and bindings have to
            be there, as a process that may declare left them.
        consumer_timeout_seconds: The server's `consumer_timeout`, which a client cannot read. It
            takes every message back that has stayed without an answer for so long, so tasks with a
            longer `timeout` are refused. 0 where the server has it switched off.

    Raises:
        ConfigurationError: A value cannot be; no message shows the URL.
    """

    url: str = setting(
        "amqp://guest:guest@localhost:5672/",
        "Where RabbitMQ is: amqp:// or amqps://, with user, password and virtual host.",
        secret=True,
    )
    exchange_name: str = setting("async_task", "Exchange that all messages pass.")
    prefetch_count: int | None = setting(
        None, "Most messages asked of a queue at once; without it, as many as the worker has room."
    )
    passive: bool = setting(False, "Declare nothing: exchanges and queues have to be there.")
    consumer_timeout_seconds: int = setting(
        CONSUMER_TIMEOUT_S,
        "The server's consumer_timeout, longer than which no task may take; 0 for none.",
    )

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("amqp", "amqps"):
            raise ConfigurationError("rabbitmq_url must begin with amqp:// or amqps://")
        if not _EXCHANGE.fullmatch(self.exchange_name) or self.exchange_name.startswith("amq."):
            raise ConfigurationError(
                "rabbitmq_exchange_name must have 1 to 100 letters, digits, '_', '.', ':' and '-', "
                f"and not begin with 'amq.', unlike {self.exchange_name!r}"
            )
        if self.prefetch_count is not None and self.prefetch_count < 1:
            raise ConfigurationError(
                f"rabbitmq_prefetch_count must be at least 1, not {self.prefetch_count}"
            )
        if self.consumer_timeout_seconds < 0:
            raise ConfigurationError(
                "rabbitmq_consumer_timeout_seconds must be at least 0, not "
                f"{self.consumer_timeout_seconds}"
            )
