"""Processes of the proxy that don't begin with half a second of imports.

``python -m pooler`` spends most of a start on importing, and the suite starts hundreds. So they are forked from one
process that has imported the proxy, as its own parent process forks the workers. Otherwise such a process is what
``python -m pooler`` would be: it has a command line, an environment and a log of its own. Tests of the command line
itself, and of what ends before it serves, start Python.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

__all__ = ["WarmProcess", "start_warm"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pooler.cli"])


class WarmProcess:
    """A process of the proxy: what tests need of a ``subprocess.Popen``."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self._process = process
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, if it has ended; negative for the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, as soon as it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("pooler", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def start_warm(arguments: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> WarmProcess:
    """Start ``python -m pooler`` with these arguments in a folder. What it writes goes into a new file."""
    log.touch()
    process = _context.Process(target=_run, args=(list(arguments), str(log), dict(environment), str(folder)))
    process.start()
    return WarmProcess(process)


def _run(arguments: list[str], log: str, environment: dict[str, str], folder: str) -> None:
    from pooler.cli import main

    output = os.open(log, os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # whatever the first process wrote to
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = ["interceptor", *arguments]
    main()
