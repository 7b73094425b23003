"""Where the proxy spends its time: ``python -m bench hotspots``.

The proxy runs with a sampler inside (bench/profiled.py) while pgbench runs against it. A function's share of the
samples, times the processor time per query of a run without the sampler, is what it costs a query, in microseconds.

What a function does in C and in the kernel, such as a write to a socket, is its own. What the loop does before it calls
one, such as waiting for and reading from sockets, is seen late and counted as data_received's own.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.pgbench import names_of
from bench.profiled import SIGNAL
from bench.report import markdown_table, show
from bench.runs import MODES, Runner, fill
from bench.targets import Target, proxy, start_postgresql

__all__ = ["Profile", "main", "read_stacks"]

_LINE = re.compile(r":\d+\)$")


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples by function: of the function itself, and of it with all that it called."""

    own: Counter[str]
    total: Counter[str]

    @property
    def samples(self) -> int:
        return self.own.total()

    def table(self, microseconds: float, count: int) -> str:
        """The ``count`` dearest functions, for a query that takes ``microseconds`` of processor time."""
        rows = []
        for name, samples in self.own.most_common(count):
            share = samples / self.samples
            whole = self.total[name] / self.samples
            rows.append([f"`{name}`", f"{share:.1%}", f"{share * microseconds:.2f}", f"{whole * microseconds:.2f}"])
        return markdown_table(["function", "share", "itself, µs a query", "with what it calls"], rows)


def read_stacks(lines: Iterable[str], *, by_line: bool = False) -> Profile:
    """Read folded stacks: ``outer (file:line);inner (file:line) count`` on each line."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not stack:
            continue
        frames = [frame if by_line else _LINE.sub(")", frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    return Profile(own, total)


def sample(runner: Runner, target: Target, stacks: Path, *, mode: str, clients: int, seconds: int) -> list[str]:
    """The folded stacks of a proxy that runs bench.profiled and writes to ``stacks``."""
    assert target.pid is not None
    os.kill(target.pid, SIGNAL)
    runner.run(target, mode=mode, clients=clients, seconds=seconds)
    os.kill(target.pid, SIGNAL)
    until = time.monotonic() + 10
    while not stacks.exists():
        if time.monotonic() > until:
            raise TimeoutError("the proxy did not write its samples")
        time.sleep(0.05)
    lines = stacks.read_text().splitlines()
    stacks.unlink()
    return lines


def main(
    seconds: Annotated[int, typer.Option(min=1, help="How long to look.")] = 5,
    clients: Annotated[int, typer.Option(min=1, help="Number of clients.")] = 16,
    modes: Annotated[str, typer.Option(help="Protocols, of simple, extended and prepared.")] = "simple,extended",
    count: Annotated[int, typer.Option(min=1, help="How many functions to show.")] = 20,
    lines: Annotated[bool, typer.Option(help="Tell the lines of a function apart.")] = False,
    tree: Annotated[Path | None, typer.Option(help="Another checkout of the proxy.")] = None,
) -> None:
    """Show the functions of the proxy that cost most."""
    chosen = names_of(modes, MODES)
    with start_postgresql() as backend, tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
        fill(backend, 1)
        runner = Runner(backend)
        stacks = Path(directory) / "stacks"
        module = ("bench.profiled", str(stacks))
        with proxy(backend, tree=tree) as plain, proxy(backend, tree=tree, name="profiled", module=module) as profiled:
            for mode in chosen:
                run = runner.run(plain, mode=mode, clients=clients, seconds=seconds)
                assert run.pooler is not None
                said = sample(runner, profiled, stacks, mode=mode, clients=clients, seconds=seconds)
                profile = read_stacks(said, by_line=lines)
                text = (
                    f"## {mode}, {clients} clients: {run.tps:.0f} tps, {run.pooler.total:.1f} µs of processor time per "
                    f"query, {run.pooler.system:.1f} of it in the kernel; others used {run.others:.0%} of the machine; "
                    f"{profile.samples} samples\n\n"
                )
                show(text + profile.table(run.pooler.total, count) + "\n")


if __name__ == "__main__":
    typer.run(main)
