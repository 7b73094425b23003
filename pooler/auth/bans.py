"""Bans: an address that fails to log in to a database again and again is left outside for a while.

So that a list of passwords can't be tried, and so that failed logins cost a bounded part of the processor: what a
banned address asks for is refused after one look into a table.

With several workers each tells the control of its failures, which counts those of all and tells all of a ban. Each
counts its own too, so that bans hold while there is no control.

An IPv6 address is counted with all others of its network: whoever is given one is given 64 bits of them, and could
fail ten times from each.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["ANY_OTHER", "Ban", "BanSettings", "Bans"]

ANY_OTHER: Final = "*"
"""Stands for all databases that have no table of their own in the configuration."""

_NAMES: Final = 3
"""Of them so many may be failed at as often as one, before an address is banned from all: it is making names up."""


_SAME: Final = 1.0
"""Seconds within which two ends of a ban are one: the word of it takes its time."""

_MOST_ENTRIES: Final = 10_000
"""Of each table. Then what was touched longest ago goes first."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class BanSettings:
    """``failures`` within ``window`` seconds ban for ``duration`` seconds. 0 failures: nobody is ever banned."""

    failures: int
    window: float
    duration: float
    ipv6_prefix: int = 64
    """Bits of an IPv6 address that count."""

    def most(self, database: str) -> int:
        """So many failures at it are one too many."""
        return self.failures * (_NAMES if database == ANY_OTHER else 1)

    def name(self, address: str) -> str:
        """What an address is counted as: itself, or its IPv6 network. A name that was made here stays as it is."""
        if ":" not in address or "/" in address:
            return address
        try:
            found = ipaddress.IPv6Address(address)
        except ValueError:
            return address  # as somebody has typed it
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if found.is_loopback or found.is_link_local or self.ipv6_prefix == 128:
            # Of those two there is one network, of the machine itself and of each cable.
            return str(found)
        return str(ipaddress.IPv6Network((found, self.ipv6_prefix), strict=False))


@dataclass(frozen=True, slots=True)
class Ban:
    """One that holds. Times are of the loop's clock, in seconds."""

    address: str
    """Or an IPv6 network."""
    database: str
    since: float
    until: float


class Bans:
    """Those of one process. ``clock`` gives the time in seconds."""

    def __init__(self, settings: BanSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        self._failures: OrderedDict[Key, deque[float]] = OrderedDict()
        self._banned: OrderedDict[Key, Ban] = OrderedDict()
        self.on_counted: Callable[[str, str, float], None] | None = None
        """Told of each failure here: address, database, and for how many seconds that bans; 0 if it does not."""

    def find(self, address: str, database: str) -> Ban | None:
        """The ban that holds for this address and database, if there is one."""
        if not self._banned:
            return None
        key = self.settings.name(address), database
        ban = self._banned.get(key)
        if ban is None:
            return None
        if ban.until <= self._clock():
            del self._banned[key]
            return None
        return ban

    def on_failure(self, address: str, database: str) -> Ban | None:
        """A login has failed. The ban that follows from it, if it is one too many."""
        if not self.settings.failures:
            return None
        address = self.settings.name(address)
        ban = self._count(address, database)
        if self.on_counted is not None:
            self.on_counted(address, database, 0.0 if ban is None else self.seconds_left(ban))
        return ban

    def _count(self, address: str, database: str) -> Ban | None:
        settings = self.settings
        most = settings.most(database)
        key = address, database
        now = self._clock()
        times = self._failures.get(key)
        if times is None:
            times = self._failures[key] = deque(maxlen=most)
            _bound(self._failures)
        else:
            self._failures.move_to_end(key)
            if times.maxlen != most:
                times = self._failures[key] = deque(times, maxlen=most)
        times.append(now)
        if len(times) < most or now - times[0] > settings.window:
            return None
        return self._add(address, database, settings.duration)

    def _add(self, address: str, database: str, duration: float) -> Ban:
        now = self._clock()
        self._failures.pop((address, database), None)
        ban = self._banned[address, database] = Ban(address, database, now, now + duration)
        self._banned.move_to_end((address, database))
        _bound(self._banned)
        return ban

    def adopt(self, address: str, database: str, seconds: float) -> bool:
        """Another process has banned, for so many seconds from now on. False if that was known."""
        known = self.find(address, database)
        if known is not None and self.seconds_left(known) > seconds - _SAME:
            return False
        self._add(address, database, seconds)
        return True

    def seconds_left(self, ban: Ban) -> float:
        """How long it holds from now on."""
        return max(0.0, ban.until - self._clock())

    def list(self) -> list[Ban]:
        """Those that hold, the oldest first."""
        now = self._clock()
        return [ban for ban in self._banned.values() if ban.until > now]

    def lift(self, address: str, database: str | None = None) -> int:
        """Let an address in again, to one database or to all, and forget its failures. How many bans that lifted."""
        address = self.settings.name(address)
        for failed in [key for key in self._failures if key[0] == address and database in (None, key[1])]:
            del self._failures[failed]
        lifted = [ban for ban in self.list() if ban.address == address and database in (None, ban.database)]
        for ban in lifted:
            del self._banned[ban.address, ban.database]
        return len(lifted)


def _bound(table: OrderedDict[Key, deque[float]] | OrderedDict[Key, Ban]) -> None:
    if len(table) > _MOST_ENTRIES:
        table.popitem(last=False)
