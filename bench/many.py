"""Whether those who only wait slow down those at work: ``python -m bench many``.

All bundled plugins are on. 200 clients of pgbench are at work, once with nobody else and once with thousands of idle
clients connected, in turn, and the other one first in each round, so that what slows the machine for a while hits both.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from bench.holder import HolderFailed, holders
from bench.machine import Machine, describe_machine
from bench.pgbench import progress_bar
from bench.report import command_line, markdown_table, save_json, show, write_section
from bench.rulesets import rules_of
from bench.runs import Run, RunFailed, Runner, fill
from bench.summary import Summary
from bench.tables import DISTURBED
from bench.targets import DATABASE, USER, Target, free_port, proxy, start_postgresql

__all__ = ["main"]

_AT_WORK = 200
_BUDGET = 0.90
_ALONE, _CROWDED = "200 connected", "many connected"
_PLUGINS = '\n[plugins.query_log]\nslow = "10s"\n\n[plugins.traces]\nsample = 0.0\n'
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept in bench/results. ``scrapes`` are the seconds that /metrics took with all clients connected."""

    machine: Machine
    command: str
    connected: int
    runs: list[Run]
    failures: list[str]
    scrapes: list[float]


@contextmanager
def _scraped(port: int) -> Iterator[list[float]]:
    """Ask for the metrics every second, as no monitoring does more often, and note how long each answer took."""
    took: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(1):
            begun = time.monotonic()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                answer.read()
            took.append(time.monotonic() - begun)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield took
    finally:
        ended.set()
        asking.join()


def measure(
    runner: Runner, target: Target, port: int, connected: int, seconds: int, rounds: int, tell: Callable[[str], None]
) -> tuple[list[Run], list[str], list[float]]:
    """All runs, in turn."""
    runs: list[Run] = []
    failures: list[str] = []
    scrapes: list[float] = []
    for turn in range(rounds):
        for name in (_ALONE, _CROWDED) if turn % 2 == 0 else (_CROWDED, _ALONE):
            tell(f"round {turn + 1}/{rounds}: {name}")
            idle = connected - _AT_WORK if name == _CROWDED else 0
            place = {"user": USER, "database": DATABASE}
            try:
                with holders(idle, target.address, **place) if idle else nullcontext() as held:
                    if held is not None:
                        held.open(lambda done: None)
                    with _scraped(port) as took:
                        run = runner.run(target, mode="simple", clients=_AT_WORK, seconds=seconds, turn=turn)
            except (RunFailed, HolderFailed) as error:
                failures.append(f"{name}: {error}")
            else:
                runs.append(replace(run, target=name))
                scrapes += took if idle else []
    return runs, failures, scrapes


def table(runs: list[Run], connected: int) -> str:
    """Throughput and processor time of both, and the ratio."""
    summary = Summary(runs)
    rows = []
    for name in (_ALONE, _CROWDED):
        tps = summary.middle(name, "simple", _AT_WORK, lambda run: run.tps)
        spent = summary.spent(name, "simple", _AT_WORK, lambda run: run.pooler)
        ratio = summary.ratio(name, _ALONE, "simple", _AT_WORK, lambda run: run.tps)
        if tps is None or spent is None or ratio is None:
            continue
        clients = connected if name == _CROWDED else _AT_WORK
        verdict = "kept" if ratio.middle >= _BUDGET else "**missed**"
        if summary.others()[1] > DISTURBED:
            verdict = "undecided"
        crowded = [f"{ratio} ({ratio.least:.2f}–{ratio.greatest:.2f})", f"≥ {_BUDGET:.2f}", verdict]
        rows.append([f"{clients:,}", f"{tps:.0f}", f"{spent.total:.1f}", *(crowded if name == _CROWDED else [""] * 3)])
    least, most = summary.others()
    notes = (
        f"Others used {least:.0%} to {most:.0%} of the machine during the runs; with more than {DISTURBED:.0%} the "
        "throughput decides nothing, and the processor time for each query tells more."
    )
    header = ["connected, 200 of them at work", "tps", "µs per query", "ratio of tps", "budget", ""]
    return f"{markdown_table(header, rows)}\n\n{notes}"


def main(
    clients: Annotated[
        int, typer.Option(min=_AT_WORK + 1, help="How many are connected, those at work among them.")
    ] = 10_000,
    seconds: Annotated[int, typer.Option(min=1, help="Of each run.")] = 8,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    quick: Annotated[bool, typer.Option(help="One short round; the page stays as it is.")] = False,
) -> None:
    """Compare 200 clients at work among 200 and among 10,000 that are connected."""
    if quick:
        seconds, rounds = min(seconds, 2), 1
    port = free_port()
    settings = f'workers = {workers}\nadmin_listen = "127.0.0.1:{port}"\nlisten_backlog = 4096\n{_PLUGINS}'
    with start_postgresql() as backend:
        fill(backend, 1)
        with proxy(backend, rules=rules_of(10), settings=settings) as target, progress_bar() as progress:
            task = progress.add_task("", total=None)

            def tell(what: str) -> None:
                progress.update(task, description=what)

            runs, failures, scrapes = measure(Runner(backend), target, port, clients, seconds, rounds, tell)
        machine = describe_machine(postgresql=backend.version, pgbouncer="not used")
    command = command_line("many")
    text = [f"{machine.markdown()}\n\nTo repeat: `{command}`", table(runs, clients)]
    if scrapes:
        middle = sorted(scrapes)[len(scrapes) // 2]
        text.append(
            f"/metrics was asked for every second, and took {middle * 1000:.0f} ms (median) with all connected."
        )
    text += [f"Failed: {failure}" for failure in failures]
    show("\n\n".join(text))
    save_json("many", Outcome(machine, command, clients, runs, failures, scrapes))
    if not quick and not failures:
        write_section("many", "\n\n".join(text))
    if failures:
        raise typer.Exit(1)
