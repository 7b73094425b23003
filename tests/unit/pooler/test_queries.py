"""What is counted for each statement, and how it is put together."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from interceptor.hooks.observing import Completion, Failure
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.statement import Execution, Session, SessionClass, Statement
from interceptor.hooks.transaction import Transaction
from interceptor.sql.statements import analyse_facts
from pooler.console.statements import percentile, show_queries
from pooler.node import Row
from pooler.queries import BUCKETS, MAX_TEXT, OTHERS, QueryStatistics, StatementCount, bucket_of, upper_bound

CLASS = SessionClass("query_statistics", "app", "alice", "known", frozenset(), {}, None)


def statement(sql: str) -> Statement:
    return Statement(sql.encode(), analyse_facts(sql))


def execution(sql: str) -> Execution:
    session = Session(id=1, database="app", user="alice", transaction=Transaction())
    return Execution(statement(sql), session, NO_PARAMETERS)


def finish(
    count: StatementCount, seconds: float = 0.001, rows: int = 1, by: Literal["backend", "plugin"] = "backend"
) -> None:
    count.finished(execution("select 1"), Completion("SELECT 1", rows, 10, seconds, seconds, by))


def rows_of(statistics: QueryStatistics) -> list[Row]:
    return [
        [
            *(one.database, one.user, one.text, one.calls, one.errors, one.blocked, one.answered, one.rows),
            *(round(one.seconds * 1e6), round(one.longest * 1e6)),
            [*one.buckets],
        ]
        for one in statistics
    ]


@given(st.integers(0, 1 << 40))
def test_a_time_is_in_a_bucket_no_wider_than_a_quarter(microseconds: int) -> None:
    bucket = bucket_of(microseconds)
    assert 0 <= bucket < BUCKETS
    if bucket < BUCKETS - 1:
        assert microseconds <= upper_bound(bucket) <= microseconds * 1.25
    if bucket:
        assert upper_bound(bucket - 1) < microseconds


def test_texts_that_differ_in_constants_are_one() -> None:
    statistics = QueryStatistics(10)
    one = statistics.observe(statement("select * from t where id = 1"), CLASS)
    two = statistics.observe(statement("SELECT *  FROM t /* hi */ WHERE id = 2"), CLASS)
    other = statistics.observe(statement("select * from u where id = 1"), CLASS)
    assert one is two
    assert one is not other
    assert "1" not in one.text.replace("$1", "")


def test_long_and_unreadable_texts_are_bounded() -> None:
    statistics = QueryStatistics(10)
    long = statistics.observe(statement("select " + ", ".join(f"a{number}" for number in range(1000))), CLASS)
    assert len(long.text) == MAX_TEXT
    assert statistics.observe(statement("selec secret 'x"), CLASS).text == "(unreadable)"


def test_every_end_counts_as_what_it_is() -> None:
    statistics = QueryStatistics(10)
    count = statistics.observe(statement("select 1"), CLASS)
    finish(count, 0.001, rows=3)
    finish(count, 0.002, by="plugin")
    count.failed(execution("select 1"), Failure("57014", "", 0.003, "backend"))
    count.failed(execution("select 1"), Failure("57014", "", 0.003, "proxy"))
    count.failed(execution("select 1"), Failure("42501", "", 0.0, "plugin"))
    count.failed(execution("select 1"), Failure("0A000", "", 0.003, "backend", retried=True))
    ((*names, calls, errors, blocked, hits, rows, total, average, p50, p95, p99, longest),) = show_queries(
        [rows_of(statistics)]
    )
    assert names[:2] == ["app", "alice"]
    assert (calls, errors, blocked, hits, rows) == (5, 2, 1, 1, 4)
    assert (total, average, longest) == (9000, 2250, 3000)
    assert p50 == upper_bound(bucket_of(2000))
    assert p95 == p99 == 3000


def test_processes_are_put_together() -> None:
    first, second = QueryStatistics(10), QueryStatistics(10)
    for statistics, seconds in ((first, 0.001), (second, 0.004)):
        finish(statistics.observe(statement("select 1"), CLASS), seconds)
    finish(second.observe(statement("select a from b"), CLASS), 1.0)
    slow, quick = show_queries([rows_of(first), rows_of(second)])
    assert slow[2] == "select a from b"
    assert quick[3] == 2
    assert quick[8] == 5000
    assert quick[-1] == 4000


def test_what_is_forgotten_is_summed_up() -> None:
    statistics = QueryStatistics(10)
    counts = [statistics.observe(statement(f"select a{number}"), CLASS) for number in range(10)]
    for count in counts:
        finish(count)
    finish(counts[0])
    late = statistics.observe(statement("select late"), CLASS)
    assert len(statistics) == 10
    assert not counts[1].is_kept
    assert counts[0].is_kept
    finish(late)
    rows = {row[2]: row[3] for row in rows_of(statistics)}
    assert rows[OTHERS] == 1
    assert sum(int(str(calls)) for calls in rows.values()) == 12
    finish(counts[1])
    rows = {row[2]: row[3] for row in rows_of(statistics)}
    assert rows["select a1"] == 1
    assert sum(int(str(calls)) for calls in rows.values()) == 13


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_percentile_is_never_too_short(times: list[int], share: float) -> None:
    counts = [0] * BUCKETS
    for time in times:
        counts[bucket_of(time)] += 1
    exact = sorted(times)[max(0, -(-int(share * len(times) * 1000) // 1000) - 1)]
    assert percentile(counts, share) >= exact


def test_figures_begin_anew() -> None:
    statistics = QueryStatistics(10)
    count = statistics.observe(statement("select 1"), CLASS)
    finish(count)
    statistics.forget()
    assert rows_of(statistics) == []
    finish(count)
    assert [row[3] for row in rows_of(statistics)] == [1]


def test_nothing_has_no_percentile() -> None:
    assert percentile([0] * BUCKETS, 0.5) == 0
