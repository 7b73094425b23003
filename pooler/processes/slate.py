"""Which databases are being changed, as all processes of a node see it, and those of the node that replaces it.

Memory that they share, with a row for each process, which it alone writes: so nothing is locked, and nothing is lost
with whoever dies. What a process has written counts for the others from their next look on, and a look costs the
comparison of one number: the bell, which everybody rings with a number that was never rung before.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pooler.config import PoolSettings
    from pooler.config.values import HostPort

__all__ = ["ABANDONED", "EVERYWHERE", "News", "Reading", "Slate", "number_of", "place_of"]

ABANDONED: Final = 60.0
"""Seconds for which that counts on which a dead process worked: a server may go on with it, and nobody will say when
it ends."""

_NEVER: Final = -1
"""Heard by nobody."""
EVERYWHERE: Final = 2**64 - 1
"""As the number of a database: any, where there are more than can be written down."""

_WORD: Final = 8
_HEAD: Final = 8
_BELL, _ROWS = range(2)

_MOST_ROWS: Final = 2048
"""Of processes: two nodes with as many workers as may be configured. What nobody uses takes no memory."""
_OWNER, _PID, _SEQUENCE = range(3)
_PLACES: Final = 64
"""Of one process at once. The first is that of EVERYWHERE."""
_EVENTS: Final = 256
_READINGS: Final = 64
_READING: Final = 4
_FIRST_PLACE: Final = 8
_FIRST_EVENT: Final = _FIRST_PLACE + 2 * _PLACES
_FIRST_READING: Final = _FIRST_EVENT + _EVENTS
_ROW: Final = _FIRST_READING + _READING * _READINGS
_SIZE: Final = (_HEAD + _MOST_ROWS * _ROW) * _WORD


@dataclass(frozen=True, slots=True)
class News:
    """What others have written."""

    changing: frozenset[int]
    """Where somebody takes something away now."""
    defined: frozenset[int]
    """Where something was defined since the last look."""


@dataclass(frozen=True, slots=True)
class Reading:
    """That somebody has looked for changes in a database."""

    at: float
    """When, by the monotonic clock, which all processes share."""
    due: float
    """When it will look again."""
    state: int
    """What it has found, as a number."""


class Slate:
    """The memory, and this process's row of it."""

    def __init__(self, file: int | None = None) -> None:
        """``file``: memory that ``make_file`` has made. Without it there is this process alone."""
        self.file: Final = file
        memory = bytearray((_HEAD + _ROW) * _WORD) if file is None else mmap.mmap(file, _SIZE)
        self._memory = memoryview(memory).cast("B").cast("Q")
        self._own = _HEAD
        self._seen: dict[int, int] = {}
        self._dead_since: dict[int, float] = {}
        self.bell: Final = self._memory[_BELL : _BELL + 1]
        self.heard = _NEVER
        """The bell, at the last look."""

    @staticmethod
    def make_file() -> int:
        """Memory for a slate, which processes that are forked share, and others to whom it is sent."""
        file = os.memfd_create("interceptor definitions")
        os.ftruncate(file, _SIZE)
        return file

    # --- Rows --------------------------------------------------------------------------------------------------------

    def claim(self, count: int) -> list[int]:
        """Take so many rows for the processes of a node, of which the caller is the parent: those that nobody has any
        more. Raises ValueError if there are not as many."""
        with self._locked():
            free: list[int] = []
            for row in range(_MOST_ROWS):
                if len(free) < count and not _is_alive(self._word(row, _OWNER)) and self._take(row):
                    free.append(row)
            if len(free) < count:
                raise ValueError(f"there are no rows for {count} processes")
            for row in free:
                self._wipe(row)
                self._memory[self._start(row) + _OWNER] = os.getpid()
            self._memory[_ROWS] = max(self._memory[_ROWS], free[-1] + 1)
        return free

    def sit(self, row: int) -> list[int]:
        """This process writes this row from now on. Returns where whoever had it before was changing something."""
        self._own = self._start(row)
        self._memory[self._own + _PID] = os.getpid()
        return [place for place, count in self._places(self._own) for _ in range(count)]

    def _wipe(self, row: int) -> None:
        """Its node is gone, and all that it was about to do."""
        self._own = self._start(row)
        for place, count in list(self._places(self._own)):
            for _ in range(count):
                self.end(place)
        self._memory[self._own + _PID] = 0

    def _take(self, row: int) -> bool:
        """Lock a row for as long as this process lives, and has not closed the memory: a node in another container, for
        whom processes have other numbers, sees that."""
        assert self.file is not None
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
        except OSError:
            return False
        return True

    def _start(self, row: int) -> int:
        return _HEAD + row * _ROW

    def _word(self, row: int, field: int) -> int:
        return int(self._memory[self._start(row) + field])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        assert self.file is not None
        fcntl.lockf(self.file, fcntl.LOCK_EX, 1, _MOST_ROWS)
        try:
            yield
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, _MOST_ROWS)

    # --- Writing -----------------------------------------------------------------------------------------------------

    def begin(self, place: int) -> int:
        """Something may be taken away there from now on. Returns what ``end`` is to be given."""
        memory = self._memory
        at = self._find(place) or self._room()
        if not at:
            place, at = EVERYWHERE, self._own + _FIRST_PLACE
        memory[at + 1] = place
        memory[at] += 1
        self._tell(0)
        return place

    def end(self, place: int) -> None:
        """It is over, and something may have been defined there."""
        at = self._find(place)
        assert at and self._memory[at], "it was begun"
        # First: whoever sees that it is over has to see what came of it.
        self._note(place)
        self._memory[at] -= 1
        self._ring()

    def _find(self, place: int) -> int:
        """Where this place is counted; 0 if it isn't."""
        if place == EVERYWHERE:
            return self._own + _FIRST_PLACE
        memory = self._memory
        return next((at for at in self._countings if memory[at] and memory[at + 1] == place), 0)

    def _room(self) -> int:
        memory = self._memory
        return next((at for at in self._countings if not memory[at]), 0)

    @property
    def _countings(self) -> range:
        return range(self._own + _FIRST_PLACE + 2, self._own + _FIRST_EVENT, 2)

    def define(self, place: int) -> None:
        """Something may have been defined there."""
        self._tell(place)

    def _tell(self, event: int) -> None:
        self._note(event)
        self._ring()

    def _note(self, event: int) -> None:
        memory, own = self._memory, self._own
        sequence = memory[own + _SEQUENCE]
        memory[own + _FIRST_EVENT + sequence % _EVENTS] = event
        memory[own + _SEQUENCE] = sequence + 1

    def _ring(self) -> None:
        own = self._own
        # The sequence outlives whoever has the row, so no number comes twice.
        self._memory[_BELL] = (own << 40) + self._memory[own + _SEQUENCE]

    # --- Looking -----------------------------------------------------------------------------------------------------

    def look(self) -> News:
        """What others have written since the last look, and what holds now."""
        self.heard = int(self.bell[0])
        changing: set[int] = set()
        defined: set[int] = set()
        for row in range(self._memory[_ROWS]):
            start = self._start(row)
            if start == self._own:
                continue
            # First: what is over by then is among the events.
            places = [place for place, _ in self._places(start)]
            if places and self._counts(row):
                changing.update(places)
            defined.update(self._events(row))
        return News(frozenset(changing), frozenset(defined - {0}))

    def _places(self, start: int) -> Iterator[tuple[int, int]]:
        memory = self._memory
        for at in range(start + _FIRST_PLACE, start + _FIRST_EVENT, 2):
            count = memory[at]
            if count:
                yield memory[at + 1], count

    def _events(self, row: int) -> Sequence[int]:
        memory, start = self._memory, self._start(row)
        seen, sequence = self._seen.get(row, 0), memory[start + _SEQUENCE]
        if seen == sequence:
            return ()
        first = start + _FIRST_EVENT
        events = [memory[first + number % _EVENTS] for number in range(max(seen, sequence - _EVENTS), sequence)]
        self._seen[row] = sequence
        if memory[start + _SEQUENCE] - seen >= _EVENTS:
            # Some were overwritten before they were read.
            return (EVERYWHERE,)
        return events

    def _counts(self, row: int) -> bool:
        """Whether somebody still works on what a row says, or may."""
        if _is_alive(self._word(row, _PID)):
            self._dead_since.pop(row, None)
            return True
        now = time.monotonic()
        return now - self._dead_since.setdefault(row, now) < ABANDONED

    # --- Polls -------------------------------------------------------------------------------------------------------

    def note_reading(self, place: int, reading: Reading) -> None:
        """This process has looked for changes there."""
        memory, first = self._memory, self._own + _FIRST_READING
        places = [memory[first + index * _READING] for index in range(_READINGS)]
        index = places.index(place) if place in places else -1
        if index < 0:
            # In the place of the oldest: whoever misses it looks for itself.
            index = min(range(_READINGS), key=lambda one: memory[first + one * _READING + 1])
        at = first + index * _READING
        memory[at] = 0
        memory[at + 1], memory[at + 2], memory[at + 3] = int(reading.at * 1e6), int(reading.due * 1e6), reading.state
        memory[at] = place

    def readings(self, place: int) -> list[Reading]:
        """When others have looked for changes there, and what they found."""
        memory = self._memory
        starts = [self._start(row) for row in range(memory[_ROWS])]
        return [
            Reading(memory[at + 1] / 1e6, memory[at + 2] / 1e6, memory[at + 3])
            for start in starts
            if start != self._own
            for at in range(start + _FIRST_READING, start + _ROW, _READING)
            if memory[at] == place
        ]


def number_of(*what: object) -> int:
    """A number that stands for this in all processes; never 0, nor the largest that fits."""
    found = int.from_bytes(blake2b(repr(what).encode(), digest_size=7).digest())
    return found or 1


@lru_cache(maxsize=1000)
def _place(hosts: tuple[HostPort, ...], dbname: str) -> int:
    return number_of([(one.host, one.port) for one in hosts], dbname)


def place_of(settings: PoolSettings) -> int:
    """The number of a database: the same whatever its name here, and in all processes."""
    return _place(settings.hosts, settings.dbname)


def _is_alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
