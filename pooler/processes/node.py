"""What all processes of a node inherit from the parent, and how each of them begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import uvloop

from interceptor.hooks.loading import PluginsRefused
from pooler.processes.link import dialer
from pooler.processes.memory import CONTROL, SharedMap
from pooler.processes.signals import DUMP
from pooler.processes.slate import Slate
from pooler.processes.takeover import Handover
from pooler.server import Server

__all__ = ["FAILED", "REFUSED", "Inheritance", "begin", "leave", "name_of"]

logger = logging.getLogger(__name__)

REFUSED: Final = 2
"""Exit code of a process that can't start, and has said why."""
FAILED: Final = 1
"""Exit code of a process that met a bug of ours."""

_OWN_SIGNALS: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


@dataclass
class Inheritance:
    """Everything from before the forks."""

    server: Server
    """With its plugins loaded, and nothing running: each process goes on from there with its own copy."""
    memory: SharedMap
    say: Callable[[str], None]
    """Tells the person who starts the server why it does not start."""
    sockets: list[socket.socket] = field(default_factory=list)
    """The listening ones."""
    handover: Handover | None = None
    """From the node that this one replaces."""
    slate: Slate | None = None
    """What workers write down of what they change in databases; its rows are those of the workers."""
    rows: list[int] = field(default_factory=list)

    def tell_parent(self, number: signal.Signals) -> None:
        """Send the parent a signal, unless it is gone."""
        if os.getppid() == self.parent:
            os.kill(self.parent, number)

    def __post_init__(self) -> None:
        self.parent = os.getpid()
        self.to_control, self.from_control = dialer()
        self.lifeline, self.life = os.pipe()
        """``lifeline`` can be read when the parent is dead, for it alone has ``life``."""
        self.stacks: list[int] = [os.memfd_create(f"stack {slot}") for slot in range(len(self.memory.seats))]


def name_of(slot: int) -> str:
    """The process at this seat, for the log."""
    return "control" if slot == CONTROL else f"worker {slot}"


def begin(inheritance: Inheritance, slot: int, main: Coroutine[None, None, None]) -> NoReturn:
    """Be the process at this seat, in a child that has just been forked, with its signals held back."""
    code = FAILED
    try:
        _settle(inheritance, slot)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
        code = 0
    except PluginsRefused as refused:
        inheritance.say(f"{refused}\nA plugin that must not be missing is broken, so the server does not start.")
        code = REFUSED
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def leave(code: int) -> NoReturn:
    """End this process. Not by sys.exit, nor by any exception: what the parent does at its own end is not for us."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # whatever the file system thinks of it: the log may be on a disk that is full
        os._exit(code)


def _settle(inheritance: Inheritance, slot: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in _OWN_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches all processes of the terminal; the parent says what is to be done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.close(inheritance.life)
    if inheritance.handover is not None:
        inheritance.handover.connection.close()
        if slot != CONTROL:
            inheritance.handover.to_control.close()
    inheritance.memory.sit(slot)
    with contextlib.suppress(OSError):
        # What ps -L, top and /proc show; the kernel keeps 15 characters.
        Path("/proc/self/comm").write_text(f"icp {name_of(slot)}")
    faulthandler.register(DUMP, file=inheritance.stacks[slot], all_threads=False)
    # The parent has held them back: until here they would have been told to it, through the pipe that it waits at.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
