"""Messages as SQS sees them."""

from __future__ import annotations

import json
import uuid

import pytest
from async_task_sqs.limits import DELAY_S
from async_task_sqs.wire import Copy, read, size

ID = bytes(range(16))
STRANGE = (
    '"new":1',
    '"crashes":"1"',
    '"deliveries":1e9',
    '"reason":1',
    '"wait_ms":-1',
    f'"wait_ms":1{"0" * 400}',
)
BODY = bytes(range(256))


def received(copy: Copy, delay_ms: int = 0) -> Copy:
    entry = copy.entry(delay_ms, DELAY_S)
    return read(
        {
            "MessageId": str(uuid.uuid4()),
            "Body": entry["MessageBody"],
            "MessageAttributes": entry.get("MessageAttributes", {}),
        }
    )


@pytest.mark.parametrize(
    "copy",
    [
        Copy(ID, b""),
        Copy(ID, BODY, BODY),
        Copy(ID, BODY, deliveries=3, crashes=1, expires_at_ms=0, reason="failed"),
        Copy(ID, BODY, expires_in_ms=0),
    ],
)
def test_what_is_read_is_what_was_sent(copy: Copy) -> None:
    assert received(copy) == copy


def test_bytes_cost_what_they_are() -> None:
    entry = Copy(ID, bytes(100_000)).entry(0, DELAY_S)
    assert size(entry) < 100_100


def test_a_reader_of_the_queue_sees_which_message_it_is() -> None:
    assert json.loads(Copy(ID, BODY).text()) == {"id": ID.hex()}


@pytest.mark.parametrize(
    ("delay_ms", "delay_s", "left_ms"),
    [
        (0, None, 0),
        (1, 1, 0),
        (1000, 1, 0),
        (1001, 2, 0),
        (900_000, 900, 0),
        (900_001, 900, 1),
        (3_600_000, 900, 2_700_000),
    ],
)
def test_a_delay_is_never_shortened(delay_ms: int, delay_s: int | None, left_ms: int) -> None:
    copy = Copy(ID, BODY)
    assert copy.entry(delay_ms, DELAY_S).get("DelaySeconds") == delay_s
    assert received(copy, delay_ms).wait_ms == left_ms


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "{}",
        "[]",
        "7",
        '{"id":"x"}',
        '{"id":7}',
        *(f'{{"id":"{ID.hex()}",{field}}}' for field in STRANGE),
    ],
)
def test_a_stranger_s_message_is_a_body(text: str) -> None:
    name = str(uuid.uuid4())
    copy = read({"MessageId": name, "Body": text})
    assert copy == Copy(uuid.UUID(name).bytes, text.encode())
