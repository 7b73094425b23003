"""Memory that all processes of a node share, made before the fork. Each number has one writer, so none is locked."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["CONTROL", "Counters", "Seat", "SharedMap"]

CONTROL: Final = 0
"""The seat of the control; workers have those from 1 on."""

_FIELDS: Final = 8
_PID, _BEAT, _CLIENTS, _READY, _RESTARTS, _EMPTY = range(6)
_BYTES: Final = 8
_COUNTERS: Final = 16 * 1024 * 1024
"""Bytes for the counters of all plugins; the kernel provides those that are touched."""

LEVELS: Final = "~"
"""Begins the names of counters that forget what a process added when it ends."""

FRESH: Final = 1.0
"""Seconds without a sign of life after which a process is not counted upon."""


class SharedMap:
    """The seats of all processes, and the counters of plugins."""

    def __init__(self, workers: int) -> None:
        self.workers: Final = workers
        seats = (workers + 1) * _FIELDS * _BYTES
        self._file = os.memfd_create("interceptor")
        os.ftruncate(self._file, seats + _COUNTERS)
        # Shared, and the same pages in every process that is forked from here.
        self._memory = memoryview(mmap.mmap(self._file, seats + _COUNTERS)).cast("B")
        self.seats: Final = [Seat(self._numbers(slot * _FIELDS * _BYTES, _FIELDS)) for slot in range(workers + 1)]
        self._start = seats
        self._used = self._numbers(seats, 1)
        self._known: dict[str, Counters] = {}
        self._slot = CONTROL

    @property
    def worker_seats(self) -> list[Seat]:
        """Those of the workers."""
        return self.seats[1:]

    @property
    def clients(self) -> int:
        """Clients of all workers."""
        return sum(seat.clients for seat in self.worker_seats)

    def _numbers(self, offset: int, count: int) -> memoryview:
        return self._memory[offset : offset + count * _BYTES].cast("q")

    # --- Counters ----------------------------------------------------------------------------------------------------

    def sit(self, slot: int) -> None:
        """This process has this seat from now on. Until then it is counted as the control."""
        self._slot = slot
        for counters in self._known.values():
            counters.sit(slot)

    def counters(self, name: str, size: int) -> Counters:
        """The counters of this name. Raises ValueError if they were made with another size, or there is no place for
        more."""
        found = self._known.get(name)
        if found is None:
            with self._locked():
                found = self._known[name] = self._find(name) or self._make(name, size)
        if found.size != size:
            raise ValueError(f"the counters {name} are {found.size}, not {size}: take another name for others")
        found.sit(self._slot)
        return found

    def take_turn(self, name: str) -> int:
        """How often this was called before with this name, by all processes; nearly, where two call at once. Raises
        ValueError if there is no place for another name."""
        turns = self.counters(name, 1)
        turn = turns.read(0)
        turns.add(0)
        return turn

    def vacate(self, slot: int) -> None:
        """The process of this seat is gone, and what it added to levels goes with it. For the parent."""
        for name, counters in self._stored():
            if name.startswith(LEVELS.encode()):
                counters.clear(slot)

    def _find(self, name: str) -> Counters | None:
        wanted = name.encode()
        return next((counters for known, counters in self._stored() if known == wanted), None)

    def _stored(self) -> Iterator[tuple[bytes, Counters]]:
        position = self._start + _BYTES
        end = position + self._used[0]
        while position < end:
            length, count = self._numbers(position, 2)
            position += 2 * _BYTES
            text = bytes(self._memory[position : position + length])
            position += _padded(length)
            yield text, self._counters(position, count)
            position += count * _BYTES * len(self.seats)

    def _make(self, name: str, size: int) -> Counters:
        if size < 1:
            raise ValueError(f"there can't be {size} counters")
        text = name.encode()
        needed = 2 * _BYTES + _padded(len(text)) + size * _BYTES * len(self.seats)
        used = self._used[0]
        if used + needed > _COUNTERS - _BYTES:
            raise ValueError(f"the counters {name} take {needed} bytes, and there is no place for so many")
        position = self._start + _BYTES + used
        head = self._numbers(position, 2)
        head[0], head[1] = len(text), size
        position += 2 * _BYTES
        self._memory[position : position + len(text)] = text
        # Last: who looks without the lock sees all of it or nothing.
        self._used[0] = used + needed
        return self._counters(position + _padded(len(text)), size)

    def _counters(self, position: int, size: int) -> Counters:
        rows = [self._numbers(position + seat * size * _BYTES, size) for seat in range(len(self.seats))]
        return Counters(rows, size)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process make counters. The kernel ends the lock with its holder."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


class Seat:
    """What the others may know of one process at any time."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: memoryview) -> None:
        self._numbers = numbers

    @property
    def pid(self) -> int:
        """0 while nobody sits here. Written by the parent."""
        return int(self._numbers[_PID])

    @property
    def clients(self) -> int:
        """How many are connected there."""
        return int(self._numbers[_CLIENTS])

    @clients.setter
    def clients(self, count: int) -> None:
        self._numbers[_CLIENTS] = count

    @property
    def ready(self) -> bool:
        """It serves."""
        return bool(self._numbers[_READY])

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._numbers[_READY] = ready

    @property
    def restarts(self) -> int:
        """How often the process that sat here was replaced. Written by the parent."""
        return int(self._numbers[_RESTARTS])

    @property
    def empty(self) -> bool:
        """Nobody is there any more for whom SHUTDOWN waits."""
        return bool(self._numbers[_EMPTY])

    def become_empty(self) -> None:
        """Nobody is here any more, and nobody comes."""
        self._numbers[_EMPTY] = True

    def beat(self) -> None:
        """Give a sign of life."""
        self._numbers[_BEAT] = time.monotonic_ns()

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life."""
        return (time.monotonic_ns() - self._numbers[_BEAT]) / 1e9

    @property
    def counts(self) -> bool:
        """Somebody sits here, serves, and was alive a moment ago."""
        return self.ready and self.pid > 0 and self.silence < FRESH

    def take(self, pid: int) -> None:
        """A process was forked for this seat. For the parent."""
        self.beat()
        self._numbers[_PID] = pid

    def leave(self) -> None:
        """The process is gone. For the parent."""
        self._numbers[_PID] = 0
        self._numbers[_CLIENTS] = 0
        self._numbers[_READY] = 0
        self._numbers[_EMPTY] = 0
        self._numbers[_RESTARTS] += 1


class Counters:
    """Counters that all processes add to, each in a row of its own. Implements ``SharedCounters``."""

    __slots__ = ("_own", "_rows", "size")

    def __init__(self, rows: list[memoryview], size: int) -> None:
        self._rows = rows
        self._own = rows[CONTROL]
        self.size = size

    def sit(self, slot: int) -> None:
        """From now on this process adds as this seat."""
        self._own = self._rows[slot]

    def clear(self, slot: int) -> None:
        """Forget what a seat added."""
        row = self._rows[slot]
        for index in range(self.size):
            row[index] = 0

    def add(self, index: int, amount: int = 1) -> None:
        """As ``SharedCounters.add``."""
        self._own[index] += amount

    def read(self, index: int) -> int:
        """As ``SharedCounters.read``."""
        return sum([int(row[index]) for row in self._rows])


def _padded(length: int) -> int:
    return (length + _BYTES - 1) // _BYTES * _BYTES
