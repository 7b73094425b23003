"""Looking at processes through /proc, and tidying up after those that were killed."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["child_pids", "own_environment", "remove_shared_memory", "signal_all", "wait_until_gone"]

_IPC_RMID = 0  # <sys/ipc.h>


def _stat(pid: int | str) -> tuple[str, int] | None:
    """State letter and parent of a process (proc(5)), None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text.rpartition(") ")[2].split()[:2]  # the name before it may hold blanks and parentheses
    return state, int(parent)


def child_pids(parent: int) -> list[int]:
    """Return the live children of a process."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    stats = {pid: _stat(pid) for pid in pids}
    return sorted(pid for pid, stat in stats.items() if stat is not None and stat[1] == parent and stat[0] != "Z")


def wait_until_gone(pids: Sequence[int], timeout: float = 10.0) -> None:
    """Wait until none of these processes runs. ``timeout`` is in seconds; raises TimeoutError."""
    deadline = time.monotonic() + timeout
    # A zombie counts as gone: in a container, the process that inherits orphans may never collect them.
    while left := [pid for pid in pids if (stat := _stat(pid)) is not None and stat[0] != "Z"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} are still there after {timeout:g} seconds")
        time.sleep(0.005)


def remove_shared_memory(data_directory: Path) -> None:
    """Remove the System V segment that a killed PostgreSQL left behind; one that stopped by itself left none.

    The caller has made sure that none of its processes is alive.
    """
    try:
        line = (data_directory / "postmaster.pid").read_text().splitlines()[6]
    except (FileNotFoundError, IndexError):
        return
    segment = int(line.split()[1])  # key and id; miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY
    ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)


def own_environment() -> dict[str, str]:
    """The environment for a server of our own: PGPORT, PGDATA and the like of the caller are about another."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def signal_all(which: signal.Signals, pids: Sequence[int]) -> None:
    """Send a signal to those of these processes that there are."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, which)
