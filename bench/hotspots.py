"""Where the proxy spends its time: ``python -m bench hotspots``.

py-spy (``pip install py-spy``) samples the proxy while pgbench runs against it. A function's share of the samples,
times the processor time per query, is what the function itself costs a query, in microseconds.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from bench.machine import load_average
from bench.pgbench import names_of
from bench.report import markdown_table
from bench.runs import MODES, Run, Runner, fill
from bench.targets import Target, proxy, start_postgresql

__all__ = ["Profile", "main", "read_stacks"]

console = Console(stderr=True)


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


def read_stacks(lines: Iterable[str]) -> Profile:
    """Read folded stacks: ``outer (file:line);inner (file:line) count`` on each line."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not stack:
            continue
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    return Profile(own, total)


def profile(
    runner: Runner, target: Target, program: Path, *, mode: str, clients: int, seconds: int
) -> tuple[Run, Profile]:
    """Measure the processor time per query undisturbed, then again with py-spy looking on."""
    assert target.pid is not None
    run = runner.run(target, mode=mode, clients=clients, seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
        stacks = Path(directory) / "stacks"
        command = [str(program), "record", "--pid", str(target.pid), "--format", "raw", "--output", str(stacks)]
        command += ["--function", "--rate", "500", "--duration", str(seconds), "--native"]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        runner.run(target, mode=mode, clients=clients, seconds=seconds + 1)
        _, complaint = sampler.communicate(timeout=30)
        if sampler.returncode or not stacks.exists():
            raise RuntimeError(f"py-spy failed: {complaint.strip()[-500:]}")
        with stacks.open() as lines:
            return run, read_stacks(lines)


def main(
    seconds: Annotated[int, typer.Option(min=1, help="How long to look.")] = 5,
    clients: Annotated[int, typer.Option(min=1, help="Number of clients.")] = 16,
    modes: Annotated[str, typer.Option(help="Protocols, of simple, extended and prepared.")] = "simple,extended",
    count: Annotated[int, typer.Option(min=1, help="How many functions to show.")] = 15,
    program: Annotated[Path | None, typer.Option("--py-spy", help="Where py-spy is, if not on the PATH.")] = None,
) -> None:
    """Show the functions of the proxy that cost most."""
    found = program or (Path(name) if (name := shutil.which("py-spy")) else None)
    if found is None:
        console.print("py-spy is not on the PATH. Install it (`pip install py-spy`), or name it by --py-spy PATH.")
        raise typer.Exit(1)
    chosen = names_of(modes, MODES)
    with start_postgresql() as backend:
        fill(backend, 1)
        runner = Runner(backend)
        with proxy(backend) as target:
            for mode in chosen:
                run, seen = profile(runner, target, found, mode=mode, clients=clients, seconds=seconds)
                assert run.pooler is not None
                text = (
                    f"## {mode}, {clients} clients: {run.tps:.0f} tps, {run.pooler.total:.1f} µs of processor time per "
                    f"query, {run.pooler.system:.1f} of it in the kernel; load average {load_average():.1f}\n\n"
                )
                Console(width=140).print(Markdown(text + seen.table(run.pooler.total, count)))


if __name__ == "__main__":
    typer.run(main)
