"""What our own hot functions cost, apart from sockets and the kernel: ``python -m bench micro``.

Each case of ``bench/cases.py`` is timed alone in this process. A figure is the least processor time of many
repetitions, as all that disturbs a repetition makes it longer.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from bench.cases import CASES, Case
from bench.machine import Machine, describe_machine
from bench.report import command_line, markdown_table, save_json, show, write_section

__all__ = ["Cost", "main", "time_case"]

_REPETITION = 0.01  # seconds: long beside the clock's resolution, short beside the scheduler's turns
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one call: the least seen, and the median."""

    name: str
    least_us: float
    median_us: float
    budget_us: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept in bench/results."""

    machine: Machine
    command: str
    costs: list[Cost]


def time_case(case: Case, repetitions: int) -> Cost:
    """Time one case, divided by the calls that it makes at once."""
    call = case.prepare()
    count = _calls_for(call, _REPETITION)
    seconds = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(repetitions):
            start = time.thread_time()
            for _ in range(count):
                call()
            seconds.append(time.thread_time() - start)
    finally:
        gc.enable()
    seconds.sort()
    unit = 1e6 / count / case.calls
    return Cost(case.name, seconds[0] * unit, seconds[len(seconds) // 2] * unit, case.budget_us)


def _calls_for(call: Callable[[], object], wanted: float) -> int:
    """How many calls take ``wanted`` seconds or a little more."""
    count = 1
    while True:
        start = time.thread_time()
        for _ in range(count):
            call()
        taken = time.thread_time() - start
        if taken >= wanted / 4:
            return max(1, int(count * wanted / taken))
        count *= 4


def table(costs: Sequence[Cost]) -> str:
    """One line for each case."""
    rows = []
    for cost in costs:
        budget = "–" if cost.budget_us is None else f"≤ {cost.budget_us:.0f}"
        verdict = "" if cost.budget_us is None else "kept" if cost.least_us <= cost.budget_us else "**missed**"
        rows.append([cost.name, f"{cost.least_us:.2f}", f"{cost.median_us:.2f}", budget, verdict])
    return markdown_table(["what", "least, µs", "median, µs", "budget, µs", ""], rows)


def main(
    repetitions: Annotated[int, typer.Option(min=1, help="How often each case is timed, 10 ms each.")] = 60,
    write: Annotated[bool, typer.Option(help="Write docs/performance.md.")] = True,
) -> None:
    """Time our own hot functions."""
    costs = []
    with Progress(console=console) as progress:
        task = progress.add_task("", total=len(CASES))
        for case in CASES:
            progress.update(task, description=case.name)
            costs.append(time_case(case, repetitions))
            progress.advance(task)
    machine = describe_machine(postgresql="not used", pgbouncer="not used")
    command = command_line("micro")
    text = table(costs)
    show(text)
    console.print(f"Kept: bench/results/{save_json('micro', Outcome(machine, command, costs)).name}")
    if write:
        write_section("micro", f"{machine.markdown()}\n\nTo repeat: `{command}`\n\n{text}")


if __name__ == "__main__":
    typer.run(main)
