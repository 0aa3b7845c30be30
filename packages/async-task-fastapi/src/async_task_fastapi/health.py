"""The routes that orchestrators ask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from async_task.errors import DriverError
from fastapi import APIRouter, Response, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("async_task.fastapi")


def health_router(check: Callable[[], Awaitable[str | None]]) -> APIRouter:
    """Make the routes.

    Args:
        check: Returns what is wrong in words that anybody may read, or None; raises `DriverError`
            if the backend does not answer, which goes to the log only.
    """
    router = APIRouter(tags=["health"])

    @router.get("/live")
    async def live() -> dict[str, str]:
        """Answer as long as the event loop does."""
        return {"status": "live"}

    @router.get("/ready", responses={status.HTTP_503_SERVICE_UNAVAILABLE: {}})
    async def ready(response: Response) -> dict[str, str]:
        """Answer whether tasks can be dispatched, and are worked off if that happens here."""
        try:
            wrong = await check()
        except DriverError as exc:
            log.warning("not ready: %s", exc)
            wrong = "the backend does not answer"
        if wrong is None:
            return {"status": "ready"}
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"status": "unavailable", "reason": wrong}

    return router
