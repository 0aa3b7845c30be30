"""async-task in FastAPI applications."""

from __future__ import annotations

from async_task_fastapi.integration import AsyncTaskIntegration as AsyncTaskIntegration

__all__ = ["AsyncTaskIntegration"]
