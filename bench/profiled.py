"""The proxy with a sampler inside: ``python -m bench.profiled FILE serve --config ...``; see bench/hotspots.py.

The kernel interrupts it after some milliseconds of its own processor time (ITIMER_PROF), whatever else the machine
does: a sampler from outside takes a process that waits for a processor for one that works. SIGRTMIN begins the
sampling, and the next one ends it and writes the stacks to FILE, folded, one on each line.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from pooler.cli import main

__all__ = ["SIGNAL"]

SIGNAL = signal.SIGRTMIN
_INTERVAL = 0.001  # seconds; the kernel rounds it up to its tick
_stacks: Counter[tuple[tuple[str, str, int], ...]] = Counter()


def _sample(_signal: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append((code.co_qualname, code.co_filename, frame.f_lineno))
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _switch(_signal: int, _frame: FrameType | None) -> None:
    if signal.getitimer(signal.ITIMER_PROF)[0] == 0:
        _stacks.clear()
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
        return
    signal.setitimer(signal.ITIMER_PROF, 0)
    lines = []
    for stack, count in _stacks.items():
        names = (f"{name} ({'/'.join(Path(file).parts[-2:])}:{line})" for name, file, line in reversed(stack))
        lines.append(";".join(names) + f" {count}\n")
    partial = _OUTPUT.with_suffix(".partial")
    partial.write_text("".join(lines))
    partial.rename(_OUTPUT)  # so that whoever waits for it finds it whole


if __name__ == "__main__":
    _OUTPUT = Path(sys.argv.pop(1))
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(SIGNAL, _switch)
    main()
