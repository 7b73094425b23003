"""What an idle client costs: ``python -m bench idle``.

Thousands of clients log in and stay. The memory of the pooler's processes is read before, when all are connected, after
each has run a query, and after all have left; the difference is divided by the clients.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import TaskID

from bench.client import open_client, query
from bench.holder import HolderFailed, holders
from bench.machine import Machine, describe_machine
from bench.pgbench import names_of, progress_bar, version_of
from bench.processes import Memory, memory, slab_bytes, tree
from bench.report import command_line, markdown_table, save_json, show, write_section
from bench.targets import DATABASE, TARGETS, USER, Backend, Target, start_postgresql, start_targets

__all__ = ["Holding", "hold", "main"]

_BUDGET = 3 * 1024  # bytes of process memory for one idle client
_MOST_DIRECT = 200  # each is a process there
_POOLER_SPARE = 500  # descriptors of a pooler that are not clients
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Holding:
    """What ``clients`` idle clients added to the memory of one target, in bytes; ``kernel`` is both ends' slab."""

    target: str
    label: str
    clients: int
    before: Memory
    connected: Memory
    queried: Memory
    closed: Memory
    kernel: int

    def per_client(self, then: Memory) -> int:
        """Bytes for each client against before, private ones alone: the others change as other programs come and go."""
        return round((then - self.before).private / self.clients)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept in bench/results."""

    machine: Machine
    command: str
    holdings: list[Holding]


def hold(target: Target, root: int, clients: int, progress: Callable[[str, int], None]) -> Holding:
    """Hold ``clients`` idle clients against ``target``, whose processes are ``root`` and those below it.

    Raises: HolderFailed.
    """
    with open_client(target.address, user=USER, database=DATABASE) as first:
        query(first, "select 1")  # so that what every pooler makes once is made
    with holders(clients, target.address, user=USER, database=DATABASE) as held:
        before, slab = _at_rest(root), slab_bytes()
        held.open(lambda done: progress("log in", done))
        connected, kernel = _at_rest(root), slab_bytes() - slab
        held.query_once(lambda done: progress("query once", done))
        queried = _at_rest(root)
        held.close(lambda done: progress("leave", done))
        closed = _at_rest(root)
    return Holding(target.name, target.label, clients, before, connected, queried, closed, kernel)


def _at_rest(root: int) -> Memory:
    """Memory once it has stopped changing; the last reading if it never does within five seconds."""
    earlier = memory(root)
    for _ in range(10):
        time.sleep(0.5)
        now = memory(root)
        if abs(now.private - earlier.private) <= max(16384, earlier.private // 1000):
            return now
        earlier = now
    return earlier


def clients_for(target: Target, wanted: int) -> int:
    """How many clients ``target`` can hold: PostgreSQL a few, as each is a process; a pooler what descriptors allow."""
    if target.pid is None:
        return min(wanted, _MOST_DIRECT)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes = max(1, len(tree(target.pid)))
    return min(wanted, processes * max(1, soft - _POOLER_SPARE))


def table(holdings: Sequence[Holding]) -> str:
    """Bytes per idle client, and the process' whole memory before and with them."""
    header = [
        "",
        "clients",
        "before, MB (Rss)",
        "connected, MB (Rss)",
        "bytes per client",
        "after a query each",
        "left after all went",
    ]
    rows = [
        [
            one.label,
            f"{one.clients:,}",
            f"{one.before.rss / 1e6:.1f}",
            f"{one.connected.rss / 1e6:.1f}",
            f"{one.per_client(one.connected):,}",
            f"{one.per_client(one.queried):,}",
            f"{one.per_client(one.closed):,}",
        ]
        for one in holdings
    ]
    notes = [
        "Memory of all processes of each. The last three columns are what is private to them, less what was before, "
        f"divided by the clients. Budget of the proxy: {_BUDGET:,} bytes.",
    ]
    poolers = [one for one in holdings if one.target != "direct"]
    if poolers:
        kernel = ", ".join(f"{one.kernel / one.clients / 1024:.1f} KiB ({one.label})" for one in poolers)
        notes.append(f"The kernel's own memory for both ends of a connection comes on top: {kernel}.")
    return "\n\n".join([markdown_table(header, rows), *notes])


def measure(backend: Backend, targets: Sequence[Target], clients: int) -> list[Holding]:
    """Hold clients against each target in turn. A target that fails is told of and left out."""
    holdings = []
    with progress_bar() as progress:
        for target in targets:
            count = clients_for(target, clients)
            if count < clients:
                reason = "each is a process" if target.pid is None else "its descriptors end there"
                progress.console.print(f"{target.label}: {count:,} clients rather than {clients:,}; {reason}")
            task = progress.add_task(target.label, total=3 * count)

            def advance(step: str, done: int, *, task: TaskID = task, label: str = target.label) -> None:
                progress.update(task, advance=done, description=f"{label}: {step}")

            try:
                holdings.append(hold(target, target.pid or backend.pid, count, advance))
            except HolderFailed as error:
                progress.console.print(f"[red]{target.label}: {error}", highlight=False)
    return holdings


def main(
    clients: Annotated[int, typer.Option(min=1, help="Idle clients.")] = 10_000,
    targets: Annotated[str, typer.Option(help="What to measure, of direct, pgbouncer and proxy.")] = ",".join(TARGETS),
    pgbouncer: Annotated[Path | None, typer.Option(help="A PgBouncer other than that on the PATH.")] = None,
    write: Annotated[bool, typer.Option(help="Write docs/performance.md.")] = True,
) -> None:
    """Measure the memory of idle clients."""
    names = names_of(targets, TARGETS)
    with start_postgresql(max_connections=_MOST_DIRECT + 100) as backend:
        with start_targets(backend, names, program=pgbouncer) as started:
            holdings = measure(backend, started, clients)
            machine = describe_machine(postgresql=backend.version, pgbouncer=version_of(started, "pgbouncer"))
    command = command_line("idle")
    text = table(holdings)
    show(text)
    kept = save_json("idle", Outcome(machine, command, holdings))
    console.print(f"Each figure: bench/results/{kept.name}")
    if write and holdings:
        write_section("idle", f"{machine.markdown()}\n\nTo repeat: `{command}`\n\n{text}")
    if len(holdings) < len(started):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
