"""The parent of a node: it starts the others, replaces what dies or stalls, and passes on what it is told.

It runs no loop and no threads, so that it can fork at any time.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final, NoReturn

from interceptor.errors import ConfigError
from interceptor.hooks.loading import PluginsRefused
from pooler.config import Config, ConfigErrors, load_config
from pooler.config.changing import fixed_changes
from pooler.http import load_http
from pooler.listening import port_of
from pooler.processes.memory import CONTROL, SharedMap
from pooler.processes.node import REFUSED, Inheritance, begin, name_of
from pooler.processes.offering import Offering
from pooler.processes.ruling import rule
from pooler.processes.signals import CLOSE, LEAVE, RENEW
from pooler.processes.slate import Slate
from pooler.processes.sockets import close_sockets, open_sockets
from pooler.processes.stacks import find_culprit, read_stack
from pooler.processes.takeover import Handover, NobodyThere, ask_for_handover, check_not_called_off, say_go
from pooler.processes.worker import work
from pooler.server import Server
from pooler.supervisor import READY, STOPPING, tell_supervisor

__all__ = ["Parent", "needs_processes", "workers_of"]

logger = logging.getLogger(__name__)

_LOOK: Final = 0.5
"""Seconds between two looks at the signs of life."""
_LOOK_AT_START: Final = 0.01
_QUICK: Final = 1.0
"""Seconds within which a process that ended had not really started: it is replaced with a delay that doubles."""
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
_WITHOUT_PLACE: Final = 1.0
"""Seconds until a process is forked again for which the system had no place."""
_SPARE: Final = 15.0
"""Seconds beyond shutdown_timeout in which a process closes its backends; then it is killed."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGHUP, RENEW, CLOSE)


def workers_of(config: Config) -> int:
    """How many workers there are to be."""
    return config.server.workers or len(os.sched_getaffinity(0))


def needs_processes(config: Config) -> bool:
    """Whether one process alone can't do what is configured."""
    return workers_of(config) > 1 or config.server.run_dir is not None


@dataclass(slots=True)
class _Child:
    """What the parent knows of one seat. Times are those of the monotonic clock."""

    pid: int = 0
    forked_at: float = 0.0
    due_at: float = 0.0
    """When it is to be forked again."""
    failures: int = 0
    """How often in a row it ended right after its start."""


class Parent:
    """Runs a node."""

    def __init__(self, config: Config, say: Callable[[str], None], *, takeover: bool = False) -> None:
        """Loads the plugins. Raises ConfigError and PluginsRefused. ``say`` tells why a process does not start.

        ``takeover``: in the place of the node that runs, if there is one.
        """
        self._config = config
        self._takeover = takeover
        self._closed = False
        """Nobody is let in any more; the end comes when those who are here have gone."""
        memory = SharedMap(workers_of(config))
        self._inheritance = Inheritance(Server(config, memory.counters), memory, say)
        self._offering = Offering(self._inheritance)
        self._memory = memory
        self._children = [_Child() for _ in memory.seats]
        self._wake, self._woken = os.pipe()
        self._stopping = False
        self._looked_at = time.monotonic()

    def run(self) -> int:
        """Run until told to stop, and return the exit code. Raises OSError where an address can't be had."""
        self._prepare()
        try:
            if not self._start():
                return REFUSED
            self._serve()
            return 0
        finally:
            self._end()

    def _prepare(self) -> None:
        for file in (self._wake, self._woken):
            os.set_blocking(file, False)
        for number in _SIGNALS:
            signal.signal(number, _on_signal)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            # Many clients are what a pooler is there for.
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        load_http(self._config)
        gc.collect()
        # What is there now is there for good: a collection in a child would copy all of its pages.
        gc.freeze()

    # --- Life --------------------------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Start everything. False if a process refused, and has said why."""
        handover = self._inheritance.handover = self._ask_for_handover() if self._takeover else None
        self._fork(CONTROL)
        if not self._await_ready([CONTROL]):
            return False
        if handover is not None:
            # Were it open here too, the old control would not notice the death of the new one.
            handover.to_control.close()
        self._open_slate(handover)
        server = self._config.server
        self._inheritance.sockets += open_sockets(server, () if handover is None else handover.sockets)
        workers = range(1, self._memory.workers + 1)
        for slot in workers:
            self._fork(slot)
        if not self._await_ready([CONTROL, *workers]):
            return False
        if handover is not None:
            # Not before this: should it be called off, the next one is to find the old one where it was.
            say_go(handover.connection)
            self._inheritance.handover = None
        if server.run_dir is not None:
            self._offering.open(server.run_dir)
        port = port_of(self._inheritance.sockets) or server.listen_port
        addresses = ", ".join(server.listen_addr)
        count = self._memory.workers
        logger.info("listening on %s port %d, process %d, %d workers", addresses, port, os.getpid(), count)
        tell_supervisor(READY)
        return True

    def _ask_for_handover(self) -> Handover | None:
        directory = self._config.server.run_dir
        assert directory is not None, "the command line has seen to it"
        try:
            handover = ask_for_handover(directory)
        except NobodyThere:
            logger.warning("there is nothing to take over in %s: starting as ever", directory)
            return None
        logger.info("taking over %d listening sockets", len(handover.sockets))
        return handover

    def _open_slate(self, handover: Handover | None) -> None:
        """Take places among the workers of the node that runs, or be the first to have any."""
        try:
            slate = None if handover is None or handover.slate < 0 else Slate(handover.slate)
            rows = [] if slate is None else slate.claim(self._memory.workers)
        except ValueError as error:
            # No room, or another version whose slate is of another size.
            logger.warning("what is defined through the other node is known with delay: %s", error)
            slate = None
        if slate is None:
            slate = Slate(Slate.make_file())
            rows = slate.claim(self._memory.workers)
        self._inheritance.slate, self._inheritance.rows = slate, rows

    def _await_ready(self, slots: list[int]) -> bool:
        handover = self._inheritance.handover
        while not all(self._memory.seats[slot].ready for slot in slots):
            self._wait(_LOOK_AT_START)
            if handover is not None:
                check_not_called_off(handover.connection)
            if self._stopping or any(self._reap(slot) is not None for slot in slots):
                return False
        return True

    def _serve(self) -> None:
        while not self._stopping and not self._offering.replaced:
            self._wait(self._until_next())
            for slot, child in enumerate(self._children):
                if child.pid:
                    self._bury(slot, child)
            self._look_for_stalls()
            self._replace()
            if self._closed and self._is_empty():
                logger.info("nobody is here any more: stopping all processes")
                self._stopping = True
                self._pass_on(signal.SIGQUIT, range(1, self._memory.workers + 1))

    def _is_empty(self) -> bool:
        """Whoever said SHUTDOWN may be dead by now, so this does not wait for it to say more."""
        return all(not child.pid or self._memory.seats[slot].empty for slot, child in enumerate(self._children) if slot)

    def _until_next(self) -> float:
        now = time.monotonic()
        empty = [child for slot, child in enumerate(self._children) if not (child.pid or self._not_for(slot))]
        return min([_LOOK, *(max(child.due_at - now, 0.0) for child in empty)])

    def _end(self) -> None:
        """Workers first: while one is there, the control is needed."""
        settings = self._config.server
        workers = range(1, self._memory.workers + 1)
        seconds = settings.shutdown_timeout + _SPARE
        if self._offering.replaced:
            logger.info("replaced by another node: taking no more clients")
            self._pass_on(LEAVE, [CONTROL, *workers])
            seconds += settings.takeover_timeout
        else:
            tell_supervisor(STOPPING)
            self._pass_on(signal.SIGTERM, workers)
        # Where another node listens, or tried to and the old one goes on, the names are not ours to remove.
        close_sockets(self._inheritance.sockets, remove=not (self._offering.is_inherited or self._inheritance.handover))
        self._offering.close()
        self._outlive(workers, seconds)
        self._pass_on(signal.SIGTERM, [CONTROL])
        self._outlive([CONTROL], seconds if self._offering.replaced else _SPARE)
        signal.set_wakeup_fd(-1)

    def _outlive(self, slots: range | list[int], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        asked = not self._offering.replaced
        while any(self._children[slot].pid for slot in slots):
            if time.monotonic() > deadline:
                self._pass_on(signal.SIGKILL, slots)
            for number in self._wait(0.1):
                if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                    gently = number == signal.SIGTERM and not asked
                    asked = True
                    self._pass_on(signal.SIGTERM if gently else signal.SIGQUIT, slots)
            for slot in slots:
                self._reap(slot)

    # --- Processes ---------------------------------------------------------------------------------------------------

    def _fork(self, slot: int) -> None:
        """Raises OSError where the system has no place for another process."""
        # One that reaches the child before it has handlers of its own would be read from our pipe, as meant for us.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                self._be_child(slot)
            self._memory.seats[slot].take(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        child = self._children[slot]
        child.pid, child.forked_at = pid, time.monotonic()

    def _be_child(self, slot: int) -> NoReturn:
        inheritance = self._inheritance
        self._offering.leave_to_parent()
        begin(inheritance, slot, rule(inheritance) if slot == CONTROL else work(inheritance, slot))

    def _reap(self, slot: int) -> int | None:
        """The exit status of a process that has ended."""
        child = self._children[slot]
        if not child.pid:
            return None
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return None
        child.pid = 0
        self._memory.seats[slot].leave()
        self._memory.vacate(slot)
        return os.waitstatus_to_exitcode(status)

    def _bury(self, slot: int, child: _Child) -> None:
        """Note the end of a process, if it has ended, and when to replace it."""
        pid = child.pid
        code = self._reap(slot)
        if code is None:
            return
        if slot == CONTROL:
            self._offering.on_control_died()
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        now = time.monotonic()
        child.failures = child.failures + 1 if now - child.forked_at < _QUICK else 0
        delay = min(_FIRST_DELAY * 2 ** (child.failures - 1), _LONGEST_DELAY) if child.failures else 0.0
        child.due_at = now + delay
        later = f" in {delay:g} s" if delay else ""
        logger.error("%s, process %d, %s; it is %sreplaced%s", name_of(slot), pid, why, self._not_for(slot), later)

    def _replace(self) -> None:
        now = time.monotonic()
        for slot, child in enumerate(self._children):
            if not child.pid and now >= child.due_at and not self._stopping and not self._not_for(slot):
                try:
                    self._fork(slot)
                except OSError as error:
                    child.due_at = now + _WITHOUT_PLACE
                    logger.error("%s can't be replaced yet: %s", name_of(slot), error.strerror)

    def _not_for(self, slot: int) -> str:
        """A word, if nobody is to take this seat again: a new worker would have nowhere to listen."""
        return "not " if self._closed and slot != CONTROL else ""

    def _close(self) -> None:
        """SHUTDOWN waits for those who are here: what connects is refused, and not left in a queue."""
        self._closed = True
        close_sockets(self._inheritance.sockets)
        self._offering.close()

    def _look_for_stalls(self) -> None:
        limit = self._config.server.worker_stall_timeout
        now = time.monotonic()
        delayed = now - self._looked_at > 4 * _LOOK
        self._looked_at = now
        if not limit or delayed:
            return  # where even this process did not run, silence proves nothing
        for slot, child in enumerate(self._children):
            seat = self._memory.seats[slot]
            if child.pid and seat.ready and seat.silence > limit:
                self._kill_stalled(slot, child.pid, seat.silence)

    def _kill_stalled(self, slot: int, pid: int, silence: float) -> None:
        stack = read_stack(pid, self._inheritance.stacks[slot])
        plugins = {plugin.name: plugin.origin for plugin in self._inheritance.server.plugins.plugins}
        culprit = find_culprit(stack, plugins)
        why = "it does not say where it is" if culprit is None else str(culprit)
        logger.error(
            "%s, process %d, has not moved for %.1f s and is killed: %s\n%s",
            *(name_of(slot), pid, silence, why, stack.rstrip()),
        )
        os.kill(pid, signal.SIGKILL)

    # --- Signals -----------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> list[int]:
        """Wait for a signal, for so long at most. Returns those that came."""
        watched: list[int | socket.socket] = [self._wake]
        waiting = None if self._stopping else self._offering.watched
        if waiting is not None:
            watched.append(waiting)
        readable, _, _ = select.select(watched, [], [], seconds)
        if waiting in readable:
            self._offering.on_readable()
        came = list(os.read(self._wake, 512)) if self._wake in readable else []
        if signal.SIGHUP in came:
            self._pass_on(signal.SIGHUP, [CONTROL])
        if RENEW in came and not self._stopping:
            self._renew()
        if CLOSE in came and not self._closed and not self._stopping and not self._offering.replaced:
            self._close()
        for number in came:
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) and not self._stopping:
                self._stopping = True
                logger.info("stopping all processes")
                if number != signal.SIGTERM:
                    self._pass_on(signal.SIGQUIT, range(1, self._memory.workers + 1))
        return came

    def _renew(self) -> None:
        """All others go by a new configuration: let those that replace them begin with it."""
        assert self._config.file is not None, "they have read it from there"
        try:
            config = load_config(self._config.file)
            fixed = fixed_changes(self._config.server, config.server)
            kept = {name: getattr(self._config.server, name) for name in fixed}
            config = replace(config, server=replace(config.server, **kept))
            self._inheritance.server = Server(config, self._memory.counters)
        except (ConfigError, ConfigErrors, PluginsRefused) as error:
            # It has changed once more, in the meantime, for the worse.
            logger.error("processes that are replaced begin with the configuration before the last reload: %s", error)
            return
        self._config = config
        gc.freeze()

    def _pass_on(self, number: signal.Signals, slots: range | list[int]) -> None:
        for slot in slots:
            pid = self._children[slot].pid
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def _on_signal(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe, which is what is waited for."""
