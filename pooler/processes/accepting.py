"""Clients of a worker: from sockets that all workers share, accepted by whoever has not clearly more than others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pooler.listening import Accept, Listening, port_of
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.processes.memory import SharedMap

__all__ = ["SharedListening"]

logger = logging.getLogger(__name__)

PAUSE: Final = 0.005
"""Seconds that a worker with more clients leaves new ones to the others. What is left then is taken by anybody."""

SLACK: Final = 4
"""So many clients more than the worker with the fewest has are no reason to stand back; nor is a sixteenth more."""

_WITHOUT_FILES: Final = 1.0
"""Seconds until accepting is tried again where the process has no descriptor left."""


class SharedListening:
    """Implements ``Listening`` for a worker."""

    def __init__(self, sockets: Sequence[socket.socket], memory: SharedMap, slot: int) -> None:
        self._sockets = list(sockets)
        self._memory = memory
        self._seat = memory.seats[slot]
        self._others = [seat for number, seat in enumerate(memory.seats) if number not in (0, slot)]
        self.coming = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stood_back = False
        self._accept: Accept | None = None

    async def start(self, accept: Accept) -> None:
        self._accept = accept
        self._listen()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stop_reading()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    @property
    def port(self) -> int:
        return port_of(self._sockets)

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return self._sockets

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.add_reader(sock, self._on_ready, sock)

    def _stop_reading(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)

    def _rest(self, seconds: float) -> None:
        self._stop_reading()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._listen)

    def _on_ready(self, sock: socket.socket) -> None:
        if not self._stood_back and self._has_more():
            self._stood_back = True
            self._rest(PAUSE)
            return
        self._stood_back = False
        try:
            client, _ = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has changed its mind
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.error(
                "no client can be accepted: %s; the limit on open files (ulimit -n) is too low", error.strerror
            )
            self._rest(_WITHOUT_FILES)
            return
        self.coming += 1
        spawn(self._welcome(client), name="a new client")

    def _has_more(self) -> bool:
        own = self._seat.clients + self.coming
        fewest = min((seat.clients for seat in self._others if seat.counts), default=own)
        return own > fewest + max(SLACK, fewest // 16)

    async def _welcome(self, client: socket.socket) -> None:
        assert self._accept is not None
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._accept, client)
        except OSError:
            client.close()
        finally:
            self.coming -= 1


if TYPE_CHECKING:

    def _listening(shared: SharedListening) -> Listening:
        return shared
