"""What it costs that settings follow their clients: ``python -m bench following``.

Some clients take turns on one backend, each query of another client than the last, so that every query finds what
somebody else has set. That is the worst case: in a busier pool, many clients meet their own settings again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.progress import track

from bench.machine import describe_machine, load_average
from bench.processes import processor_time
from bench.report import command_line, markdown_table, show, write_section
from bench.targets import DATABASE, USER, Target, proxy, start_postgresql

__all__ = ["main"]

console = Console(stderr=True)

_FIVE = ("TimeZone", "work_mem", "statement_timeout", "search_path", "app.tenant")
_VALUES = (
    ("Europe/Berlin", "Asia/Tokyo", "UTC", "America/Lima"),
    ("5MB", "6MB", "7MB", "8MB"),
    ("10min", "11min", "12min", "13min"),
    ("one", "two", "three", "four"),
    ("1", "2", "3", "4"),
)

Client = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """What the clients have set before they are measured."""

    name: str
    prepare: Callable[[Client, int], None]


def _nothing(client: Client, number: int) -> None:
    """Every client as after its login."""


def _set_five(client: Client, number: int) -> None:
    for name, values in zip(_FIVE, _VALUES, strict=True):
        client.execute("SELECT set_config(%s, %s, false)", (name, values[number]))


def _set_the_same_five(client: Client, number: int) -> None:
    _set_five(client, 0)


def _set_one(client: Client, number: int) -> None:
    client.execute("SELECT set_config('app.tenant', %s, false)", (str(number),))


def _set_role(client: Client, number: int) -> None:
    client.execute(f"SET ROLE follower_{number}")


CASES: Sequence[Case] = (
    Case("nothing set", _nothing),
    Case("five settings, the same for all", _set_the_same_five),
    Case("one setting each, all different", _set_one),
    Case("five settings each, all different", _set_five),
    Case("a role each", _set_role),
)


def _measure(target: Target, case: Case, queries: int) -> tuple[float, float]:
    """Microseconds for a query, and of the proxy's processor time for it."""
    assert target.pid is not None
    host, port = target.address
    with ExitStack() as stack:
        clients: list[Client] = []
        for number in range(len(_VALUES[0])):
            client = psycopg.connect(host=host, port=port, dbname=DATABASE, user=USER, autocommit=True)
            clients.append(stack.enter_context(client))
            case.prepare(client, number)
        for client in clients:
            client.execute("SELECT 1")
        times = []
        before = processor_time(target.pid)
        for number in range(queries):
            client = clients[number % len(clients)]
            start = time.perf_counter()
            client.execute("SELECT 1")
            times.append(time.perf_counter() - start)
        spent = processor_time(target.pid) - before
    return median(times) * 1e6, spent.total / queries * 1e6


def main(
    queries: Annotated[int, typer.Option(min=100, help="Queries of each case.")] = 4000,
    write: Annotated[bool, typer.Option(help="Write docs/performance.md.")] = True,
) -> None:
    """Measure what following settings costs, in the worst case."""
    with start_postgresql() as backend, proxy(backend) as target:
        host, port = backend.address
        with psycopg.connect(host=host, port=port, dbname=DATABASE, user=USER, autocommit=True) as owner:
            for number in range(len(_VALUES[0])):
                owner.execute(f"CREATE ROLE follower_{number}")
        measured = [(case, *_measure(target, case, queries)) for case in track(CASES, console=console)]
        machine = describe_machine(postgresql=backend.version, pgbouncer="")
    least = measured[0]
    rows = [
        [case.name, f"{wall:.0f}", f"{wall - least[1]:+.0f}", f"{spent:.0f}", f"{spent - least[2]:+.0f}"]
        for case, wall, spent in measured
    ]
    header = ["what each of four clients has set", "query, µs", "more", "processor, µs", "more"]
    text = markdown_table(header, rows)
    show(text)
    command = command_line("following")
    if write:
        load = f"Load average {load_average():.1f}."
        write_section("following", f"{machine.markdown()}\n\n{load}\n\nTo repeat: `{command}`\n\n{text}")


if __name__ == "__main__":
    typer.run(main)
