"""What a figure was measured on: without it a figure says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Machine", "describe_machine", "load_average"]

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, the versions of what ran on it, and the day."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    uvloop: str
    postgresql: str
    pgbouncer: str
    commit: str
    date: str

    def markdown(self) -> str:
        """One line for people."""
        parts = [
            f"{self.date}, commit {self.commit}",
            f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB, Linux {self.kernel}",
            f"Python {self.python}, uvloop {self.uvloop}, PostgreSQL {self.postgresql}, PgBouncer {self.pgbouncer}",
        ]
        return "; ".join(parts) + "."


def describe_machine(*, postgresql: str, pgbouncer: str) -> Machine:
    """Collect what can be read here; the two versions come from those who started the servers."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        kernel=platform.release().split("-")[0],
        python=platform.python_version(),
        uvloop=_package("uvloop"),
        postgresql=postgresql,
        pgbouncer=pgbouncer,
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def load_average() -> float:
    """The load of the last minute. Above the bench's own, others were at work, and times are worth little."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _commit() -> str:
    """The commit's short name, with a word if the sources differ from it."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "interceptor", "pooler", "plugins")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name} with uncommitted changes" if changed else name


def _git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), cwd=_ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
