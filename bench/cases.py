"""The hot functions that ``bench.micro`` times: one entry in ``CASES`` for each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from interceptor.protocol.framing import FrameBuffer

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """Something to time. ``prepare`` makes the function, which does the work ``calls`` times when it is called once."""

    name: str
    prepare: Callable[[], Callable[[], object]]
    calls: int = 1
    budget_us: float | None = None


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _frame_buffer() -> Callable[[], object]:
    """A login's worth of messages from a backend, found one by one."""
    frames = b"".join(_message(b"S", b"name of a parameter\0its value\0") for _ in range(16))
    buffer = FrameBuffer(1024)

    def find_frames() -> None:
        buffer.feed(frames)
        while buffer.next_frame() is not None:
            pass

    return find_frames


CASES = (Case("a frame of a login, by FrameBuffer", _frame_buffer, calls=16),)
