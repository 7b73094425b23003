"""What a flood of connections that mean no good does to clients at work: ``python -m bench floods``.

Eight clients take turns, one query each, while another process attacks. Their latencies and the proxy's memory are
read without an attack and with each.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.attacks import ATTACKS, BALANCER, PLAIN, STRANGER, attack
from bench.certificate import write_certificate
from bench.client import open_client, query
from bench.machine import Machine, describe_machine
from bench.processes import memory
from bench.report import command_line, markdown_table, save_json, show, write_section
from bench.summary import percentile
from bench.targets import DATABASE, USER, Backend, Target, proxy, start_postgresql

__all__ = ["main"]

_CLIENTS = 8
_QUIET = "no attack"
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Flood:
    """One attack: connections made, the others' latencies in milliseconds, bytes of private memory at its height."""

    workers: int
    name: str
    seconds: float
    connections: int
    queries: int
    p50: float
    p99: float
    longest: float
    grown: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is kept in bench/results."""

    machine: Machine
    command: str
    floods: list[Flood]


@contextmanager
def _guarded(backend: Backend, workers: int) -> Iterator[Target]:
    """A proxy whose own clients are trusted; strangers must prove who they are, and are never banned."""
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as name:
        folder = Path(name)
        rules = f"host all {USER} {PLAIN}/32 trust\nhost all all 0.0.0.0/0 scram-sha-256\n"
        (folder / "hba.conf").write_text(rules)
        (folder / "users.txt").write_text(f'"{USER}" ""\n"{STRANGER}" "right"\n')
        certificate, key = write_certificate(folder)
        settings = f"""
            workers = {workers}
            auth_hba_file = "{folder / "hba.conf"}"
            proxy_protocol_from = ["{BALANCER}/32"]
            client_tls_sslmode = "allow"
            client_tls_cert_file = "{certificate}"
            client_tls_key_file = "{key}"
            ban_failures = 0
            listen_backlog = 4096
            log_connections = false
            log_disconnections = false
        """
        with proxy(backend, settings=settings, auth="hba", auth_file=folder / "users.txt") as target:
            yield target


def _work(target: Target, seconds: float) -> list[int]:
    """Query in turn from each client, and return how long each answer took, in microseconds, the shortest first."""
    latencies = []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(open_client(target.address, user=USER, database=DATABASE, source=PLAIN))
            for _ in range(_CLIENTS)
        ]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for client in clients:
                begun = time.perf_counter_ns()
                query(client, "select 1")
                latencies.append((time.perf_counter_ns() - begun) // 1000)
    return sorted(latencies)


def _flood(target: Target, workers: int, name: str, seconds: float) -> Flood:
    assert target.pid is not None
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    before = memory(target.pid).private
    attacker = context.Process(target=attack, args=(there, name, target.address, seconds + 2), daemon=True)
    if name != _QUIET:
        attacker.start()
        time.sleep(2)  # it has begun, and holds what it will hold
    latencies = _work(target, seconds)
    grown = memory(target.pid).private - before
    connections = 0
    if name != _QUIET:
        if here.poll(60):
            connections = here.recv()
        attacker.terminate()
        attacker.join()
    p50, p99, longest = (percentile(latencies, share) / 1000 for share in (0.5, 0.99, 1.0))
    return Flood(workers, name, seconds, connections, len(latencies), p50, p99, longest, grown)


def table(floods: Sequence[Flood]) -> str:
    """All of them, a row each."""
    header = ["", "workers", "connections", "p50, ms", "p99, ms", "longest, ms", "memory, MB"]
    rows = [
        [
            one.name,
            str(one.workers),
            f"{one.connections:,}" if one.connections else "–",
            *[f"{value:.2f}" for value in (one.p50, one.p99, one.longest)],
            f"{one.grown / 1e6:+.1f}",
        ]
        for one in floods
    ]
    return markdown_table(header, rows)


def main(
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each attack.")] = 5.0,
    quick: Annotated[bool, typer.Option(help="A second each, with one worker; the page stays as it is.")] = False,
) -> None:
    """Attack the proxy in every way that needs no login, and see what its clients notice."""
    seconds = 1.0 if quick else seconds
    floods = []
    with start_postgresql() as backend:
        for workers in (1,) if quick else (1, 2):
            with _guarded(backend, workers) as target:
                _work(target, 0.5)
                for name in (_QUIET, *ATTACKS, _QUIET):
                    console.print(f"{workers} workers: {name}")
                    floods.append(_flood(target, workers, name, seconds))
                    time.sleep(1)
        machine = describe_machine(postgresql=backend.version, pgbouncer="not used")
    command = command_line("floods")
    text = "\n\n".join([f"{machine.markdown()}\n\nTo repeat: `{command}`", table(floods)])
    show(text)
    save_json("floods", Outcome(machine, command, floods))
    if not quick:
        write_section("floods", text)
