"""The one place where tests wait: for a condition, looked at again and again, within a bound."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE_S: Final = 120.0
"""How long a condition may take on a busy machine before it counts as never."""


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, *, within_s: float = PATIENCE_S
) -> None:
    """Return when `condition` holds.

    Raises:
        AssertionError: It did not for `within_s`; says `what` was waited for.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + within_s
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        if loop.time() >= ends:
            raise AssertionError(f"not within {within_s} s: {what}")
        await asyncio.sleep(0.02)
