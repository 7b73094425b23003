"""What is read from /proc about processes that are known to have done something."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import memory, processor_time, slab_bytes, tree


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed a line, and ends when its standard input does."""
    command = [sys.executable, "-c", f"{code}\nprint('done', flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process
        process.stdin.write("\n")


_BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_processor_time_has_what_a_process_used() -> None:
    with python(_BURN) as process:
        spent = processor_time(process.pid)
    assert spent.total >= 0.3
    assert 0 <= spent.system <= spent.total


def test_processor_time_has_what_dead_children_used() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BURN!r}])"
    with python(code) as process:
        assert tree(process.pid) == [process.pid]
        assert processor_time(process.pid).total >= 0.29  # counted in ticks of 10 ms


def test_the_tree_has_grandchildren_and_their_time_counts() -> None:
    grandchild = f"{_BURN}\nprint('done', flush=True)\ninput()"
    code = (
        "import os, subprocess, sys\n"
        f"command = [sys.executable, '-c', {grandchild!r}]\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    with python(code) as process:
        found = tree(process.pid)
        assert len(found) == 2
        assert found[0] == process.pid
        assert set(found) <= set(tree(os.getpid()))  # where the second is a grandchild
        assert processor_time(process.pid).total >= 0.3


def test_memory_has_what_a_process_filled() -> None:
    size = 64 * 2**20
    with python("kept = None") as small, python(f"kept = bytes([1]) * {size}") as large:
        more = memory(large.pid) - memory(small.pid)
    assert 0.9 * size < more.private < 1.2 * size
    assert 0.9 * size < more.pss < 1.2 * size
    assert 0.9 * size < more.rss < 1.2 * size


def test_the_kernels_own_memory_is_the_sum_of_its_two_kinds() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kinds = [int(line.split()[1]) * 1024 for line in lines if line.startswith(("SReclaimable:", "SUnreclaim:"))]
    assert len(kinds) == 2
    assert 0.8 * sum(kinds) < slab_bytes() < 1.25 * sum(kinds)  # others on the machine change it meanwhile
