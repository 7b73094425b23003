"""Thousands of connections that say nothing, held by a process of their own: descriptors are counted by process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Crowd", "crowd"]

_HOLD = """
import resource, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [socket.create_connection((host, port), 60) for _ in range(count)]
print("connected", flush=True)
sys.stdin.readline()
ended = 0
for each in held:
    each.settimeout(60)
    try:
        while each.recv(4096):
            pass
        ended += 1
    except OSError:
        ended += 1
print(ended, flush=True)
"""


class Crowd:
    """Connections that are open and silent."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def count_ended(self) -> int:
        """Wait until the peer has ended every connection, and return how many there were."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def crowd(host: str, port: int, count: int) -> Iterator[Crowd]:
    """Open ``count`` connections and keep them for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, host, str(port), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n", "the crowd could not connect"
        yield Crowd(process)
    finally:
        process.kill()
        process.communicate()
