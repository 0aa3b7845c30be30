"""Ids are time-ordered, and no two processes draw the same."""

import os
import subprocess
import sys
import uuid

import pytest
from async_task.core.ids import id_bytes, id_text, new_id


def test_ids_are_uuids_of_version_7_and_differ() -> None:
    ids = [uuid.UUID(bytes=new_id()) for _ in range(1000)]
    assert {(i.version, i.variant) for i in ids} == {(7, uuid.RFC_4122)}
    assert len({i.bytes[6:] for i in ids}) == 1000
    assert [i.bytes[:6] for i in ids] == sorted(i.bytes[:6] for i in ids)


def test_text_and_back() -> None:
    raw = new_id()
    assert id_text(raw) == str(uuid.UUID(bytes=raw))
    assert id_bytes(id_text(raw)) == raw


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_draws_others() -> None:
    program = """
import os
from async_task.core.ids import new_id
new_id()
reads, writes = os.pipe()
if os.fork() == 0:
    os.write(writes, b"".join(new_id()[6:] for _ in range(100)))
    os._exit(0)
of_child = os.read(reads, 1000)
os.wait()
print(len({new_id()[6:] for _ in range(100)} | {of_child[i:i+10] for i in range(0, 1000, 10)}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "200"
