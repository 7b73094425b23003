"""Frames: where a message begins and ends in a stream of bytes.

The forwarding path finds frames by offset, in place (interceptor/session). ``FrameBuffer`` is for the parts of a
conversation that are not hot: logging in, and what is said to a backend that has no client.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from interceptor.errors import MESSAGE_TOO_LARGE, ProtocolViolation

_HEADER: Final = Struct("!BI")

HEADER_SIZE: Final = 5
pack_header: Final = _HEADER.pack
"""The five bytes before a body."""
unpack_header: Final = _HEADER.unpack_from
"""Type and length at an offset. The length counts itself (4 bytes) and the body, but not the type."""


class FrameBuffer:
    """Collects bytes and gives whole frames, none larger than ``limit`` bytes of body."""

    __slots__ = ("_data", "_limit", "_position")

    def __init__(self, limit: int) -> None:
        self._data = b""
        self._limit = limit
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Add what came from the socket."""
        self._data = self._data[self._position :] + data
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes that are here and not taken yet."""
        return len(self._data) - self._position

    def next_frame(self) -> tuple[int, bytes] | None:
        """The next frame's type and body, or None until more has come. Raises ProtocolViolation."""
        data = self._data
        start = self._position
        if len(data) - start < HEADER_SIZE:
            return None
        kind, length = unpack_header(data, start)
        if length < 4:
            raise ProtocolViolation("invalid message length")
        if length - 4 > self._limit:
            raise ProtocolViolation(
                f"message of {length} bytes where at most {self._limit + 4} are allowed", failure=MESSAGE_TOO_LARGE
            )
        end = start + length + 1
        if len(data) < end:
            return None
        self._position = end
        return kind, data[start + HEADER_SIZE : end]

    def take_rest(self) -> bytes:
        """What has come and is no whole frame yet; the buffer is empty afterwards."""
        rest = self._data[self._position :]
        self._data = b""
        self._position = 0
        return rest
