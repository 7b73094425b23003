"""A benchmark leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Prints the pids of the servers that it started, then waits.
_SCRIPT = """
from bench.targets import find_pgbouncer, pgbouncer, start_postgresql
with start_postgresql() as backend, pgbouncer(backend, find_pgbouncer()) as target:
    print(backend.pid, target.pid, flush=True)
    input()
"""


@pytest.mark.needs_pgbouncer
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_the_benchmark(ending: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT]
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path.cwd()), "PATH": "/usr/sbin:/usr/bin:/bin"}
    tmp_path.chmod(0o755)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        process.send_signal(ending)
        assert process.wait(timeout=30) != 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("interceptor-bench-*"))
