"""Reaching what is declared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from async_task.core.ids import new_id
from async_task.spi.errors import EnqueueError, MessageTooLargeError
from async_task.spi.messages import Ack, Message
from async_task.testing.rig import HIGH
from async_task.testing.selection import lacks, requires

if TYPE_CHECKING:
    from async_task.testing.rig import Rig

DEFAULT_BODY_LIMIT = 1 << 20
"""What core lets a user store unless told otherwise, so what every unlimited driver must take."""

LARGE_BATCH = 1500
"""More than any batch a worker makes, and than the bind parameters of some backends allow rows."""


async def work_off(rig: Rig, count: int) -> None:
    """Store, take and settle `count` messages, in single calls as far as a driver returns them."""
    messages = [Message(new_id(), HIGH, b"body") for _ in range(count)]
    await rig.enqueue(*messages)
    taken: set[bytes] = set()
    while len(taken) < count:
        leases = await rig.look(count, wait_ms=rig.harness.patience_ms)
        assert leases, f"{len(taken)} of {count} messages were handed out, then none"
        await rig.settle(*map(Ack, leases))
        taken.update(lease.id for lease in leases)
    assert taken == {message.id for message in messages}
    await rig.assert_nothing()


class Limits:
    """What the numbers in `Capabilities` promise."""

    @requires("max_batch")
    async def test_the_largest_batch_is_taken(self, rig: Rig) -> None:
        """As many messages, leases and settlements in one call as are declared."""
        await work_off(rig, rig.driver.capabilities.max_batch or 0)

    @lacks("max_batch")
    async def test_without_a_limit_any_batch_is_taken(self, rig: Rig) -> None:
        """A driver that declares no limit splits what its backend does not take at once."""
        await work_off(rig, LARGE_BATCH)

    @requires("max_body")
    async def test_the_largest_body_is_taken(self, rig: Rig) -> None:
        """As many bytes as are declared, of any kind."""
        body = os.urandom(rig.driver.capabilities.max_body or 0)
        await rig.put(body=body)
        assert (await rig.take()).body == body

    @lacks("max_body")
    async def test_without_a_limit_core_s_own_is_taken(self, rig: Rig) -> None:
        """A driver that declares no limit takes at least what core lets through."""
        body = os.urandom(DEFAULT_BODY_LIMIT)
        await rig.put(body=body)
        assert (await rig.take()).body == body

    @requires("max_body")
    async def test_a_body_that_is_too_large_is_refused(self, rig: Rig) -> None:
        """And nothing of it is stored."""
        body = bytes((rig.driver.capabilities.max_body or 0) + 1)
        with pytest.raises((MessageTooLargeError, EnqueueError)):
            await rig.put(body=body)
        await rig.assert_nothing()

    @requires("max_body")
    async def test_a_refusal_names_what_was_not_stored(self, rig: Rig) -> None:
        """In a batch, the positions that an `EnqueueError` does not name are stored."""
        large = bytes((rig.driver.capabilities.max_body or 0) + 1)
        bodies = [b"0", large, b"2"]
        stored: set[bytes] = set()
        try:
            await rig.driver.enqueue([Message(new_id(), HIGH, body) for body in bodies])
        except EnqueueError as error:
            assert isinstance(error.failures[1], MessageTooLargeError)
            stored = {body for at, body in enumerate(bodies) if at not in error.failures}
        except MessageTooLargeError:
            pass  # all or none, and then none
        else:
            pytest.fail("a body above max_body was taken")
        assert {lease.body for lease in await rig.take_many(len(stored))} == stored
        await rig.assert_nothing()

    @requires("max_visibility_ms")
    async def test_the_longest_lease_is_taken(self, rig: Rig) -> None:
        """A lease may be asked for as long as is declared."""
        await rig.put()
        await rig.take(visibility_ms=rig.driver.capabilities.max_visibility_ms or 0)
        await rig.assert_nothing()
