"""`async-task dead`."""

from __future__ import annotations

import asyncio
import base64
import signal
from typing import TYPE_CHECKING, Any

import pytest
from async_task.config import Config
from async_task.core.codec import codec
from async_task.core.driver_factory import DriverFactory
from async_task.core.envelope import Envelope
from async_task.core.history import Failure, History
from async_task.core.ids import id_text, new_id
from async_task.spi.driver import ConsumerOptions
from async_task.spi.messages import Message, Reject

if TYPE_CHECKING:
    from cli.conftest import Cli, Shell

FAILURE = Failure(
    "shop.Oops", "no\x1b[31m", 'Traceback:\n  File "shop.py"\nshop.Oops: no\x1b[31m\n', 3, 10_000
)
SPEC = [
    ("default", "shop:pay", "failed"),
    ("default", "shop:mail", "expired"),
    ("low", "shop:pay", "poison"),
    ("low", None, "bad_payload"),
]
"""Queue, task (None: bytes that are no envelope) and reason of the dead letters there are."""


async def _kill(path: str) -> list[str]:
    ids = sorted(new_id() for _ in SPEC)
    driver = DriverFactory.create_from_config(Config(driver="sqlite", sqlite_path=path))
    arguments = codec().encode_arguments((1, b"\x00"), {"note": "a\nb", "limit": float("inf")})
    async with driver, driver.driver.consumer(ConsumerOptions(queues=("q",), max_leases=9)) as c:
        for message_id, (queue, task, reason) in zip(ids, SPEC, strict=True):
            body = b"\xc1junk" if task is None else Envelope(task, arguments, 5_000).pack()
            await driver.driver.enqueue([Message(message_id, queue, body)])
            (lease,) = await c.lease([queue], 1, wait_ms=0, lease_id=new_id(), visibility_ms=30_000)
            state = History().failed(FAILURE).pack()
            await c.settle([Reject(lease, reason, state)])
    return [id_text(message_id) for message_id in ids]


@pytest.fixture
def ids(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the dead letters of `SPEC`, in a file that commands find."""
    monkeypatch.setenv("ASYNC_TASK_DRIVER", "sqlite")
    return asyncio.run(_kill("async-task.db"))


def listed(cli: Cli, *args: str) -> list[str]:
    return [task["id"] for task in cli("dead", "list", "--json", *args).json]


def test_listing(cli: Cli, ids: list[str]) -> None:
    found = cli("dead", "list", "--json").json
    assert [task["id"] for task in found] == ids
    assert [(t["queue"], t["task"], t["reason"]) for t in found] == SPEC
    assert found[0] | {"id": "", "died_at": ""} == {
        "id": "",
        "queue": "default",
        "task": "shop:pay",
        "reason": "failed",
        "priority": 0,
        "failures": 1,
        "deliveries": 1,
        "crashes": 0,
        "dispatched_at": "1970-01-01T00:00:05+00:00",
        "died_at": "",
        "error": "shop.Oops: no\x1b[31m",
    }
    head, first, *_ = cli("dead", "list").out.splitlines()
    assert head.split() == ["ID", "QUEUE", "TASK", "REASON", "FAILURES", "DIED", "ERROR"]
    assert first.startswith(f"{ids[0]}  default  shop:pay   failed")
    assert first.endswith(r"shop.Oops: no\x1b[31m")


def test_filters(cli: Cli, ids: list[str]) -> None:
    assert listed(cli, "--queue", "low") == ids[2:]
    assert listed(cli, "--task", "shop:pay") == [ids[0], ids[2]]
    assert listed(cli, "--reason", "expired") == [ids[1]]
    assert listed(cli, "--limit", "3") == ids[:3]
    assert listed(cli, "--queue", "other") == []
    assert cli("dead", "list", "--queue", "other").out == "there are no such dead letters\n"


def test_showing_one(cli: Cli, ids: list[str]) -> None:
    document = cli("dead", "show", ids[0], "--json").json
    assert document["arguments"] == {
        "args": [1, "b'\\x00'"],
        "kwargs": {"note": "a\nb", "limit": "inf"},
    }
    assert document["arguments_error"] is None
    assert document["errors"] == [
        {
            "type": "shop.Oops",
            "message": FAILURE.message,
            "traceback": FAILURE.traceback,
            "attempt": 3,
            "at": "1970-01-01T00:00:10+00:00",
        }
    ]
    text = cli("dead", "show", ids[0], "--queue", "default").out
    assert "\x1b" not in text
    for line in (
        "task        shop:pay",
        "dispatched  1970-01-01 00:00:05Z",
        "  b'\\x00'",
        "  note = 'a\\nb'",
        "attempt 3, 1970-01-01 00:00:10Z",
        '    File "shop.py"',
    ):
        assert line in text.splitlines()


def test_what_cannot_be_decoded_is_shown_as_bytes(cli: Cli, ids: list[str]) -> None:
    document = cli("dead", "show", ids[3], "--json").json
    assert (document["task"], document["arguments"]) == (None, None)
    assert "DecodeError" in document["arguments_error"]
    assert base64.b64decode(document["body_base64"]) == b"\xc1junk"
    assert "body b'\\xc1junk'" in cli("dead", "show", ids[3]).out


def test_one_that_is_not_there(cli: Cli, ids: list[str]) -> None:
    unknown = id_text(new_id())
    for args in (["show", unknown], ["requeue", ids[0], unknown], ["purge", "--yes", unknown]):
        result = cli("dead", *args)
        assert (result.code, result.out) == (1, "")
        assert unknown in result.err
        assert ids[0] not in result.err
    assert cli("dead", "show", ids[0], "--queue", "low").code == 1
    assert listed(cli) == ids


MOVES: list[tuple[list[str], list[int]]] = [
    (["--all"], [0, 1, 2, 3]),
    (["--queue", "low"], [2, 3]),
    (["--queue", "low", "--queue", "default", "--reason", "poison"], [2]),
    (["--task", "shop:pay"], [0, 2]),
    (["--limit", "3"], [0, 1, 2]),
    (["--task", "shop:pay", "--limit", "1"], [0]),
]


@pytest.mark.parametrize(("args", "chosen"), MOVES)
@pytest.mark.parametrize("move", ["requeue", "purge"])
def test_moving_some(
    cli: Cli, ids: list[str], move: str, args: list[str], chosen: list[int]
) -> None:
    yes = ["--yes"] if move == "purge" else []
    result: Any = cli("dead", move, "--json", *yes, *args)
    assert result.json == {f"{move}d": len(chosen)}
    assert listed(cli) == [ids[i] for i in range(4) if i not in chosen]
    ready = sum(queue["ready"] for queue in cli("queues", "--json").json)
    assert ready == (len(chosen) if move == "requeue" else 0)


def test_moving_by_id(cli: Cli, ids: list[str]) -> None:
    assert cli("dead", "requeue", ids[2], ids[0].upper()).out == "requeued 2\n"
    assert cli("dead", "purge", "--yes", ids[1]).out == "purged 1\n"
    assert listed(cli) == [ids[3]]


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 4), ("", 1, 4)])
def test_purging_asks(cli: Cli, ids: list[str], answer: str, code: int, left: int) -> None:
    result = cli("dead", "purge", "--all", "--json", text=answer)
    assert result.code == code
    assert "Delete all matching dead letters for good?" in result.err
    assert "Traceback" not in result.err
    assert len(listed(cli)) == left
    assert result.out == ('{"purged": 4}\n' if not code else "")
    del ids


def test_ctrl_c_at_the_question_ends_quietly(shell: Shell) -> None:
    process = shell.start("-m", "async_task", "dead", "purge", "--all", "--driver", "sqlite")
    assert process.stderr is not None
    assert process.stderr.read(7) == "Delete "
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Error" not in err
