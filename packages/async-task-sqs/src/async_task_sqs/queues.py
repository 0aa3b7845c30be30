"""Names and addresses of queues."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from async_task.spi.errors import ConfigurationError

from async_task_sqs.failures import NoQueueError
from async_task_sqs.limits import FIFO, MESSAGE_BYTES, NAME_LENGTH, RETENTION_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_task_sqs.client import SqsClient
    from async_task_sqs.settings import SqsSettings

_DEAD: Final = "-dead"
_DIGEST: Final = 16


class Queues:
    """Finds queues by our names, and makes them where that is allowed.

    A queue `emails` of the namespace `shop` is SQS's `shop-emails`, its dead letters are in
    `shop-emails-dead`. A name that would be too long ends in a digest of all of it instead. With
    `fifo` it is `shop-emails.fifo`; dead letters are in a standard queue all the same.

    Attributes:
        fifo: Whether these are FIFO queues.
    """

    def __init__(self, namespace: str, settings: SqsSettings) -> None:
        self._base = ""
        prefix = ""
        if settings.queue_url_prefix is not None:
            self._base, prefix = _parts(settings.queue_url_prefix)
        self._prefix = prefix + (f"{namespace}-" if namespace else "")
        self.fifo = settings.fifo
        self._create = settings.create_queues
        self._urls: dict[str, str] = {}
        self._missing: set[str] = set()

    def name(self, queue: str, *, dead: bool = False) -> str:
        """Return what SQS calls a queue.

        Raises:
            ConfigurationError: The name is that of somebody's dead letters.
        """
        if queue.endswith(_DEAD):
            raise ConfigurationError(
                f"a queue of SQS cannot be called {queue!r}: what ends in {_DEAD!r} holds the dead "
                "letters of another; choose another name"
            )
        name = f"{self._prefix}{queue}{_DEAD if dead else ''}"
        suffix = FIFO if self.fifo and not dead else ""
        length = NAME_LENGTH - len(suffix)
        if len(name) > length:
            digest = sha256(name.encode()).hexdigest()[:_DIGEST]
            name = f"{name[: length - _DIGEST - 1]}-{digest}"
        return name + suffix

    async def url(self, client: SqsClient, queue: str, *, dead: bool = False) -> str:
        """Return where a queue is, after making it if need be.

        Raises:
            NoQueueError: It does not exist, and `create_queues` is off.
        """
        name = self.name(queue, dead=dead)
        url = await self.find(client, queue, dead=dead)
        if url is None and not self._create:
            raise NoQueueError(
                f"SQS has no queue {name!r}; make it, or let us with sqs_create_queues=True"
            )
        return url or await self._make(client, name)

    async def find(self, client: SqsClient, queue: str, *, dead: bool = False) -> str | None:
        """Return where a queue is, or `None` if it does not exist."""
        name = self.name(queue, dead=dead)
        if (url := self._urls.get(name)) is not None:
            return url
        if self._base and name not in self._missing:
            self._urls[name] = self._base + name
        else:
            try:
                answer = await client.call("get_queue_url", f"queue {name!r}", QueueName=name)
            except NoQueueError:
                return None
            self._urls[name] = answer["QueueUrl"]
        return self._urls[name]

    async def provision(self, client: SqsClient, queues: Sequence[str]) -> None:
        """Make sure that queues exist, each with its dead letters."""
        names = [(queue, dead) for queue in queues for dead in (False, True)]
        if self._base:  # addresses that were composed say nothing of existence
            self._missing.update(self.name(queue, dead=dead) for queue, dead in names)
            self._urls.clear()
        await asyncio.gather(*(self.url(client, queue, dead=dead) for queue, dead in names))

    def gone(self, url: str) -> None:
        """Look for a queue anew when it is needed next; it was not where it should be."""
        for name in [name for name, known in self._urls.items() if known == url]:
            del self._urls[name]
            self._missing.add(name)

    async def _make(self, client: SqsClient, name: str) -> str:
        attributes = {
            "MessageRetentionPeriod": str(RETENTION_S),
            "MaximumMessageSize": str(MESSAGE_BYTES),
        }
        if name.endswith(FIFO):  # where each message is a group, this is as fast as can be
            attributes |= {
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
            }
        answer = await client.call(
            "create_queue", f"making queue {name!r}", QueueName=name, Attributes=attributes
        )
        self._urls[name] = answer["QueueUrl"]
        return self._urls[name]


def _parts(url: str) -> tuple[str, str]:
    """Split a prefix of URLs: what comes before the queue's name, and what begins the name."""
    path = urlsplit(url).path
    if path.strip("/").isdigit() and not path.endswith("/"):
        return f"{url}/", ""  # the account's number alone
    head, _, name = url.rpartition("/")
    return f"{head}/", name
