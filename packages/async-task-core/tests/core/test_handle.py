"""A handle is the task's id, wherever it travels."""

from __future__ import annotations

import copy
import json
import pickle
import uuid

import msgpack
import pytest
from async_task.core.codec import codec
from async_task.core.handle import TaskHandle
from async_task.core.ids import id_bytes, id_text, new_id

TEXT = "01890a5d-ac96-774b-bcce-b302099a8057"


def test_a_handle_is_its_id() -> None:
    handle = TaskHandle[int](TEXT)
    assert handle == TEXT
    assert {TEXT: 1}[handle] == 1
    assert f"{handle}" == TEXT
    assert isinstance(handle, str)


def test_a_handle_travels_as_its_id() -> None:
    handle = TaskHandle[int](TEXT, driver="memory", task="t", result_ttl_ms=5)
    for arrived in (
        pickle.loads(pickle.dumps(handle)),
        json.loads(json.dumps(handle)),
        msgpack.unpackb(msgpack.packb(handle)),
        codec().decode(codec().encode(handle)),
        copy.deepcopy(handle),
    ):
        assert type(arrived) is str
        assert arrived == TEXT


def test_ids_are_ordered_by_time_and_are_uuids() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [raw[:6] for raw in ids] == sorted(raw[:6] for raw in ids)
    parsed = uuid.UUID(bytes=ids[0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert id_text(ids[0]) == str(parsed)
    assert id_bytes(id_text(ids[0])) == ids[0]


def test_what_is_no_id_is_refused() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        id_bytes("no-id")
