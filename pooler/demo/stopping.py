"""Being told to stop: by Ctrl-C, by a signal, or by the terminal that closes."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

__all__ = ["StopRequest", "Stopped"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The demo was told to stop."""


class StopRequest:
    """Takes note of SIGINT, SIGTERM and SIGHUP, from its making until the process ends.

    Nothing is raised where a signal strikes: between the start of a process and the line that notes its number, that
    would leave the process behind. The demo asks between its steps. Later signals change nothing, since what is left to
    do then is to tidy up, and hurrying it would leave things behind. Only the main thread may make one.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._read, self._write = os.pipe()
        for number in _SIGNALS:
            # nohup means that the demo outlives its terminal.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @property
    def received(self) -> signal.Signals | None:
        """The first signal that came."""
        return self._signal

    def check(self) -> None:
        """Raise Stopped if the demo was told to stop."""
        if self._signal is not None:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait so long at most. Raises Stopped as soon as the demo is told to stop."""
        select.select([self._read], [], [], seconds)
        self.check()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is None:
            self._signal = signal.Signals(number)
            os.write(self._write, b"!")
