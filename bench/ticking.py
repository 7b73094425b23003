"""The proxy with a clock inside: ``python -m bench.ticking FILE serve --config ...``; see bench/plugins.py.

While it is switched on (SIGRTMIN), a callback runs in each turn of the loop, and notes how much processor time the
others took since it ran last: so long they kept everybody waiting. The next signal writes the longest to FILE, in
seconds. Processor time, as others may take the processor away from us for longer than that.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from pooler.cli import main
from pooler.clock import Clock

__all__ = ["SIGNAL"]

SIGNAL = signal.SIGRTMIN


class _Ticker:
    def __init__(self, output: Path) -> None:
        self._output = output
        self._wanted = False
        self._running = False
        self._last = self._longest = 0.0

    def switch(self, _signal: int, _frame: FrameType | None) -> None:
        self._wanted = not self._wanted

    def look(self) -> None:
        """Called from within the loop, some times a second."""
        if self._wanted and not self._running:
            self._running = True
            self._longest = 0.0
            self._last = time.thread_time()
            self._output.with_suffix(".on").touch()
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        now = time.thread_time()
        self._longest = max(self._longest, now - self._last)
        if self._wanted:
            self._last = time.thread_time()
            asyncio.get_running_loop().call_soon(self._tick)
            return
        self._running = False
        partial = self._output.with_suffix(".partial")
        partial.write_text(str(self._longest))
        self._output.with_suffix(".on").unlink()
        partial.rename(self._output)  # so that whoever waits for it finds it whole


if __name__ == "__main__":
    _ticker = _Ticker(Path(sys.argv.pop(1)))
    signal.signal(SIGNAL, _ticker.switch)
    _really = Clock.tick

    def _tick(clock: Clock) -> float:
        _ticker.look()
        return _really(clock)

    setattr(Clock, "tick", _tick)  # noqa: B010 - a method is replaced
    main()
