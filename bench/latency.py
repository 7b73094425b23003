"""What a pooler adds to the time of one query: ``python -m bench latency``.

One client, many short runs in turn, and the time of every single transaction: the median and the 99th percentile, which
an average hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console

from bench.machine import describe_machine, load_average
from bench.pgbench import Outcome, Plan, busy, measure, names_of, progress_bar, version_of
from bench.report import command_line, markdown_table, save_json, show, write_section
from bench.runs import MODES, Run, fill
from bench.summary import Summary, percentile
from bench.targets import TARGETS, Target, start_postgresql, start_targets

__all__ = ["main", "table"]

_SHARES = (0.5, 0.9, 0.99)
console = Console(stderr=True)


def table(runs: Sequence[Run], targets: Sequence[Target], modes: Sequence[str]) -> str:
    """Percentiles in microseconds of each target, and what the poolers add to PostgreSQL's own.

    Each figure is the median over the rounds, and what is added the median of the rounds' differences.
    """
    figures: dict[tuple[str, str, int, float], float] = {}
    for run in runs:
        ordered = sorted(run.latencies_us)
        for share in _SHARES:
            figures[run.target, run.mode, run.turn, share] = percentile(ordered, share)
    turns = sorted({run.turn for run in runs})
    header = ["mode", "target", *(f"p{share * 100:.0f}, µs" for share in _SHARES)]
    header += [f"p{share * 100:.0f} added" for share in _SHARES]
    rows = []
    for mode in modes:
        for target in targets:
            row = [mode, target.label]
            added = []
            for share in _SHARES:
                own = {turn: figures.get((target.name, mode, turn, share)) for turn in turns}
                base = {turn: figures.get(("direct", mode, turn, share)) for turn in turns}
                values = [value for value in own.values() if value is not None]
                more = [
                    value - least
                    for turn, value in own.items()
                    if value is not None and (least := base[turn]) is not None
                ]
                row.append(f"{median(values):.0f}" if values else "–")
                added.append(f"{median(more):+.0f}" if more and target.name != "direct" else "–")
            rows.append(row + added)
    return markdown_table(header, rows, words=2)


def main(
    seconds: Annotated[int, typer.Option(min=1, help="Length of each run.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="How often each run is repeated.")] = 7,
    modes: Annotated[str, typer.Option(help="Protocols, of simple, extended and prepared.")] = "simple,extended",
    targets: Annotated[str, typer.Option(help="What to measure, of direct, pgbouncer and proxy.")] = ",".join(TARGETS),
    scale: Annotated[int, typer.Option(min=1, help="pgbench's scale: 100,000 rows each.")] = 1,
    pgbouncer: Annotated[Path | None, typer.Option(help="A PgBouncer other than that on the PATH.")] = None,
    tries: Annotated[int, typer.Option(min=1, help="How often to try for a run that others don't disturb.")] = 3,
    write: Annotated[bool, typer.Option(help="Write docs/performance.md.")] = True,
) -> None:
    """Measure latency at one client, by percentiles."""
    chosen, names = names_of(modes, MODES), names_of(targets, TARGETS)
    with start_postgresql() as backend, progress_bar() as progress:
        task = progress.add_task("filling pgbench's tables", total=None)
        fill(backend, scale)
        with start_targets(backend, names, program=pgbouncer) as started:
            plan = Plan(chosen, [1], started, seconds, rounds, tries, each_latency=True)
            progress.update(task, total=len(plan), completed=0)
            runs, failures = measure(backend, plan, progress, task)
            machine = describe_machine(postgresql=backend.version, pgbouncer=version_of(started, "pgbouncer"))
    text = table(runs, started, chosen)
    show(text)
    command = command_line("latency")
    kept = save_json("latency", Outcome(machine, command, runs, failures))
    console.print(f"Each transaction: bench/results/{kept.name}. Load average {load_average():.1f}.")
    if write and runs:
        load = busy(*Summary(runs).others())
        write_section("latency", f"{machine.markdown()}\n\n{load}\n\nTo repeat: `{command}`\n\n{text}")
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
