"""The parent's side of being replaced: the socket at which a next node asks, and the one that has asked."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pooler.processes.link import SUCCESSOR, dial
from pooler.processes.takeover import GO, accept_successor, call_off, hand_over, offer, withdraw

if TYPE_CHECKING:
    from pooler.processes.node import Inheritance

__all__ = ["Offering"]

logger = logging.getLogger(__name__)


class Offering:
    """One that asks at a time; the others wait in the queue of the socket."""

    def __init__(self, inheritance: Inheritance) -> None:
        self._inheritance = inheritance
        self._directory: Path | None = None
        self._socket: socket.socket | None = None
        self._successor: socket.socket | None = None
        self.replaced = False
        """Another node has our sockets now."""

    def open(self, directory: Path) -> None:
        """Be there for a next node. Raises OSError."""
        self._directory = directory
        self._socket = offer(directory)

    def close(self) -> None:
        """Be there no longer. The name in the directory is left to a node that has taken over; one that has asked, and
        hears nothing more, is in this one's place."""
        self._forget_successor()
        if self._socket is not None:
            if not self.replaced and self._directory is not None:
                withdraw(self._socket, self._directory)
            self._socket.close()
            self._socket = None

    def leave_to_parent(self) -> None:
        """In a child: who looks for this node, or talks with it, is to notice when the parent is gone."""
        for sock in (self._socket, self._successor):
            if sock is not None:
                sock.close()

    @property
    def is_inherited(self) -> bool:
        """Another node has our sockets, or is about to."""
        return self.replaced or self._successor is not None

    @property
    def watched(self) -> socket.socket | None:
        """What can be read when there is something to do."""
        return None if self.replaced else self._successor or self._socket

    def on_readable(self) -> None:
        """Somebody asks to take over, or who did has something to say."""
        if self._successor is None:
            self._begin()
            return
        try:
            self.replaced = self._successor.recv(len(GO)) == GO
        except OSError:
            self.replaced = False
        if not self.replaced:
            logger.warning("the process that was about to take over has ended: going on")
        self._forget_successor()

    def on_control_died(self) -> None:
        """The next node's control knows no longer what is out here, so there is no next node."""
        if self._successor is not None:
            logger.warning("the process that was about to take over is told that this one goes on")
            call_off(self._successor)
            self._forget_successor()

    def _begin(self) -> None:
        assert self._socket is not None
        self._successor = accept_successor(self._socket)
        to_control = None if self._successor is None else dial(self._inheritance.to_control, SUCCESSOR)
        if self._successor is None or to_control is None:
            self._forget_successor()
            return
        with to_control, contextlib.suppress(OSError):  # it may be gone already, which is noticed when it is read
            slate = self._inheritance.slate
            assert slate is not None and slate.file is not None
            hand_over(self._successor, self._inheritance.sockets, to_control, slate.file)

    def _forget_successor(self) -> None:
        if self._successor is not None:
            self._successor.close()
            self._successor = None
