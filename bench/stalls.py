"""How long one text of SQL keeps all other clients waiting, where plugins want to know what it is."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.client import ServerSaid, open_client, query, run_extended
from bench.report import markdown_table
from bench.rulesets import rules_of
from bench.targets import DATABASE, USER, Backend, Target, proxy
from bench.texts import HOSTILE
from bench.ticking import SIGNAL

__all__ = ["Stall", "measure_stalls", "table_of_stalls"]

BUDGET_MS = 5.0


@dataclass(frozen=True, slots=True)
class Stall:
    """The longest turn of the proxy's loop while it dealt with a text, in milliseconds of processor time."""

    text: str
    size: int
    simple: float
    extended: float


def measure_stalls(backend: Backend) -> list[Stall]:
    """Send each hostile text twice, the second time known, and note the longest turn."""
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
        output = Path(directory) / "longest"
        module = ("bench.ticking", str(output))
        with proxy(backend, name="ticking", rules=rules_of(10), module=module) as target:
            _measure(target, output, "SELECT 1", query)
            return [
                Stall(title, len(sql), *[_measure(target, output, sql, run) for run in (query, run_extended)])
                for title, sql in HOSTILE.items()
            ]


def _measure(target: Target, output: Path, sql: str, run: Callable[[socket.socket, str], None]) -> float:
    assert target.pid is not None
    with open_client(target.address, user=USER, database=DATABASE) as client:
        os.kill(target.pid, SIGNAL)
        _wait_for(output.with_suffix(".on"))
        for _ in range(2):
            with suppress(ServerSaid):
                run(client, sql)
        os.kill(target.pid, SIGNAL)
        _wait_for(output)
    longest = float(output.read_text())
    output.unlink()
    return longest * 1000


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError("the proxy did not answer the signal")
        time.sleep(0.02)


def table_of_stalls(stalls: list[Stall]) -> str:
    """One line for each text."""
    rows = [
        [
            one.text,
            f"{one.size:,}",
            f"{one.simple:.1f}",
            f"{one.extended:.1f}",
            "kept" if max(one.simple, one.extended) <= BUDGET_MS else "**missed**",
        ]
        for one in stalls
    ]
    header = ["longest turn of the loop, ms", "bytes", "simple", "extended", f"≤ {BUDGET_MS:.0f} ms"]
    return markdown_table(header, rows)
