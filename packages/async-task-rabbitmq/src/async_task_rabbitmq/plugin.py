"""What the RabbitMQ driver declares; imports neither the driver nor `aio_pika`."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

from async_task_rabbitmq.limits import CONSUMER_TIMEOUT_S, MESSAGE_BYTES, PRIORITIES

CAPABILITIES = Capabilities(
    facets=frozenset({Facet.DEAD_LETTERS}),
    # 1,000 messages take 0.2 s: far less than the bound of a call.
    max_batch=1000,
    max_body=MESSAGE_BYTES,
    max_visibility_ms=CONSUMER_TIMEOUT_S * 1000,
    priorities=PRIORITIES,
    delay=Delay.SECONDS,
    fence=True,
)
"""What every server from 3.10 on offers, as RabbitMQ ships it.

Another `rabbitmq_consumer_timeout_seconds` changes `max_visibility_ms`.
"""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `rabbitmq`."""
    return [
        DriverInfo(
            name="rabbitmq",
            schemes=("amqp", "amqps"),
            factory="async_task_rabbitmq.driver:RabbitmqDriver",
            settings="async_task_rabbitmq.settings:RabbitmqSettings",
            capabilities=CAPABILITIES,
            summary="RabbitMQ 3.10 and later, quorum queues.",
            spi_version=1,
        )
    ]
