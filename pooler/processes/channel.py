"""Messages and descriptors over a Unix socket between two processes of a node.

A frame is a length, whether a descriptor comes with it, and a msgpack value. Linux keeps the order of descriptors and
bytes: what was sent with a descriptor is never read before it.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

import msgspec

from pooler.processes.messages import Message

__all__ = ["Channel", "receive"]

logger = logging.getLogger(__name__)

MAX_FRAME: Final = 256 * 1024 * 1024
"""Bytes. Whoever sends more has gone mad: the largest are answers for the console."""

_HEAD: Final = Struct("!IB")
_CHUNK: Final = 256 * 1024
_MOST_FDS: Final = 64
_INT: Final = array.array("i").itemsize

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Message)

OnMessage = Callable[[Message, int], None]
"""Gets the message, and the descriptor that came with it, which it owns from then on; -1 if there is none."""


class Channel:
    """One end. What is sent is with the kernel when ``send`` returns, unless the other end doesn't read."""

    def __init__(self, sock: socket.socket, on_message: OnMessage, on_closed: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._on_message = on_message
        self._on_closed = on_closed
        self._received = bytearray()
        self._fds: deque[int] = deque()
        self._unsent: deque[tuple[bytes, int]] = deque()
        self.unsent_bytes = 0
        """What the other end has yet to read, beyond what the kernel takes."""
        self._loop = asyncio.get_running_loop()
        self.closed = False
        self._loop.add_reader(sock, self._on_readable)

    def send(self, message: Message, fd: int = -1) -> None:
        """Send a message, and a duplicate of this descriptor. Without effect on a channel that is closed."""
        if self.closed:
            return
        body = _encoder.encode(message)
        frame = _HEAD.pack(len(body), fd >= 0) + body
        if self._unsent:
            self._keep(frame, fd)
            return
        sent = self._try(frame, fd)
        if sent < len(frame) and not self.closed:
            self._keep(frame[sent:], -1 if sent else fd)
            self._loop.add_writer(self._socket, self._on_writable)

    def _keep(self, frame: bytes, fd: int) -> None:
        self._unsent.append((frame, os.dup(fd) if fd >= 0 else -1))
        self.unsent_bytes += len(frame)

    def close(self) -> None:
        """Hang up. ``on_closed`` is not called."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for fd in (*self._fds, *(fd for _, fd in self._unsent if fd >= 0)):
            os.close(fd)
        self._fds.clear()
        self._unsent.clear()

    def _try(self, frame: bytes, fd: int) -> int:
        """How many bytes went. The descriptor goes with the first of them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        try:
            return self._socket.sendmsg([frame], ancillary)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # Not from within the caller: it is in the midst of something.
            self._loop.call_soon(self._hang_up)
            return len(frame)

    def _on_writable(self) -> None:
        while self._unsent:
            frame, fd = self._unsent[0]
            sent = self._try(frame, fd)
            if not sent:
                return
            self.unsent_bytes -= sent
            if fd >= 0:
                os.close(fd)
            if sent < len(frame):
                self._unsent[0] = frame[sent:], -1
                return
            self._unsent.popleft()
        if not self.closed:
            self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        try:
            data, fds = receive(self._socket, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, fds = b"", []
        self._fds.extend(fds)
        if not data:
            self._hang_up()
            return
        self._received += data
        self._take_frames()

    def _take_frames(self) -> None:
        received = self._received
        position = 0
        try:
            while not self.closed and len(received) - position >= _HEAD.size:
                length, has_fd = _HEAD.unpack_from(received, position)
                assert length <= MAX_FRAME, f"a frame of {length} bytes"
                start = position + _HEAD.size
                if start + length > len(received):
                    break
                position = start + length
                message = _decoder.decode(bytes(received[start:position]))
                self._on_message(message, self._fds.popleft() if has_fd else -1)
        finally:
            del received[:position]

    def _hang_up(self) -> None:
        if not self.closed:
            self.close()
            self._on_closed()


def receive(sock: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Read bytes and the descriptors that came with them, which programs that are started do not inherit."""
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(_MOST_FDS * _INT), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            with contextlib.suppress(ValueError):
                fds.frombytes(content[: len(content) - len(content) % _INT])
    return data, list(fds)
