"""What SQS and the way to it do now and then, done often: a proxy that speaks SQS's protocol."""

from __future__ import annotations

import json
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiohttp import ClientSession, web
from async_task.core.ids import id_text

from faults.history import Event, Kind, now_ns

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Iterable

    from faults.history import History

SEND: Final = "SendMessageBatch"
RECEIVE: Final = "ReceiveMessage"
BATCHES: Final = (SEND, "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
PASSED_ON: Final = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")


class SqsProxy:
    """Stands between SQS's clients and a server.

    A call is throttled, or its reply is lost; a batch is carried out in part; a message is handed
    out a second time, to whoever asks next, as SQS does when one of its servers missed that it was
    taken. The history is told of each task that may run once more for that, before it does.

    Args:
        port: The server's.
        odds: How likely each fault is.
        chance: The dice.
        history: What is told.

    Attributes:
        odds: As given; 0 makes it harmless.
        done: How often it did what.
        port: Where clients connect.
    """

    def __init__(self, port: int, odds: float, chance: random.Random, history: History) -> None:
        self.odds = odds
        self.done: Counter[str] = Counter()
        self.port = 0
        self._server = f"http://127.0.0.1:{port}"
        self._chance = chance
        self._history = history
        self._again: dict[str, deque[Any]] = {}
        self._tasks: dict[str, str] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[SqsProxy]:
        """Stand there for a while."""
        async with ClientSession() as self._session:
            app = web.Application(client_max_size=1 << 24)
            app.router.add_post("/", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.loads(await request.read())
        faulty = operation in (*BATCHES, RECEIVE)
        if faulty and self._happens("throttled"):
            self._failed(operation, body.get("Entries", ()))
            error = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}
            return web.json_response(error, status=400)
        undone: list[dict[str, Any]] = []
        if operation in BATCHES and self._happens("carried out in part"):
            undone = [entry for entry in body["Entries"] if self._chance.random() < 0.5]
            body["Entries"] = [entry for entry in body["Entries"] if entry not in undone]
            self._failed(operation, undone)
        lost = faulty and self._happens("lost")
        if lost and operation == SEND:  # whoever sends again makes a second copy
            self._doubled(_id(entry["MessageBody"]) for entry in body["Entries"])
        if lost:
            self._failed(operation, body.get("Entries", ()))
        status, reply = await self._pass_on(request, body)
        if lost and request.transport is not None:  # else the client has gone away itself
            request.transport.abort()
        if operation == RECEIVE and status == 200 and not lost:
            self._hand_out_again(body, reply)
            self._tasks |= {each["ReceiptHandle"]: _id(each["Body"]) for each in reply["Messages"]}
        if undone:
            reply["Failed"] = [*reply.get("Failed", ()), *map(_failure, undone)]
        return web.json_response(reply, status=status)

    def _failed(self, operation: str, entries: Iterable[Any]) -> None:
        """Tell of tasks whose lease is not ended, or not renewed, as far as the worker knows."""
        if operation != SEND:
            self._doubled(self._tasks[entry["ReceiptHandle"]] for entry in entries)

    def _happens(self, what: str) -> bool:
        happens = self._chance.random() < self.odds
        self.done[what] += happens
        return happens

    def _hand_out_again(self, body: Any, reply: Any) -> None:
        """Add to a reply what an earlier one had, and choose what a later one shall have."""
        messages = reply.setdefault("Messages", [])
        again = self._again.setdefault(body["QueueUrl"], deque())
        chosen = [message for message in messages if self._happens("handed out again")]
        while again and len(messages) < body["MaxNumberOfMessages"]:
            messages.append(again.popleft())
            self._doubled([_id(messages[-1]["Body"])])
        again += chosen

    def _doubled(self, task_ids: Iterable[str]) -> None:
        self._history.append(*(Event(Kind.DOUBLED, now_ns(), 0, task_id) for task_id in task_ids))

    async def _pass_on(self, request: web.Request, body: Any) -> tuple[int, Any]:
        if body.get("Entries") == []:
            return 200, {}
        headers = {name: request.headers[name] for name in PASSED_ON}
        data = json.dumps(body).encode()
        async with self._session.post(self._server, data=data, headers=headers) as response:
            return response.status, await response.json(content_type=None)


def _failure(entry: Any) -> dict[str, Any]:
    return {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}


def _id(text: str) -> str:
    return id_text(UUID(json.loads(text)["id"]).bytes)
