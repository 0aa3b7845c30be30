"""Whether and when a failed task runs again."""

from __future__ import annotations

import pytest
from async_task.core.retry import ReleaseTask, RetryPolicy, RetryTask
from async_task.errors import TaskTimeoutError
from hypothesis import given
from hypothesis import strategies as st

YEAR = 366 * 86_400.0
seconds = st.floats(0, YEAR)


@given(
    delay=seconds,
    backoff=st.floats(1, 1e300),
    jitter=st.booleans(),
    cap=seconds,
    failures=st.integers(1, 10_000),
)
def test_a_growing_delay_never_passes_its_cap(
    delay: float, backoff: float, jitter: bool, cap: float, failures: int
) -> None:
    policy = RetryPolicy(max_retries=3, delay=delay, backoff=backoff, jitter=jitter, max_delay=cap)
    fixed = backoff == 1
    assert 0 <= policy.delay_ms(failures) <= (delay if fixed else cap) * 1000


@given(delay=seconds, failures=st.integers(1, 10_000))
def test_a_fixed_delay_is_taken_as_given(delay: float, failures: int) -> None:
    assert RetryPolicy(max_retries=3, delay=delay).delay_ms(failures) == int(delay * 1000)


def test_each_delay_is_so_many_times_the_one_before() -> None:
    policy = RetryPolicy(max_retries=9, delay=10, backoff=2, max_delay=60)
    assert [policy.delay_ms(n) for n in (1, 2, 3, 4, 5)] == [10_000, 20_000, 40_000, 60_000, 60_000]


def test_jitter_spreads_over_the_whole_delay() -> None:
    policy = RetryPolicy(max_retries=9, delay=10, jitter=True)
    drawn = [policy.delay_ms(1) for _ in range(500)]
    assert min(drawn) < 1000
    assert max(drawn) > 9000


def test_kinds_of_errors_decide_and_fail_on_wins() -> None:
    assert RetryPolicy(max_retries=1, delay=0).permits(ValueError())
    only = RetryPolicy(max_retries=1, delay=0, retry_on=(OSError,), fail_on=(FileNotFoundError,))
    assert only.permits(TimeoutError())
    assert only.permits(TaskTimeoutError())  # a timeout is one, like any other
    assert not only.permits(FileNotFoundError())
    assert not only.permits(ValueError())


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
def test_a_signal_with_a_delay_that_cannot_be_is_refused(delay: float) -> None:
    for signal in (RetryTask, ReleaseTask):
        with pytest.raises(ValueError, match="delay must be a number of seconds"):
            signal(delay)
