"""In which order a worker looks at its queues."""

from __future__ import annotations

from collections import Counter

from async_task.runtime.order import StrictOrder, WeightedOrder
from hypothesis import given
from hypothesis import strategies as st


def test_strict_order_never_changes() -> None:
    order = StrictOrder(["high", "low"])
    order.served(["low"] * 100)
    assert order.next() == ("high", "low")


def _work(order: WeightedOrder, backlog: dict[str, int], room: int, rounds: int) -> Counter[str]:
    """Lease as a driver does: fill from the first queue that has work, then from the next."""
    served: Counter[str] = Counter()
    for _ in range(rounds):
        taken: list[str] = []
        for queue in order.next():
            count = min(backlog[queue], room - len(taken))
            backlog[queue] -= count
            taken += [queue] * count
        order.served(taken)
        served.update(taken)
    return served


@given(
    weights=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    room=st.integers(1, 20),
)
def test_shares_follow_the_weights_while_all_have_work(weights: list[int], room: int) -> None:
    names = {f"q{i}": weight for i, weight in enumerate(weights)}
    rounds = 400 * len(weights)
    served = _work(WeightedOrder(names), dict.fromkeys(names, 10**9), room, rounds)
    total = sum(served.values())
    for queue, weight in names.items():
        share = weight / sum(weights)
        assert abs(served[queue] / total - share) <= 0.1 * share + room / total * 10


def test_an_idle_queue_saves_nothing_up() -> None:
    order = WeightedOrder({"busy": 1, "idle": 1})
    backlog = {"busy": 10**6, "idle": 0}
    _work(order, backlog, room=10, rounds=1000)
    backlog["idle"] = 10**6
    served = _work(order, backlog, room=10, rounds=100)
    assert abs(served["idle"] - served["busy"]) <= 20


def test_work_is_found_wherever_it_is() -> None:
    order = WeightedOrder({"a": 100, "b": 1})
    assert _work(order, {"a": 0, "b": 5}, room=10, rounds=1) == Counter(b=5)
