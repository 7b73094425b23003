"""Compare the proxy with PgBouncer and with PostgreSQL itself: ``python -m bench pgbench``.

pgbench's select-only script runs against each in turn, round after round, so that whatever slows the machine for a
while hits all alike. Ratios are taken within a round. Processor time per query stands still where throughput does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bench.machine import Machine, describe_machine, load_average
from bench.report import command_line, save_json, show, write_picture, write_section
from bench.runs import MODES, Run, RunFailed, Runner, fill
from bench.summary import Summary
from bench.tables import Comparison
from bench.targets import TARGETS, Backend, Target, start_postgresql, start_targets

__all__ = ["Plan", "main", "measure", "names_of", "progress_bar"]

_QUIET = 0.08  # of all processors: what a machine at rest does by itself, and some more
_DISTURBED = 0.15
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: every mode with every number of clients against every target, ``rounds`` times.

    A run during which others used the machine is repeated up to ``tries`` times, and the quietest counts.
    """

    modes: Sequence[str]
    clients: Sequence[int]
    targets: Sequence[Target]
    seconds: int
    rounds: int
    tries: int = 1
    each_latency: bool = False

    def __len__(self) -> int:
        return self.rounds * sum(len(self.able(mode, clients)) for mode in self.modes for clients in self.clients)

    def able(self, mode: str, clients: int) -> list[Target]:
        """The targets that can run ``mode`` with so many clients."""
        return [target for target in self.targets if mode != "prepared" or clients <= target.prepared]

    def __iter__(self) -> Iterator[tuple[int, str, int, Target]]:
        for turn in range(self.rounds):
            for mode in self.modes:
                for clients in self.clients:
                    able = self.able(mode, clients)
                    # A different one goes first in each round, as the first may meet a processor that is still cold.
                    start = turn % max(1, len(able))
                    for target in able[start:] + able[:start]:
                        yield turn, mode, clients, target


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan, as kept in bench/results."""

    machine: Machine
    command: str
    runs: list[Run]
    failures: list[str]


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on standard error, with what is going on now and the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield progress


def measure(backend: Backend, plan: Plan, progress: Progress, task: TaskID) -> tuple[list[Run], list[str]]:
    """Carry out ``plan``. A run that fails is told of and left out; the others go on."""
    runner = Runner(backend)
    runs: list[Run] = []
    failures: list[str] = []
    for turn, mode, clients, target in plan:
        what = f"{target.label}, {mode}, {clients} client{'s' if clients > 1 else ''}"
        progress.update(task, description=f"round {turn + 1}/{plan.rounds}: {what}")
        try:
            run = _quietest(runner, plan, turn, mode, clients, target)
        except RunFailed as error:
            failures.append(f"{what}, round {turn + 1}: {error}")
            progress.console.print(f"[red]{failures[-1]}", highlight=False)
        else:
            runs.append(run)
        progress.advance(task)
    return runs, failures


def _quietest(runner: Runner, plan: Plan, turn: int, mode: str, clients: int, target: Target) -> Run:
    """Run until others leave the machine alone, or the tries are used up. Raises RunFailed."""
    quietest: Run | None = None
    for _ in range(plan.tries):
        run = runner.run(
            target, mode=mode, clients=clients, seconds=plan.seconds, turn=turn, each_latency=plan.each_latency
        )
        if quietest is None or run.others < quietest.others:
            quietest = run
        if quietest.others <= _QUIET:
            break
    assert quietest is not None
    return quietest


def names_of(text: str, known: Sequence[str]) -> list[str]:
    """Split a list given on the command line.

    Raises: typer.BadParameter, with what is known, for a name that is not.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    if not names:
        raise typer.BadParameter(f"name at least one of {', '.join(known)}")
    return names


def counts_of(text: str) -> list[int]:
    """Split a list of numbers of clients given on the command line.

    Raises: typer.BadParameter.
    """
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"{text!r} is not a list of numbers of clients such as 1,16,200")
    return counts


def version_of(targets: Sequence[Target], name: str) -> str:
    """The version of a started target, or "none"."""
    return next((target.version for target in targets if target.name == name), "none")


def busy(least: float, greatest: float) -> str:
    """A sentence on the share of the processors that others used during the runs, from ``least`` to ``greatest``."""
    shares = f"Others used {least:.0%} to {greatest:.0%} of the processors meanwhile."
    if greatest <= _DISTURBED:
        return shares
    return (
        f"**The machine was not at rest.** {shares} Throughput and latency are worth little then, and processor time "
        "per query is too high; figures in one row were at least taken in turn. Repeat it on a machine at rest."
    )


def section(comparison: Comparison, outcome: Outcome) -> str:
    """The text of docs/performance.md between the markers."""
    least, greatest = comparison.summary.others()
    parts = [
        outcome.machine.markdown(),
        busy(least, greatest),
        f"To repeat: `{outcome.command}`",
        *(f"![{name}](performance-{name}.svg)" for name in comparison.pictures()),
        comparison.markdown(),
    ]
    if "prepared" in comparison.modes:
        for target in comparison.targets:
            if target.prepared < max(comparison.clients):
                many = f"for more than {target.prepared} clients at once " if target.prepared else ""
                name = f"{target.label} {target.version}".strip()
                parts.append(f"{name} can't keep prepared statements {many}in transaction mode: no figures for these.")
    if outcome.failures:
        parts.append("Failed, and left out:\n\n" + "\n".join(f"- {failure}" for failure in outcome.failures))
    return "\n\n".join(parts)


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Length of each run.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="How often each run is repeated.")] = 3,
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,16,200",
    modes: Annotated[str, typer.Option(help="Protocols, of simple, extended and prepared.")] = ",".join(MODES),
    targets: Annotated[str, typer.Option(help="What to measure, of direct, pgbouncer and proxy.")] = ",".join(TARGETS),
    scale: Annotated[int, typer.Option(min=1, help="pgbench's scale: 100,000 rows each.")] = 10,
    pgbouncer: Annotated[Path | None, typer.Option(help="A PgBouncer other than that on the PATH.")] = None,
    tree: Annotated[Path | None, typer.Option(help="A second checkout of the proxy, to measure too.")] = None,
    tries: Annotated[int, typer.Option(min=1, help="How often to try for a run that others don't disturb.")] = 3,
    quick: Annotated[bool, typer.Option(help="One round of one second each, scale 1: to see that all works.")] = False,
    write: Annotated[bool | None, typer.Option(help="Write docs/performance.md; by default unless --quick.")] = None,
) -> None:
    """Compare PostgreSQL, PgBouncer and the proxy under pgbench -S."""
    if quick:
        seconds, rounds, scale, tries = 1, 1, 1, 1
    chosen_modes, counts, names = names_of(modes, MODES), counts_of(clients), names_of(targets, TARGETS)
    with start_postgresql(max_connections=max(counts) + 100) as backend, progress_bar() as progress:
        task = progress.add_task(f"filling pgbench's tables (scale {scale})", total=None)
        fill(backend, scale)
        with start_targets(backend, names, program=pgbouncer, tree=tree) as started:
            plan = Plan(chosen_modes, counts, started, seconds, rounds, tries)
            progress.update(task, total=len(plan), completed=0)
            runs, failures = measure(backend, plan, progress, task)
            machine = describe_machine(postgresql=backend.version, pgbouncer=version_of(started, "pgbouncer"))
    if not runs:
        raise typer.Exit(1)
    command = command_line("pgbench")
    outcome = Outcome(machine, command, runs, failures)
    comparison = Comparison(Summary(runs), started, chosen_modes, counts)
    show(comparison.markdown())
    kept = save_json("pgbench", outcome)
    console.print(f"Each run: bench/results/{kept.name}. Load average {load_average():.1f}.")
    if write if write is not None else not quick:
        for name, picture in comparison.pictures().items():
            write_picture(name, picture)
        write_section("pgbench", section(comparison, outcome))
        console.print("Written: docs/performance.md")
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
