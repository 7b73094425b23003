"""Medians, ratios within a round, and the tables made of them."""

from __future__ import annotations

import pytest

from bench.hotspots import read_stacks
from bench.latency import table
from bench.pgbench import Plan
from bench.runs import PerQuery, Run
from bench.summary import Summary, percentile
from bench.tables import Comparison
from bench.targets import Target

DIRECT = Target("direct", "PostgreSQL", ("127.0.0.1", 1), None, "18.4")
PGBOUNCER = Target("pgbouncer", "PgBouncer", ("127.0.0.1", 2), 2, "1.18.0", prepared=0)
PROXY = Target("proxy", "Interceptor", ("127.0.0.1", 3), 3, "", prepared=20)


def run(
    target: Target, tps: float, turn: int = 0, *, clients: int = 16, processor: float = 10.0, others: float = 0.0
) -> Run:
    spent = PerQuery(processor, processor / 2)
    return Run(
        target=target.name,
        mode="simple",
        clients=clients,
        turn=turn,
        transactions=1000,
        tps=tps,
        latency_ms=clients / tps * 1000,
        pooler=None if target.pid is None else spent,
        postgresql=PerQuery(50.0, 20.0),
        load=2.0,
        others=others,
        latencies_us=[100 * (turn + 1) + (0 if target.pid is None else 40)] * 10,
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_ratio_is_taken_within_a_round() -> None:
    # The second round met a machine half as fast: that touches no ratio.
    runs = [run(PGBOUNCER, 1000), run(PROXY, 800), run(PGBOUNCER, 500, 1), run(PROXY, 400, 1), run(PROXY, 9999, 2)]
    ratio = Summary(runs).ratio("proxy", "pgbouncer", "simple", 16, lambda one: one.tps)
    assert ratio is not None
    assert (ratio.least, ratio.middle, ratio.greatest) == (0.8, 0.8, 0.8)


def test_the_middle_is_a_median_and_none_without_runs() -> None:
    summary = Summary([run(PROXY, tps, turn) for turn, tps in enumerate((100, 1, 200))])
    assert summary.middle("proxy", "simple", 16, lambda one: one.tps) == 100
    assert summary.middle("proxy", "extended", 16, lambda one: one.tps) is None
    assert summary.spent("proxy", "extended", 16, lambda one: one.pooler) is None


@pytest.mark.parametrize(("tps", "processor", "verdicts"), [(900, 15.0, ["kept"] * 2), (700, 17.0, ["**missed**"] * 2)])
def test_budgets_are_kept_or_missed(tps: float, processor: float, verdicts: list[str]) -> None:
    runs = [run(PGBOUNCER, 1000), run(PROXY, tps, processor=processor)]
    lines = Comparison(Summary(runs), [PGBOUNCER, PROXY], ["simple"], [16]).budgets().splitlines()[2:]
    assert [cells(line)[-1] for line in lines] == verdicts


def test_a_budget_is_undecided_where_others_took_the_machine() -> None:
    runs = [run(PGBOUNCER, 1000, others=0.5), run(PROXY, 900, processor=20.0)]
    lines = Comparison(Summary(runs), [PGBOUNCER, PROXY], ["simple"], [16]).budgets().splitlines()[2:]
    assert [cells(line)[-1] for line in lines] == ["undecided"] * 2


def test_added_latency_is_held_to_that_of_pgbouncer() -> None:
    runs = [run(DIRECT, 10_000, clients=1), run(PGBOUNCER, 5000, clients=1), run(PROXY, 4000, clients=1)]
    comparison = Comparison(Summary(runs), [DIRECT, PGBOUNCER, PROXY], ["simple"], [1])
    assert cells(comparison.budgets().splitlines()[2])[2:] == ["+150 µs", "+100 µs", "≤ +110 µs", "**missed**"]
    assert cells(comparison.latency().splitlines()[2])[-2:] == ["+0.100", "+0.150"]


def test_what_was_not_measured_is_a_dash() -> None:
    comparison = Comparison(Summary([run(PROXY, 100)]), [PGBOUNCER, PROXY], ["simple", "prepared"], [16])
    assert cells(comparison.throughput().splitlines()[2]) == ["simple", "16", "–", "100", "–"]
    assert cells(comparison.throughput().splitlines()[3]) == ["prepared", "16", "–", "–", "–"]
    assert set(comparison.pictures()) == {"throughput", "processor"}


def test_percentiles_and_what_is_added_to_them() -> None:
    assert percentile(range(100), 0.99) == 99
    assert percentile([7], 0.5) == 7
    runs = [run(target, 1, turn) for turn in range(3) for target in (DIRECT, PROXY)]
    text = table(runs, [DIRECT, PROXY], ["simple"])
    assert cells(text.splitlines()[2]) == ["simple", "PostgreSQL", "200", "200", "200", "–", "–", "–"]
    assert cells(text.splitlines()[3]) == ["simple", "Interceptor", "240", "240", "240", "+40", "+40", "+40"]


def test_a_plan_gives_each_target_its_turn_to_go_first_and_skips_what_it_can_not_do() -> None:
    plan = Plan(["simple", "prepared"], [1], [DIRECT, PGBOUNCER, PROXY], seconds=1, rounds=2)
    steps = [(turn, mode, target.name) for turn, mode, _, target in plan]
    assert steps == [
        (0, "simple", "direct"),
        (0, "simple", "pgbouncer"),
        (0, "simple", "proxy"),
        (0, "prepared", "direct"),
        (0, "prepared", "proxy"),
        (1, "simple", "pgbouncer"),
        (1, "simple", "proxy"),
        (1, "simple", "direct"),
        (1, "prepared", "proxy"),
        (1, "prepared", "direct"),
    ]
    assert len(plan) == len(steps)
    crowd = Plan(["simple", "prepared"], [21], plan.targets, seconds=1, rounds=1)
    assert [target.name for _, mode, _, target in crowd if mode == "prepared"] == ["direct"]
    assert len(crowd) == 4


def test_stacks_count_for_the_function_and_for_its_callers_once() -> None:
    stacks = ["main (a.py:1);feed (b.py:2) 3", "main (a.py:1);feed (b.py:3);feed (b.py:2) 1", "main (a.py:1) 1", ""]
    profile = read_stacks(stacks)
    assert profile.own == {"feed (b.py)": 4, "main (a.py)": 1}
    assert profile.total == {"main (a.py)": 5, "feed (b.py)": 4}
    assert read_stacks(stacks, by_line=True).total == {"main (a.py:1)": 5, "feed (b.py:2)": 4, "feed (b.py:3)": 1}
    assert cells(profile.table(10.0, 1).splitlines()[2]) == ["`feed (b.py)`", "80.0%", "8.00", "8.00"]
