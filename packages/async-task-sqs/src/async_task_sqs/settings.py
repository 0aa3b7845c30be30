"""Settings of the SQS driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from async_task.spi.errors import ConfigurationError
from async_task.spi.settings import DriverSettings, setting

from async_task_sqs.limits import MESSAGE_BYTES, RESERVED_BYTES

_LEAST_BYTES = RESERVED_BYTES + 1024


@dataclass(frozen=True, kw_only=True)
class SqsSettings(DriverSettings):
    """Where the queues are and who asks.

    Attributes:
        region: AWS region.
        queue_url_prefix: What the URLs of the queues begin with, for example
            `https://sqs.eu-west-1.amazonaws.com/123456789012/`; what follows the last `/` begins
            the queues' names. Without it URLs are looked up by name, once for each queue.
        endpoint_url: Another place than AWS's own: a VPC endpoint, or an emulator.
        aws_access_key_id: Key; without one AWS's credential chain is asked: environment, profile,
            web identity, container, instance.
        aws_secret_access_key: The key's secret.
        aws_session_token: What goes with a temporary key.
        fifo: Use FIFO queues: what is sent twice within five minutes is stored once, and tasks
            cannot be dispatched with a delay. It promises no order.
        create_queues: Make queues that do not exist; off, somebody else has to.
        max_message_bytes: Largest message, its overhead included; less for queues that were made
            with a smaller `MaximumMessageSize`.

    Raises:
        ConfigurationError: A value cannot be; no message shows the secret.
    """

    region: str = setting("us-east-1", "AWS region.")
    queue_url_prefix: str | None = setting(
        None,
        "What queue URLs begin with; without it they are looked up by name.",
        env=("ASYNC_TASK_SQS_QUEUE_PREFIX",),
    )
    endpoint_url: str | None = setting(None, "Another place than AWS's own, such as an emulator.")
    aws_access_key_id: str | None = setting(
        None,
        "AWS key; without one AWS's own credential chain is asked.",
        env=("AWS_ACCESS_KEY_ID",),
        keyword="aws_access_key_id",
        secret=True,
    )
    aws_secret_access_key: str | None = setting(
        None,
        "The AWS key's secret.",
        env=("AWS_SECRET_ACCESS_KEY",),
        keyword="aws_secret_access_key",
        secret=True,
    )
    aws_session_token: str | None = setting(
        None,
        "What goes with a temporary AWS key.",
        env=("AWS_SESSION_TOKEN",),
        keyword="aws_session_token",
        secret=True,
    )
    fifo: bool = setting(False, "Use FIFO queues: no duplicates within 5 minutes, no delays.")
    create_queues: bool = setting(True, "Make queues that do not exist.")
    max_message_bytes: int = setting(
        MESSAGE_BYTES, "Largest message in bytes, 8 KiB of overhead included."
    )

    def __post_init__(self) -> None:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ConfigurationError(
                "aws_access_key_id and aws_secret_access_key go together; give both, or neither "
                "to have AWS's own credential chain asked"
            )
        for name in ("queue_url_prefix", "endpoint_url"):
            value: str | None = getattr(self, name)
            if value is not None and not value.startswith(("https://", "http://")):
                raise ConfigurationError(f"sqs_{name} must begin with https:// or http://")
        if not _LEAST_BYTES <= self.max_message_bytes <= MESSAGE_BYTES:
            raise ConfigurationError(
                f"sqs_max_message_bytes must be {_LEAST_BYTES} to {MESSAGE_BYTES}, not "
                f"{self.max_message_bytes}"
            )

    @classmethod
    def from_url(cls, url: str) -> dict[str, Any]:
        """Read `sqs://[KEY:SECRET@]REGION`, or `sqs://HOST:PORT?region=REGION` for an emulator.

        The part after `@` is an endpoint where it has a port, and a region where it has none.
        `?scheme=https` is for an endpoint that speaks TLS.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        values: dict[str, Any] = {}
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigurationError("the sqs:// URL has no valid port") from error
        if parts.username is not None:
            values["aws_access_key_id"] = unquote(parts.username)
            values["aws_secret_access_key"] = unquote(parts.password or "")
        if port is not None:
            scheme = options.pop("scheme", "http")
            values["endpoint_url"] = f"{scheme}://{parts.hostname}:{port}"
            if "region" in options:
                values["region"] = options.pop("region")
        elif parts.hostname:
            values["region"] = parts.hostname
        if options or parts.path.strip("/"):
            raise ConfigurationError(
                "an sqs:// URL is sqs://[KEY:SECRET@]REGION or sqs://HOST:PORT?region=REGION, with "
                "nothing else; give the rest as settings, such as sqs_queue_url_prefix"
            )
        return values
