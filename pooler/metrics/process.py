"""What the operating system knows of this process."""

from __future__ import annotations

import os

__all__ = ["resident_memory"]


def resident_memory() -> int:
    """Bytes of memory that this process has in use; 0 where the system doesn't tell (proc(5), statm)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
