"""Backends whose worker is dead or has let go of them: ended by the control, and watched until the server has.

The control has a duplicate of each backend's socket. PostgreSQL leaves its slot before it closes the connection, so the
end of the stream proves that the permit is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from interceptor.errors import BackendError
from pooler.cancel import send_cancel
from pooler.login import BackendAddress
from pooler.processes.messages import Opened
from pooler.tasks import Handle, spawn

__all__ = ["Orphan", "discard"]

logger = logging.getLogger(__name__)

CANCEL_EVERY: Final = 1.0
"""Seconds between two cancel requests: what ran is canceled by the first, unless it had not begun."""

_CHUNK: Final = 256 * 1024


class Orphan:
    """One backend that has no worker."""

    def __init__(self, opened: Opened, address: BackendAddress, fd: int, on_ended: Callable[[], None]) -> None:
        """Takes the descriptor, ends the connection, and calls ``on_ended`` when the server has ended it too.

        ``address``: where to send cancel requests, and how.
        """
        self._opened = opened
        self._address = address
        self._on_ended = on_ended
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):  # the server was faster
            self._socket.shutdown(socket.SHUT_WR)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._on_readable)
        self._cancels: Handle = spawn(self._cancel(), name=f"end of backend {opened.process_id}")

    def close(self) -> None:
        """Watch no longer."""
        self._loop.remove_reader(self._socket)
        self._cancels.cancel()
        self._socket.close()

    def _on_readable(self) -> None:
        # What it still says was for somebody who is gone.
        try:
            if self._socket.recv(_CHUNK):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass  # it has reset the connection, so it has ended too
        self.close()
        self._on_ended()

    async def _cancel(self) -> None:
        opened = self._opened
        while opened.process_id:
            try:
                await send_cancel(self._address, opened.process_id, opened.secret, CANCEL_EVERY)
            except BackendError as error:
                logger.warning("cancel request to %s failed: %s", self._address, error)
            await asyncio.sleep(CANCEL_EVERY)


def discard(fd: int) -> None:
    """Let go of a duplicate."""
    if fd >= 0:
        os.close(fd)
