"""What is counted of statements, and how the counts of several processes become one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor_queries.figures import Figures, Key, Table, percentile


def key(query: str) -> Key:
    return ("app", "alice", query)


@given(
    st.lists(st.floats(min_value=2e-6, max_value=1000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99])
)
def test_a_percentile_is_right_to_within_a_quarter(seconds: list[float], share: float) -> None:
    figures = Figures()
    for one in seconds:
        figures.take(one)
    # The smallest time within which that share ended.
    exact = sorted(seconds)[max(0, -(-int(share * 1e9 * len(seconds)) // 10**9) - 1)]
    assert percentile(figures.times, share) == pytest.approx(exact, rel=0.35)


def test_nothing_has_no_percentile() -> None:
    assert percentile(Figures().times, 0.5) == 0.0


def test_figures_of_two_processes_add_up() -> None:
    one, other = Figures(), Figures()
    one.calls, other.calls, other.blocked = 2, 3, 1
    one.take(1.0)
    other.take(2.0)
    one.add(other.as_numbers(), other.times)
    assert one.as_numbers() == [5, 0, 1, 0, 0, 3.0, 2.0]
    assert sum(one.times) == 2


def test_statements_that_never_end_take_no_more_room() -> None:
    table = Table(3)
    for number in range(10):
        table.of(key(f"select {number}")).calls += 1
        table.of(key("often")).calls += 1
    assert [one[2] for one, _ in table.items()] == ["select 8", "select 9", "often"]
    assert table.of(key("often")).calls == 10
