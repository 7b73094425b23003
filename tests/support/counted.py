"""A relay before a server that passes on so many bytes of what the server says, and then hangs up on both sides."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

__all__ = ["CountedRelay"]

_CHUNK = 1 << 16


class CountedRelay:
    """Relays to ``host:port``; ``port`` is its own. Close it, or use ``with``.

    ``budgets`` holds, for each connection to come, how many bytes of the server's it passes on; a connection for which
    there is none left is relayed to its end.
    """

    host = "127.0.0.1"

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.budgets: list[int] = []
        self.said = 0
        """Bytes that the server has said on the connection that was accepted last."""
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                budget = self.budgets.pop(0) if self.budgets else None
                threading.Thread(target=self._serve, args=(client, budget), daemon=True).start()

    def _serve(self, client: socket.socket, budget: int | None) -> None:
        with client, socket.create_connection(self._target) as server:
            forth = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            forth.start()
            self._pass_back(server, client, budget)
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            forth.join()

    def _pass_back(self, server: socket.socket, client: socket.socket, budget: int | None) -> None:
        self.said = 0
        with contextlib.suppress(OSError):
            while budget is None or budget:
                data = server.recv(_CHUNK if budget is None else min(budget, _CHUNK))
                if not data:
                    return
                client.sendall(data)
                self.said += len(data)
                budget = None if budget is None else budget - len(data)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
