"""What core remembers of a message fits into what every driver keeps, and is never in the way."""

from __future__ import annotations

import msgpack
import pytest
from async_task.core.history import MAX_BYTES, Failure, History
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(max_size=400) | st.text(st.sampled_from("a€😀\ud800"), max_size=3000)
counts = st.integers(0, 2**63)
failures = st.builds(Failure, texts, texts, texts, counts, counts)
histories = st.builds(History, counts, counts, counts, st.lists(failures, max_size=15).map(tuple))


@given(histories)
def test_a_history_always_fits_and_keeps_its_counts_and_its_latest_error(history: History) -> None:
    packed = history.pack()
    assert len(packed) <= MAX_BYTES
    read = History.unpack(packed)
    assert (read.failures, read.solo_crashes, read.unknown_ms) == (
        history.failures,
        history.solo_crashes,
        history.unknown_ms,
    )
    assert bool(read.errors) == bool(history.errors)
    assert History.unpack(read.pack()) == read
    if history.errors:
        assert read.errors[-1].at_ms == history.errors[-1].at_ms


def test_nothing_known_takes_no_bytes() -> None:
    assert History().pack() == b""
    assert History.unpack(b"") == History()


def test_ten_failures_are_kept_the_last_one_with_its_traceback() -> None:
    history = History()
    for i in range(12):
        history = history.failed(failure(ValueError(f"number {i}"), attempt=i))
    read = History.unpack(history.pack())
    assert read.failures == 12
    assert [error.message for error in read.errors] == [f"number {i}" for i in range(2, 12)]
    assert [bool(error.traceback) for error in read.errors] == [False] * 9 + [True]
    assert read.errors[-1].type == "ValueError"
    assert "raise error" in read.errors[-1].traceback


def test_requeueing_forgets_counts_and_keeps_errors() -> None:
    history = History(3, 1, 5000).failed(failure(ValueError("x"))).requeued()
    assert (history.failures, history.solo_crashes, history.unknown_ms) == (0, 0, 0)
    assert [error.message for error in history.errors] == ["x"]


def test_a_failure_resets_how_long_a_task_was_unknown() -> None:
    history = History().put_off(5000).put_off(5000)
    assert history.unknown_ms == 10_000
    assert history.failed(failure(ValueError())).unknown_ms == 0
    assert history.noted(failure(ValueError())).failures == 0


@given(st.binary())
def test_bytes_of_any_kind_are_read_as_something(state: bytes) -> None:
    assert isinstance(History.unpack(state), History)


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    "fields",
    [
        [1, float("inf"), 0, 0, []],
        [1, "3", 0, 0, []],
        [1, 3, 0],
        [1, 0, 0, 0, 5],
        [1, 0, 0, 0, [5]],
        [1, 0, 0, 0, [["t", "m", "tb", 0]]],
        [1, 0, 0, 0, [["t", nested(300), "tb", 0, 0]]],
        {"failures": 3},
    ],
)
def test_a_mangled_state_reads_as_nothing_known(fields: object) -> None:
    assert History.unpack(msgpack.packb(fields)) == History()


def test_an_exception_without_a_text_is_described_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    described = failure(MuteError())
    assert described.type.endswith("MuteError")
    assert described.message == "(its text cannot be had: RuntimeError)"


def failure(error: Exception, attempt: int = 0) -> Failure:
    try:
        raise error  # noqa: TRY301 - a frame of its own
    except Exception as exc:
        return Failure.of(exc, attempt=attempt, at_ms=1)
