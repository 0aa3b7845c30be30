"""Talking to SQS from one event loop: calls that end in time, and errors that say enough."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from async_task.spi.errors import (
    ConfigurationError,
    ConnectionLostError,
    DriverError,
    OutcomeUnknownError,
)
from botocore import exceptions as boto
from botocore.loaders import create_loader

from async_task_sqs.failures import NoQueueError, answered, broken, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_task_sqs.settings import SqsSettings

CONNECTIONS: Final = 50
"""Most connections of one client; the library's own 10 are filled by one batch of a hundred."""

_LARGE: Final = 1 << 20


class SqsClient:
    """Calls SQS; made for one loop, opened and closed in it, and safe for concurrent calls.

    The library's own re-sending is off: a `SendMessage` that it repeats is a second message.

    Args:
        settings: Where SQS is and who asks.
        op_timeout_s: Bound of one call.
        gone: Told of the URLs at which there is no queue any more.
    """

    def __init__(
        self, settings: SqsSettings, op_timeout_s: float, gone: Callable[[str], None]
    ) -> None:
        self._gone = gone
        self._settings = settings
        self._op_timeout_s = op_timeout_s
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Prepare; connections are made when they are needed."""
        session: Any = AioSession()
        session.register_component("data_loader", _loader())
        config = AioConfig(
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
            connect_timeout=self._op_timeout_s,
            read_timeout=self._op_timeout_s + 30,  # `call` ends it sooner, long polls included
            parameter_validation=False,  # 10 % of the time of a call, for what we write ourselves
            user_agent_extra="async-task",
        )
        try:
            self._client = await self._stack.enter_async_context(
                session.create_client(
                    "sqs",
                    region_name=self._settings.region,
                    endpoint_url=self._settings.endpoint_url,
                    aws_access_key_id=self._settings.aws_access_key_id,
                    aws_secret_access_key=self._settings.aws_secret_access_key,
                    aws_session_token=self._settings.aws_session_token,
                    config=config,
                )
            )
        except (boto.BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"no SQS client can be made: {error}") from error
        self._client.meta.events.register("before-send.sqs", _stream)

    async def close(self) -> None:
        """Drop all connections; again is harmless."""
        self._client = None
        await self._stack.aclose()

    async def call(
        self, operation: str, what: str, *, wait_s: float = 0, **arguments: object
    ) -> Any:
        """Make one call and return its answer.

        Args:
            operation: Name of the client's method.
            what: What it is for, in error messages.
            wait_s: How long SQS is asked to wait, in addition to the bound.
            **arguments: The method's own.

        Raises:
            OutcomeUnknownError: It was sent, and no answer came.
            DriverError: It was not carried out.
        """
        if self._client is None:
            raise ConnectionLostError("the SQS driver is closed; open it first")
        method = getattr(self._client, operation)
        task = asyncio.ensure_future(method(**arguments))
        task.add_done_callback(_note)
        try:
            await asyncio.wait([task], timeout=self._op_timeout_s + wait_s)
        finally:
            if not task.done():
                task.cancel()
        if task.cancelled() or not task.done():
            raise OutcomeUnknownError(
                f"no answer of SQS to {what} within {self._op_timeout_s + wait_s:g} s"
            )
        try:
            return task.result()
        except boto.ClientError as error:
            failure = answered(error, what)
            if isinstance(failure, NoQueueError) and "QueueUrl" in arguments:
                self._gone(str(arguments["QueueUrl"]))
                failure.retryable = True  # the next call looks for it, or makes it
            raise failure from error
        except (boto.BotoCoreError, boto.HTTPClientError, OSError) as error:
            raise broken(error, what) from error

    async def batch(
        self, operation: str, what: str, url: str, entries: Sequence[dict[str, Any]]
    ) -> list[DriverError | None]:
        """Make one call for up to ten entries; never raises a `DriverError`.

        Returns:
            Aligned with `entries`: `None` for done, else what became of it.
        """
        numbered = [{"Id": str(at), **entry} for at, entry in enumerate(entries)]
        try:
            answer = await self.call(operation, what, QueueUrl=url, Entries=numbered)
        except DriverError as error:
            return [error] * len(entries)
        outcomes: list[DriverError | None] = [None] * len(entries)
        for failed in answer.get("Failed", ()):
            outcomes[int(failed["Id"])] = refused(failed, what)
        return outcomes


@cache
def _loader() -> Any:
    """Return the reader of the library's service descriptions, which takes 0.2 s to read them."""
    return create_loader()


def _stream(request: Any, **_: object) -> None:
    """Send what is large as a stream: of more than 1 MiB of bytes aiohttp warns, whoever sends."""
    if isinstance(request.body, bytes) and len(request.body) > _LARGE:
        request.body = BytesIO(request.body)


def _note(task: asyncio.Future[Any]) -> None:
    """See to it that nobody complains of an exception that nobody waits for."""
    if not task.cancelled():
        task.exception()
