"""Runs of pgbench against one target, and what the processes spent on them."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from bench.machine import load_average
from bench.processes import ProcessorTime, machine_busy, processor_time
from bench.targets import DATABASE, USER, Backend, Target

__all__ = ["MODES", "PerQuery", "Run", "RunFailed", "Runner", "fill", "read_latencies"]

MODES = ("simple", "extended", "prepared")
_GRACE = 30.0  # seconds beyond the run's own, after which it counts as hung


class RunFailed(Exception):
    """pgbench failed or hung; the text says how."""


@dataclass(frozen=True, slots=True)
class PerQuery:
    """Microseconds of processor time per transaction; ``system`` is the kernel's part of ``total``."""

    total: float
    system: float


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of pgbench gave. Latencies are in milliseconds, ``latencies_us`` in microseconds and unsorted.

    ``others`` is the share of all processors that went to what is no part of the run.
    """

    target: str
    mode: str
    clients: int
    turn: int
    transactions: int
    tps: float
    latency_ms: float
    pooler: PerQuery | None
    postgresql: PerQuery
    load: float
    others: float
    latencies_us: list[int] = field(default_factory=list, repr=False)


def fill(backend: Backend, scale: int) -> None:
    """Make pgbench's tables, 100,000 accounts for each unit of ``scale``."""
    host, port = backend.address
    place = ["-h", host, "-p", str(port), "-U", USER]
    command = [str(backend.pgbench), "-i", "-q", "-s", str(scale), "--unlogged-tables", *place, DATABASE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pgbench -i failed: {done.stderr.strip()[-500:]}")


@dataclass(frozen=True, slots=True)
class _Spent:
    """Processor time of both sides; the pooler's is None where there is no pooler."""

    pooler: ProcessorTime | None
    postgresql: ProcessorTime

    def __sub__(self, other: _Spent) -> _Spent:
        pooler = None if self.pooler is None or other.pooler is None else self.pooler - other.pooler
        return _Spent(pooler, self.postgresql - other.postgresql)

    @property
    def total(self) -> float:
        return self.postgresql.total + (self.pooler.total if self.pooler else 0.0)

    def per_query(self, transactions: int) -> tuple[PerQuery | None, PerQuery]:
        def share(spent: ProcessorTime) -> PerQuery:
            return PerQuery(max(0.0, spent.total) * 1e6 / transactions, max(0.0, spent.system) * 1e6 / transactions)

        return (None if self.pooler is None else share(self.pooler)), share(self.postgresql)


@dataclass(frozen=True, slots=True)
class _LogIns:
    """What it takes to log in so many clients, run one query each, and leave."""

    seconds: float
    spent: _Spent


def _instruments() -> float:
    """Seconds of processor time of this process and of every pgbench that it ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Runner:
    """Runs pgbench, and knows for each target and number of clients what the log-ins alone cost.

    PostgreSQL forks for each client, so with 200 of them a short run would measure little else.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._log_ins: dict[tuple[str, int], _LogIns] = {}

    def run(
        self,
        target: Target,
        *,
        mode: str,
        clients: int,
        seconds: int,
        turn: int = 0,
        each_latency: bool = False,
        script: str = "",
    ) -> Run:
        """Run ``pgbench -S`` for ``seconds`` with at most two threads. ``each_latency`` keeps every transaction's time;
        ``script`` is what to run instead of its own.

        Raises: RunFailed.
        """
        load = load_average()
        log_ins = self._log_ins_of(target, clients)
        with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
            # pgbench's clock starts before the clients connect.
            options = ["-M", mode, "-T", str(seconds + ceil(log_ins.seconds))]
            if each_latency:
                options += ["-l", "--log-prefix", f"{directory}/log"]
            if script:
                Path(directory, "script.sql").write_text(script)
                options += ["-f", f"{directory}/script.sql"]
            spent, others, said = self._pgbench(target, clients, options, seconds)
            latencies = read_latencies(Path(directory).glob("log*")) if each_latency else []
        transactions = int(_number(r"number of transactions actually processed: (\d+)", said))
        if not transactions:
            raise RunFailed("not one transaction was processed")
        tps = _number(r"tps = ([\d.]+) \(without initial connection time\)", said)
        pooler, postgresql = (spent - log_ins.spent).per_query(transactions)
        return Run(
            target=target.name,
            mode=mode,
            clients=clients,
            turn=turn,
            transactions=transactions,
            tps=tps,
            latency_ms=clients / tps * 1000,  # as pgbench has it, with more digits than it prints
            pooler=pooler,
            postgresql=postgresql,
            load=load,
            others=others,
            latencies_us=latencies,
        )

    def _log_ins_of(self, target: Target, clients: int) -> _LogIns:
        """Measured on the second try, when the pool is full."""
        key = (target.name, clients)
        if key not in self._log_ins:
            for _ in range(2):
                spent, _, said = self._pgbench(target, clients, ["-t", "1"], 0)
                seconds = _number(r"initial connection time = ([\d.]+) ms", said) / 1000
                self._log_ins[key] = _LogIns(seconds, spent)
        return self._log_ins[key]

    def _pgbench(self, target: Target, clients: int, options: list[str], seconds: int) -> tuple[_Spent, float, str]:
        """Run it once, and return what was spent meanwhile, the others' share of the machine, and what it printed."""
        host, port = target.address
        which = [] if "-f" in options else ["-S"]
        command = [str(self._backend.pgbench), *which, "-n", "-c", str(clients), "-j", str(min(2, clients))]
        command += ["-h", host, "-p", str(port), "-U", USER, *options, DATABASE]
        before = self._spent(target)
        instruments, busy, start = _instruments(), machine_busy(), time.monotonic()
        limit = seconds + _GRACE
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise RunFailed(f"did not end within {limit:.0f} s") from error
        if done.returncode or "aborted" in done.stderr:
            raise RunFailed(done.stderr.strip()[-500:] or f"pgbench ended with code {done.returncode}")
        spent = self._spent(target) - before
        ours = spent.total + _instruments() - instruments
        capacity = (time.monotonic() - start) * (os.cpu_count() or 1)
        return spent, max(0.0, machine_busy() - busy - ours) / capacity, done.stdout

    def _spent(self, target: Target) -> _Spent:
        """What was spent so far, read at rest: the backends of a direct run end a while after pgbench."""
        earlier = processor_time(self._backend.pid)
        for _ in range(20):
            time.sleep(0.05)
            now = processor_time(self._backend.pid)
            if abs((now - earlier).total) < 0.002:
                break
            earlier = now
        return _Spent(None if target.pid is None else processor_time(target.pid), now)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RunFailed(f"pgbench printed no line like {pattern!r}: {text[-300:]}")
    return float(found[1])


def read_latencies(logs: Iterable[Path]) -> list[int]:
    """The third column of pgbench's transaction logs: microseconds from sending a transaction to its answer."""
    latencies: list[int] = []
    for log in logs:
        with log.open() as lines:
            latencies.extend(int(line.split(" ", 3)[2]) for line in lines)
    return latencies
