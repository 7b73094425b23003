"""The listening sockets of a node, opened once for all of its processes."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from pooler.config import ServerSettings
from pooler.listening import SOCKET_MODE, port_of

__all__ = ["close_sockets", "open_sockets"]


def open_sockets(settings: ServerSettings, inherited: Sequence[socket.socket] = ()) -> list[socket.socket]:
    """Listen on all addresses of the configuration; of those that are ``inherited`` go on to do so, and close the rest.

    Raises OSError where an address can't be had; then nothing new listens.
    """
    opened: list[socket.socket] = []
    left = list(inherited)

    def take(place: object, family: int) -> socket.socket | None:
        for sock in left:
            if sock.family == family and _is_at(sock, place):
                left.remove(sock)
                sock.listen(settings.listen_backlog)
                sock.setblocking(False)
                return sock
        return None

    try:
        port = settings.listen_port
        for address in settings.listen_addr:
            for family, place in _resolve(None if address == "*" else address, port):
                opened.append(take(place, family) or _listen_tcp(family, place, settings.listen_backlog))
                port = port or port_of(opened)
        if settings.unix_socket_dir is not None:
            path = settings.unix_socket_dir / f".s.PGSQL.{port}"
            opened.append(take(str(path), socket.AF_UNIX) or _listen_unix(path, settings.listen_backlog))
    except BaseException:
        close_sockets([sock for sock in opened if sock not in inherited])
        raise
    for sock in left:
        sock.close()
    return opened


def _is_at(sock: socket.socket, place: object) -> bool:
    """Whether it listens there; at whatever port if the configuration says 0."""
    name = sock.getsockname()
    if isinstance(name, tuple) and isinstance(place, tuple) and not place[1]:
        return (name[0], *name[2:]) == (place[0], *place[2:])
    return bool(name == place)


def close_sockets(sockets: list[socket.socket], *, remove: bool = True) -> None:
    """Listen no more, and remove what was made in the file system, unless another node goes on to listen there."""
    for sock in sockets:
        if remove and sock.family == socket.AF_UNIX:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(sock.getsockname())
        sock.close()
    sockets.clear()


def _resolve(host: str | None, port: int) -> Iterable[tuple[int, tuple[str | int | bytes, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return dict.fromkeys((family, place) for family, _, _, _, place in found)


def _listen_tcp(family: int, place: tuple[str | int | bytes, ...], backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The addresses of version 4 have a socket of their own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(path: Path, backlog: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(SOCKET_MODE)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    """A socket that nobody listens on any more is in the way of a new one."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            pass  # bind says what is wrong
