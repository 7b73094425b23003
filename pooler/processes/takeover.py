"""How a new node gets the listening sockets of the one that it replaces: over a Unix socket.

What is said: the new parent connects; the old one sends its sockets and a connection to its control; the new one
starts, says GO, and the old one takes no more clients. Whoever hangs up before GO has changed nothing.
"""

from __future__ import annotations

import array
import contextlib
import logging
import os
import select
import socket
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pooler.processes.channel import receive

__all__ = [
    "GO",
    "Handover",
    "NobodyThere",
    "TakeoverRefused",
    "accept_successor",
    "ask_for_handover",
    "call_off",
    "check_not_called_off",
    "hand_over",
    "offer",
    "say_go",
    "withdraw",
]

logger = logging.getLogger(__name__)

GO: Final = b"go"
_HELLO: Final = b"interceptor takeover 1"
_SOCKET: Final = "takeover.sock"
_PATIENCE: Final = 10.0
"""Seconds that the other parent has for an answer."""
_PATIENCE_WITH_STRANGERS: Final = 1.0
"""Seconds in which one that connects has to say what it is; meanwhile nothing else is looked at."""
_CALLED_OFF: Final = b"no"
_UNANSWERED: Final = (
    "the node that runs did not answer. Another process may be about to take its place: then try again when that one "
    "serves, or has given up."
)
_WHY_CALLED_OFF: Final = "the control of the node that runs has died meanwhile, and is replaced. Try again."
_MOST: Final = 60
"""Sockets in one message; the kernel takes 253."""


class NobodyThere(Exception):
    """There is no node to take over from."""


class TakeoverRefused(Exception):
    """There is one, and it hands nothing over."""


@dataclass
class Handover:
    """What the old node has given."""

    connection: socket.socket
    """To the old parent."""
    to_control: socket.socket
    """To the old control."""
    sockets: list[socket.socket]
    """The listening ones."""
    slate: int = -1
    """The memory in which its workers write down what they define; -1 if it has none."""


def offer(directory: Path) -> socket.socket:
    """Be there for a successor. In the place of whoever was there before: that one has handed over, or is dead."""
    path = directory / _SOCKET
    fresh = directory / f"{_SOCKET}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        fresh.unlink(missing_ok=True)
        sock.bind(str(fresh))
        sock.listen(1)
        sock.setblocking(False)
        fresh.rename(path)
    except BaseException:
        sock.close()
        raise
    return sock


def withdraw(sock: socket.socket, directory: Path) -> None:
    """Be there no longer, and leave nothing behind."""
    with contextlib.suppress(OSError):
        (directory / _SOCKET).unlink()
    sock.close()


# --- The old one -----------------------------------------------------------------------------------------------------


def accept_successor(offered: socket.socket) -> socket.socket | None:
    """A new parent that wants to take over; None for anybody else."""
    try:
        connection, _ = offered.accept()
    except OSError:
        return None
    connection.settimeout(_PATIENCE_WITH_STRANGERS)
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    try:
        if uid in (0, os.getuid()) and connection.recv(len(_HELLO)) == _HELLO:
            logger.info("process %d is about to take over", pid)
            return connection
    except OSError:
        pass
    logger.warning("process %d of user %d asked to take over, and is not entitled to", pid, uid)
    connection.close()
    return None


def hand_over(
    connection: socket.socket, sockets: Sequence[socket.socket], to_control: socket.socket, slate: int
) -> None:
    """Send the listening sockets, a connection to the control, and the file ``slate``. Raises OSError."""
    files = [to_control.fileno(), *(sock.fileno() for sock in sockets), slate]
    assert len(files) <= _MOST
    connection.sendmsg([_HELLO], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])


def call_off(connection: socket.socket) -> None:
    """Go on after all: what the new node's control was told holds no more."""
    with contextlib.suppress(OSError):
        connection.send(_CALLED_OFF)


# --- The new one -----------------------------------------------------------------------------------------------------


def ask_for_handover(directory: Path) -> Handover:
    """Get everything from the node that runs. Raises NobodyThere, and TakeoverRefused where it does not answer."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(_PATIENCE)
    try:
        try:
            connection.connect(str(directory / _SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NobodyThere from None
        connection.send(_HELLO)
        said, files = receive(connection, len(_HELLO))
        if said != _HELLO or not files:
            raise TakeoverRefused(_UNANSWERED)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            raise TakeoverRefused(_UNANSWERED) from error
        raise
    # A node that was started before there were slates sends none.
    *rest, last = files
    slate = -1 if stat.S_ISSOCK(os.fstat(last).st_mode) else last
    to_control, *sockets = (socket.socket(fileno=file) for file in (files if slate < 0 else rest))
    return Handover(connection, to_control, sockets, slate)


def check_not_called_off(connection: socket.socket) -> None:
    """Raises TakeoverRefused if the old one goes on after all. One that is dead does not."""
    # The socket has a timeout, which Python waits for whatever flags say.
    if not select.select([connection], [], [], 0)[0]:
        return
    with contextlib.suppress(OSError):
        if connection.recv(len(_CALLED_OFF), socket.MSG_PEEK) == _CALLED_OFF:
            raise TakeoverRefused(_WHY_CALLED_OFF)


def say_go(connection: socket.socket) -> None:
    """Have the old one leave. Raises TakeoverRefused if it goes on after all; one that is dead has left."""
    with connection:
        with contextlib.suppress(OSError):
            connection.send(GO)
        try:
            # It hangs up when it has read it.
            said = connection.recv(len(_CALLED_OFF))
        except OSError:
            return
    if said == _CALLED_OFF:
        raise TakeoverRefused(_WHY_CALLED_OFF)
