"""Leases and settlements as JSON arrays of columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from async_task.spi.messages import Ack, Reject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from async_task.spi.messages import Lease, Settlement


def order(settlements: Sequence[Settlement]) -> list[int]:
    """Return positions in the order of ids, each lease once; what is left out is stale."""
    first: dict[tuple[bytes, bytes], int] = {}
    for i, settlement in enumerate(settlements):
        lease = settlement.lease
        first.setdefault((lease.id, lease.lease_id), i)
    return [first[key] for key in sorted(first)]


def is_plain(settlement: Settlement) -> bool:
    """Tell whether it is done without a result, as most are."""
    return type(settlement) is Ack and settlement.result is None


def keys(leases: Iterable[Lease]) -> list[str]:
    """Return the items of `Queries.ack` and `Queries.extend`."""
    return [f'["{lease.id.hex()}","{lease.lease_id.hex()}"]' for lease in leases]


def item(settlement: Settlement) -> str:
    """Return an item of `Queries.settle`."""
    lease = settlement.lease
    columns: list[Any] = [lease.id.hex(), lease.lease_id.hex()]
    if isinstance(settlement, Ack | Reject):
        if isinstance(settlement, Ack):
            columns += ("done", None, None, None)
        else:
            columns += ("dead", None, settlement.state.hex(), settlement.reason)
        if settlement.result is not None:
            columns += (settlement.result.body.hex(), settlement.result.ttl_ms * 1000)
    else:
        columns += ("back", settlement.delay_ms * 1000, settlement.state.hex())
    return json.dumps(columns)
