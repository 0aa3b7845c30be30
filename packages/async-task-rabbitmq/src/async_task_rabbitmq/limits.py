"""The numbers of RabbitMQ that both the declaration and the driver need."""

from typing import Final

PRIORITIES: Final = 2
"""Each level is a queue of its own: quorum queues had no strict priorities before RabbitMQ 4.3."""

MESSAGE_BYTES: Final = 16 << 20
"""Largest body: RabbitMQ 4's default of `max_message_size`; earlier versions took eight times it.

Asking for more would close the channel and leave the outcome of its other messages unknown.
"""

CONSUMER_TIMEOUT_S: Final = 1800
"""RabbitMQ's default of `consumer_timeout`: how long a message may stay without an answer."""
