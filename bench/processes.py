"""Processor time and memory of a process and all below it, read from Linux's /proc."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "ProcessorTime", "machine_busy", "memory", "processor_time", "slab_bytes", "tree"]

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds of processor time. ``system`` is the kernel's part of ``total``."""

    total: float
    system: float

    def __sub__(self, earlier: ProcessorTime) -> ProcessorTime:
        return ProcessorTime(self.total - earlier.total, self.system - earlier.system)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory. ``pss`` divides shared pages among those who share them; ``private`` leaves them out."""

    rss: int
    pss: int
    private: int

    def __sub__(self, earlier: Memory) -> Memory:
        return Memory(self.rss - earlier.rss, self.pss - earlier.pss, self.private - earlier.private)


def tree(root: int) -> list[int]:
    """The process ``root`` and every descendant that lives now, root first."""
    found = [root]
    for pid in found:  # grows while we walk it
        with suppress(FileNotFoundError, ProcessLookupError):  # the process ended meanwhile
            for task in os.listdir(f"/proc/{pid}/task"):
                found.extend(map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()))
    return found


def processor_time(root: int) -> ProcessorTime:
    """Processor time of ``root``, its descendants, and the children that they have outlived.

    A child that ends during the reading may be missed or counted twice: read while the tree is at rest.
    """
    total = system = 0.0
    for pid in tree(root):
        try:
            # The command's name may hold spaces and parentheses, so the fields count from the last one.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            own = time.clock_gettime(_clock_of(pid))
        except OSError:
            continue  # it ended since the listing
        # proc(5): utime, stime, cutime and cstime are fields 14 to 17; the state, field 3, is the first here.
        _, kernel, reaped_user, reaped_kernel = (int(ticks) * _TICK for ticks in fields[11:15])
        total += own + reaped_user + reaped_kernel
        system += kernel + reaped_kernel
    return ProcessorTime(total, system)


def machine_busy() -> float:
    """Seconds that all processors together have worked since boot, or wanted to but were kept from by the host."""
    # proc(5): cpu user nice system idle iowait irq softirq steal. What an interrupt does is nobody's in particular.
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (ticks[0] + ticks[1] + ticks[2] + ticks[7]) * _TICK


def _clock_of(pid: int) -> int:
    """The clock of a process' processor time: nanoseconds, where /proc has ticks of 10 ms.

    It is what clock_getcpuclockid(3) returns: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of Linux's posix-timers.
    """
    return (~pid << 3) | 2


def memory(root: int) -> Memory:
    """Memory of ``root`` and its descendants. Needs the right to read their smaps: the same user, or root."""
    rss = pss = private = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended since the listing
        for line in lines[1:]:
            name, _, rest = line.partition(":")
            size = int(rest.split()[0]) * _KIB
            if name == "Rss":
                rss += size
            elif name == "Pss":
                pss += size
            elif name in ("Private_Clean", "Private_Dirty"):
                private += size
    return Memory(rss, pss, private)


def slab_bytes() -> int:
    """The kernel's own objects (sockets, descriptors, directory entries) on the whole machine, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * _KIB
    raise AssertionError("/proc/meminfo has no line Slab")
