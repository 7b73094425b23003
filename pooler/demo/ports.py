"""The ports that people know PostgreSQL and its poolers by, where they are free."""

from __future__ import annotations

import socket

from interceptor.testing.postgres import PostgresServer, PostgresServerError, free_port

__all__ = ["choose_port", "is_free", "move_to_port"]


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1 at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT can be had
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_port(preferred: int) -> int:
    """Return ``preferred`` if it is free, else some other port that is."""
    return preferred if is_free(preferred) else free_port()


def move_to_port(server: PostgresServer, port: int) -> None:
    """Have a running server listen on this port if it is free; otherwise the server stays where it is.

    It is restarted for that, which ends the connections to it.
    """
    if not is_free(port):
        return
    before = server.port
    server.port = port
    try:
        server.restart()
    except PostgresServerError:  # somebody was quicker
        server.port = before
        server.restart()
