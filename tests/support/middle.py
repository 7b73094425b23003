"""Somebody in the middle of an encrypted connection."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import Self

__all__ = ["Middle"]


class Middle:
    """Ends the TLS of clients with a certificate of its own, and passes all on over TLS to ``target``. Use ``with``."""

    def __init__(self, target: tuple[str, int], certificate: str, key: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            server.sendall(client.recv(8))
            client.sendall(server.recv(1))
            careless = ssl.create_default_context()
            careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
            ends = {self._context.wrap_socket(client, server_side=True): careless.wrap_socket(server)}
            ends |= {one: other for other, one in ends.items()}
            for end in ends:
                end.setblocking(False)
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        data = end.recv(1 << 16)
                        if not data:
                            for other in ends:
                                other.close()
                            return
                        ends[end].sendall(data)
