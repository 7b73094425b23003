"""What plugins cost that have no interest in what is run: ``python -m bench plugins``.

All bundled plugins are on, with rules about other tables than pgbench's, against the same proxy without plugins, in
turn. Then what it takes to plan a statement and to remember it, what an idle client takes, and how long texts that are
made to be slow keep others waiting.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from bench.idle import Holding, hold
from bench.machine import Machine, describe_machine
from bench.pgbench import busy, progress_bar
from bench.planning import Bytes, Cost, measure_bytes, measure_costs, snapshot_of, table_of_bytes, table_of_costs
from bench.report import command_line, markdown_table, save_json, show, write_section
from bench.rulesets import rules_of
from bench.runs import Run, RunFailed, Runner, fill
from bench.stalls import Stall, measure_stalls, table_of_stalls
from bench.summary import Summary
from bench.targets import Backend, Target, proxy, start_postgresql

__all__ = ["main"]

_CLIENTS = 16
_IDLE_BUDGET = 3 * 1024  # bytes
_SEEN, _NEW = 0.95, 0.85
_SCRIPT = "\\set aid random({0}, {1})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A mode of pgbench, and whether its texts are known: in the simple protocol, those with few values are."""

    name: str
    mode: str
    script: str
    budget: float


CASES = (
    Case("simple, seen texts", "simple", _SCRIPT.format(1, 100), _SEEN),
    Case("extended", "extended", _SCRIPT.format(1, 100_000), _SEEN),
    Case("prepared", "prepared", _SCRIPT.format(1, 100_000), _SEEN),
    Case("simple, each text new", "simple", _SCRIPT.format(100_000_000, 999_999_999), _NEW),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept in bench/results."""

    machine: Machine
    command: str
    runs: list[Run]
    failures: list[str]
    costs: list[Cost]
    bytes: list[Bytes]
    stalls: list[Stall]
    holdings: list[Holding]


def measure_runs(backend: Backend, targets: list[Target], seconds: int, rounds: int) -> tuple[list[Run], list[str]]:
    """All cases against both targets, in turn; the other one goes first in each round."""
    runner = Runner(backend)
    runs, failures = [], []
    with progress_bar() as progress:
        task = progress.add_task("", total=rounds * len(CASES) * len(targets))
        for turn in range(rounds):
            for case in CASES:
                for target in targets if turn % 2 == 0 else targets[::-1]:
                    progress.update(task, description=f"round {turn + 1}/{rounds}: {case.name}, {target.label}")
                    try:
                        run = runner.run(
                            target, mode=case.mode, clients=_CLIENTS, seconds=seconds, turn=turn, script=case.script
                        )
                    except RunFailed as error:
                        failures.append(f"{case.name}, {target.label}: {error}")
                    else:
                        runs.append(replace(run, mode=case.name))
                    progress.advance(task)
    return runs, failures


def table_of_runs(runs: list[Run]) -> str:
    """Throughput and processor time of each case, with plugins and without."""
    summary = Summary(runs)
    rows = []
    for case in CASES:
        cell = [summary.middle(name, case.name, _CLIENTS, lambda run: run.tps) for name in ("plain", "plugins")]
        spent = [summary.spent(name, case.name, _CLIENTS, lambda run: run.pooler) for name in ("plain", "plugins")]
        ratio = summary.ratio("plugins", "plain", case.name, _CLIENTS, lambda run: run.tps)
        if ratio is None or None in cell or None in spent:
            continue
        rows.append(
            [
                case.name,
                *[f"{tps:.0f}" for tps in cell],
                f"{ratio} ({ratio.least:.2f}–{ratio.greatest:.2f})",
                f"≥ {case.budget:.2f}",
                "kept" if ratio.middle >= case.budget else "**missed**",
                *[f"{one.total:.1f}" for one in spent if one is not None],
            ]
        )
    header = ["pgbench, 16 clients", "tps without", "tps with", "ratio", "budget", "", "µs without", "µs with"]
    return markdown_table(header, rows)


def _hold(backend: Backend, rules: str | None, label: str, clients: int) -> Holding:
    """By a proxy of their own: what one has let go that did anything before would hide what they take."""
    with proxy(backend, name="idle", rules=rules) as target:
        return hold(replace(target, label=label), target.pid or 0, clients, lambda step, done: None)


def _table_of_idle(holdings: list[Holding]) -> str:
    rows = []
    for one in holdings:
        connected, queried = one.per_client(one.connected), one.per_client(one.queried)
        verdict = "kept" if queried <= _IDLE_BUDGET else "**missed**"
        rows.append([one.label, f"{one.clients:,}", f"{connected:,}", f"{queried:,}", f"≤ {_IDLE_BUDGET:,}", verdict])
    return markdown_table(["", "idle clients", "bytes each", "after a query each", "budget", ""], rows)


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Length of each run.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="How often each run is repeated.")] = 5,
    clients: Annotated[int, typer.Option(min=1, help="Idle clients.")] = 5_000,
    write: Annotated[bool, typer.Option(help="Write docs/performance.md.")] = True,
) -> None:
    """Measure what uninterested plugins cost."""
    with start_postgresql() as backend, ExitStack() as stack:
        fill(backend, 1)
        console.print("Plans and memory, in this process")
        catalogue = snapshot_of(backend)
        costs, sizes = measure_costs(catalogue), measure_bytes(catalogue)
        targets = [
            stack.enter_context(proxy(backend, name="plain")),
            stack.enter_context(proxy(backend, name="plugins", rules=rules_of(10))),
        ]
        runs, failures = measure_runs(backend, targets, seconds, rounds)
        console.print("Idle clients")
        holdings = [
            _hold(backend, None, "without plugins", clients),
            _hold(backend, rules_of(10), "with plugins", clients),
        ]
        console.print("Hostile texts")
        stalls = measure_stalls(backend)
        machine = describe_machine(postgresql=backend.version, pgbouncer="not used")
    parts = [
        table_of_runs(runs),
        "Medians of the rounds; the ratio is the median of each round's own (least–greatest). µs: processor time of "
        "the proxy for a query.",
        table_of_costs(costs),
        table_of_bytes(sizes),
        "For a short primary-key SELECT that nobody wants, in bounded caches; allocated as Python counts it.",
        _table_of_idle(holdings),
        table_of_stalls(stalls),
        "Processor time that other clients had to wait for, at the worst: the text is sent twice under ten rules.",
    ]
    text = "\n\n".join(parts)
    show(text)
    command = command_line("plugins")
    outcome = Outcome(machine, command, runs, failures, costs, sizes, stalls, holdings)
    console.print(f"Each figure: bench/results/{save_json('plugins', outcome).name}")
    if write and runs:
        load = busy(*Summary(runs).others())
        write_section("plugins", f"{machine.markdown()}\n\n{load}\n\nTo repeat: `{command}`\n\n{text}")
    if failures:
        console.print("\n".join(failures))
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
