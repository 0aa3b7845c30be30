"""What the SQS driver declares; imports neither the driver nor `aiobotocore`."""

from __future__ import annotations

from async_task.spi.capabilities import Capabilities, Delay, Facet
from async_task.spi.plugin import DriverInfo, hookimpl

from async_task_sqs.limits import LONGEST_LEASE_S, MESSAGE_BYTES, RESERVED_BYTES

CAPABILITIES = Capabilities(
    facets=frozenset({Facet.DEAD_LETTERS}),
    # Ten calls of ten at once; more would only wait for connections.
    max_batch=100,
    max_body=MESSAGE_BYTES - RESERVED_BYTES,
    max_visibility_ms=LONGEST_LEASE_S * 1000,
    delay=Delay.SECONDS,
)
"""What a standard queue offers.

A lower `sqs_max_message_bytes` lowers `max_body`; with `sqs_fifo` there are no delays.
"""


@hookimpl
def async_task_drivers() -> list[DriverInfo]:
    """Declare the driver `sqs`."""
    return [
        DriverInfo(
            name="sqs",
            schemes=("sqs",),
            factory="async_task_sqs.driver:SqsDriver",
            settings="async_task_sqs.settings:SqsSettings",
            capabilities=CAPABILITIES,
            summary="Amazon SQS, standard or FIFO queues.",
            spi_version=1,
        )
    ]
