"""A connection of our own to a server: its messages, whole, one after the other, as fast as they are taken."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from interceptor.errors import BACKEND_LOST, BACKEND_PROTOCOL, HELPER_TIMEOUT, BackendError, ProtocolViolation
from interceptor.protocol.framing import FrameBuffer
from pooler.login import LoggedIn

__all__ = ["HIGH_WATER", "MAX_MESSAGE", "Incoming"]

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of one message, such as a row."""

HIGH_WATER: Final = 1024 * 1024
"""Bytes that may wait to be taken; then the server has to wait."""


class Incoming(asyncio.Protocol):
    """A connection that has logged in. Whoever uses it takes one message at a time."""

    def __init__(self, logged_in: LoggedIn) -> None:
        self.closed = False
        self.address: Final = logged_in.address
        self.transport: Final = logged_in.transport
        self._buffer = FrameBuffer(MAX_MESSAGE)
        self._frames: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self.failure: BackendError | None = None
        """Why there will be no more messages."""
        self._gone = asyncio.get_running_loop().create_future()
        logged_in.transport.set_protocol(self)

    async def next(self, timeout: float = 0.0) -> tuple[int, bytes]:
        """The next message: its type and its body. 0 seconds is no limit.

        Raises BackendError if there is none; then, and if the wait is broken off, the connection is cut: what came
        later would be taken for the next answer.
        """
        if not self._frames:
            await self._wait(timeout)
        kind, body = self._frames.popleft()
        self._waiting_bytes -= len(body)
        if self._paused and self._waiting_bytes < HIGH_WATER // 2 and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
        return kind, body

    async def _wait(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout or None):
                while not self._frames:
                    if self.failure is not None:
                        raise self.failure
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError:
            self.abort()
            raise BackendError(
                HELPER_TIMEOUT, f"the server at {self.address} gave no answer within {timeout:g} s"
            ) from None
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Cut the connection."""
        self.closed = True
        self.transport.abort()

    async def wait_closed(self) -> None:
        """Return once the connection has ended."""
        await self._gone

    def broken(self, what: str) -> BackendError:
        """Cut the connection, because the server sent this. The caller raises what is returned."""
        self.abort()
        return BackendError(BACKEND_PROTOCOL, f"the server at {self.address} sent {what}")

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._buffer.feed(data)
        try:
            while (frame := self._buffer.next_frame()) is not None:
                self._frames.append(frame)
                self._waiting_bytes += len(frame[1])
        except ProtocolViolation as error:
            self._fail(BackendError(BACKEND_PROTOCOL, error.message))
            self.abort()
        if self._waiting_bytes > HIGH_WATER and not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        why = f" ({exc})" if exc else ""
        self._fail(BackendError(BACKEND_LOST, f"the server at {self.address} closed the connection{why}"))
        if not self._gone.done():
            self._gone.set_result(None)
        self._wake()

    def _fail(self, error: BackendError) -> None:
        self.failure = self.failure or error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
