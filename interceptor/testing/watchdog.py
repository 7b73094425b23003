"""Removes a temporary directory, and ends what runs in it, when the process that made it is gone.

An orderly end needs no help. A test run that is killed, or a demo whose terminal closes, would leave a PostgreSQL
server running for ever. Of the ways to bind a child to its parent, prctl(PR_SET_PDEATHSIG) fires when the *thread* that
forked ends and removes no files, and atexit doesn't run on a signal. A pipe has neither fault: the kernel closes it
however its owner dies, and a small shell that reads the other end does the rest.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["Watchdog"]

# What runs in the directory is found by its working directory: a pid read from a file may be
# somebody else's by now. SIGCONT comes first because a stopped process acts on nothing but SIGKILL.
_SCRIPT = r"""
base=$1
read -r word
if [ "$word" = dismissed ]; then exit 0; fi
running() {
    # One ls for all processes: a readlink for each takes seconds where there are many.
    ls -ln /proc/[0-9]*/cwd 2>/dev/null | while read -r line; do
        case "$line" in
            *" -> $base"|*" -> $base/"*) line=${line##*/proc/}; echo "${line%%/*}" ;;
        esac
    done
}
for signal in CONT QUIT KILL; do
    pids=$(running)
    if [ -z "$pids" ]; then break; fi
    kill -s "$signal" $pids 2>/dev/null
    if [ "$signal" = CONT ]; then continue; fi
    tries=0
    while [ $tries -lt 50 ] && [ -n "$(running)" ]; do sleep 0.1; tries=$((tries + 1)); done
done
rm -rf "$base"
"""


class Watchdog:
    """Watch over ``directory`` from now on. The caller dismisses it after an orderly clean-up."""

    def __init__(self, directory: Path) -> None:
        # A session of its own: Ctrl-C in the terminal must reach the owner, not this.
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "watchdog", str(directory)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        # A forked child that outlives us would keep the pipe open.
        self._owner = os.getpid()
        os.register_at_fork(after_in_child=self._forget)

    @property
    def pid(self) -> int:
        return self._process.pid

    def dismiss(self) -> None:
        """End the watch, leaving the directory alone. Does nothing the second time, or in a forked child."""
        if self._pipe.closed or os.getpid() != self._owner:
            return
        try:
            self._pipe.write(b"dismissed\n")
            self._pipe.close()
        except BrokenPipeError:
            pass  # somebody killed it; there is nothing left to dismiss
        self._process.wait()

    def _forget(self) -> None:
        if not self._pipe.closed:
            self._pipe.close()
