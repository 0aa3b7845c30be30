"""From a call to the message that is stored. Everything is checked before anything is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_task.core.clock import wall_ms
from async_task.core.codec import codec
from async_task.core.envelope import Envelope
from async_task.core.ids import new_id
from async_task.errors import MessageTooLargeError
from async_task.spi.capabilities import Delay
from async_task.spi.messages import Message

if TYPE_CHECKING:
    from async_task.config import Config
    from async_task.core.pending import PendingCall
    from async_task.core.queue_driver import QueueDriver


def message_of(call: PendingCall[Any], config: Config) -> Message:
    """Return the message that a call is.

    Raises:
        TaskArgumentsError: Its arguments do not fit the task's signature.
        EncodeError: One of them has no wire form.
        MessageTooLargeError: It is larger than `max_body`.
    """
    call.used = True
    task, options = call.definition, call.options
    task.check(call.args, call.kwargs)
    arguments = codec().encode_arguments(call.args, call.kwargs, task.parameters)
    body = Envelope(task.name, arguments, wall_ms(), options.retry_delay_ms).pack()
    if len(body) > config.max_body:
        msg = (
            f"task {task.name!r}: its message has {len(body)} bytes, over max_body,"
            f" {config.max_body}; pass a reference to the data instead, or raise the limit"
        )
        raise MessageTooLargeError(msg)
    return Message(
        call.message_id or new_id(),
        options.queue or task.options.queue or config.default_queue,
        body,
        options.priority,
        options.delay_ms,
        options.expires_in_ms,
    )


def check_supported(call: PendingCall[Any], driver: QueueDriver) -> None:
    """Raise `UnsupportedError` for what the driver, which is connected, cannot do."""
    options, capabilities = call.options, driver.driver.capabilities
    if options.priority and options.priority >= capabilities.priorities:
        what = f"has {capabilities.priorities} priority level(s), so no priority {options.priority}"
        raise driver.unsupported("priorities", what)
    if options.delay_ms and capabilities.delay is Delay.NONE:
        raise driver.unsupported("delay", "cannot delay tasks")
    if driver.results is None and call.definition.options.result_ttl_ms(driver.config):
        raise driver.unsupported("results", "keeps no results")
