"""A TCP relay between the proxy and PostgreSQL that delays, stalls, cuts or refuses on command."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

__all__ = ["CutRelay"]

_CHUNK = 1 << 16
_CANCEL = struct.pack("!I", 80877102)
_LINGER_RESET = struct.pack("ii", 1, 0)


class CutRelay:
    """Passes bytes on to ``host:port``; ``port`` is its own. Close it, or use ``with``."""

    host = "127.0.0.1"

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flow = threading.Event()
        self._flow.set()
        self._cancel_flow = threading.Event()
        self._cancel_flow.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._cancels: set[socket.socket] = set()
        self._delay = 0.0
        self.cancels_seen = 0
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept, self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.flow()
        self.release_cancels()
        self.cut()

    # What may be done to it

    def stall(self) -> None:
        """Pass nothing on, in either direction; connections stay open, and new ones are accepted."""
        self._flow.clear()

    def flow(self) -> None:
        """Undo ``stall``."""
        self._flow.set()

    def slow(self, seconds: float) -> None:
        """Let each piece of data wait so long, in either direction, before it is passed on; 0 undoes it."""
        self._delay = seconds

    def hold_cancels(self) -> None:
        """Keep cancel requests back; everything else passes."""
        self._cancel_flow.clear()

    def release_cancels(self) -> None:
        """Let the cancel requests go that were kept back, also those whose sender has given up."""
        self._cancel_flow.set()

    def cut(self) -> None:
        """End all connections at once, as a crash of the machine behind would: both ends get a reset."""
        self._end(self._sockets)

    def cut_others(self) -> None:
        """As ``cut``, but the connections of cancel requests stay."""
        self._end(self._sockets - self._cancels)

    def refuse(self) -> None:
        """Listen no more: connections are refused. Those that are open stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def accept(self) -> None:
        """Undo ``refuse``."""
        self._listener = socket.create_server((self.host, self.port), backlog=128)
        self._start(self._accept, self._listener)

    # How it works: one thread for each direction of each connection

    def _start(self, function: object, *arguments: object) -> None:
        assert callable(function)
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _end(self, sockets: set[socket.socket]) -> None:
        with self._lock:
            for each in sockets:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        with self._lock:
            self._sockets |= {client, server}
        back = threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True)
        back.start()
        self._pass_on(client, server, True)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, first: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if first and data[4:8] == _CANCEL:
                    self._cancels |= {source, sink}
                    self.cancels_seen += 1
                    self._cancel_flow.wait()
                first = False
                self._flow.wait()
                if self._delay:
                    time.sleep(self._delay)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
