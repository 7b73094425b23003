"""Who holds how many permits, and who gets the next. Synchronous: each call returns what is to be said to whom.

docs/design/processes.md says why permits move when they do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final, TypeAlias, TypeVar

from pooler.processes.messages import Full, Grant, Key, Release

__all__ = ["HOLD", "LONG", "OWED_PATIENCE", "PATIENCE", "Action", "Holding", "Ledger", "Limits"]

PATIENCE: Final = 0.1
"""Seconds that a client waits before a permit is taken for it from a worker that has work for it itself."""

HOLD: Final = 0.25
"""Seconds that a worker keeps a permit that it has work for: so a permit moves at most four times a second."""

LONG: Final = 0.5
"""Seconds after which a wait counts for more than how many permits its worker has: they may all be in long use."""

OWED_PATIENCE: Final = 1.0
"""Seconds until another worker is asked for what one was asked for: its clients may keep their backends for long."""

IDLE_RETRY: Final = 0.1
"""Seconds until a worker that had no idle backend is asked for one again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one pool. 0 is none for those that pools share."""

    pool_size: int
    reserve: int
    per_database: int
    per_user: int


_NOTHING: Final = Limits(0, 0, 0, 0)


@dataclass(slots=True)
class Holding:
    """One worker's permits of one pool, and how many more it wants. Times are those of the monotonic clock."""

    held: int = 0
    granted_at: float = -inf
    want: int = 0
    demand: int = 0
    since: float = 0.0
    reserve: bool = False
    owed_at: float = -inf
    """When it was asked to give one up; -inf if it owes none."""
    busy_at: float = -inf
    """When it said that none is idle."""

    @property
    def load(self) -> int:
        """Clients that have or want one of its backends, as far as is known."""
        return max(self.demand, self.held) if self.want else self.held

    def owes(self, now: float) -> bool:
        """It was asked lately."""
        return now - self.owed_at < OWED_PATIENCE


Action: TypeAlias = tuple[int, Grant | Full | Release]
"""The holder that is told, and what."""

Place: TypeAlias = tuple[str, str]
N = TypeVar("N", Key, Place, str)


@dataclass(slots=True)
class _Totals:
    keys: dict[Key, int] = field(default_factory=dict)
    places: dict[Place, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)

    def add(self, key: Key, count: int) -> None:
        database, user, target = key
        _add(self.keys, key, count)
        _add(self.places, (database, target), count)
        _add(self.users, user, count)


class Ledger:
    """All permits of a node. Holders are numbers: a worker's seat, or below 0 for what a worker left behind."""

    def __init__(self, limits: Callable[[Key], Limits]) -> None:
        """``limits`` may raise LookupError for a pool that there is no place for any more: then nothing is granted."""
        self._limits = limits
        self._holdings: dict[Key, dict[int, Holding]] = {}
        self._total = _Totals()
        self._wanting: dict[Key, set[int]] = {}
        self.paused = True
        """Nothing is granted while it isn't known what is out."""

    @property
    def wanting(self) -> list[Key]:
        """The pools in which somebody waits."""
        return list(self._wanting)

    def wanting_in(self, key: Key) -> frozenset[int]:
        """Who waits in a pool."""
        return frozenset(self._wanting.get(key, ()))

    def held(self, key: Key, holder: int | None = None) -> int:
        """Permits of a pool that are out, or that one holder has."""
        if holder is None:
            return self._total.keys.get(key, 0)
        holding = self._holdings.get(key, {}).get(holder)
        return 0 if holding is None else holding.held

    def holders(self) -> Iterator[tuple[Key, int, Holding]]:
        """Everything."""
        for key, holdings in self._holdings.items():
            for holder, holding in holdings.items():
                yield key, holder, holding

    # --- What holders say --------------------------------------------------------------------------------------------

    def ask(
        self,
        holder: int,
        key: Key,
        want: int,
        now: float,
        *,
        demand: int = 1,
        since: float = 0.0,
        reserve: bool = False,
    ) -> list[Action]:
        """Clients wait for so many permits more."""
        holding = self._holding(key, holder)
        first = not holding.want
        holding.want, holding.demand, holding.since, holding.reserve = want, demand, since, reserve
        self._wanting.setdefault(key, set()).add(holder)
        actions = self._serve(key, now)
        if holding.want:
            if first:
                actions.append((holder, Full(key)))
            actions += self._press(key, now)
        return actions

    def ask_for_floor(self, holder: int, key: Key, now: float) -> list[Action]:
        """One for min_pool_size: if it isn't free, nobody is bothered, and it isn't remembered."""
        holding = self._holding(key, holder)
        if self._wanting.get(key) or self._room(key, reserve=False) < 1:
            self._forget_empty(key, holder)
            return []
        self._add(key, holding, 1, now)
        return [(holder, Grant(key, 1))]

    def calm(self, holder: int, key: Key) -> None:
        """Nobody waits there any more."""
        holding = self._holdings.get(key, {}).get(holder)
        if holding is not None:
            self._end_want(key, holder, holding)
            self._forget_empty(key, holder)

    def busy(self, holder: int, key: Key, now: float) -> list[Action]:
        """It has no idle backend to give up: another one may."""
        holding = self._holding(key, holder)
        holding.busy_at, holding.owed_at = now, -inf
        self._forget_empty(key, holder)
        return self._press(key, now)

    def give_back(self, holder: int, key: Key, count: int, now: float) -> list[Action]:
        """These permits are free."""
        holding = self._holding(key, holder)
        assert 0 < count <= holding.held, f"{holder} returns {count} of {holding.held} permits of {key}"
        holding.held -= count
        holding.owed_at = -inf
        self._total.add(key, -count)
        self._forget_empty(key, holder)
        return self._serve_related(key, now) + self._press(key, now)

    def adopt(self, holder: int, key: Key, count: int, now: float) -> None:
        """It holds these already, whatever the limits say."""
        if count:
            self._add(key, self._holding(key, holder), count, now)

    def bequeath(self, holder: int, heir: int, key: Key, count: int) -> None:
        """These permits change hands; the heir wants no more and gives none up by request."""
        holding = self._holding(key, holder)
        assert count <= holding.held
        holding.held -= count
        holding.owed_at = -inf
        self._holding(key, heir).held += count
        self._forget_empty(key, holder)

    def forget(self, holder: int, key: Key, count: int) -> None:
        """These permits are another node's now; nobody here gets what they leave."""
        holding = self._holding(key, holder)
        assert count <= holding.held
        holding.held -= count
        self._total.add(key, -count)
        self._forget_empty(key, holder)

    def leave(self, holder: int) -> dict[Key, int]:
        """It wants nothing any more. Returns what it holds, which the caller bequeaths or gives back."""
        found: dict[Key, int] = {}
        for key in list(self._holdings):
            holding = self._holdings[key].get(holder)
            if holding is not None:
                self._end_want(key, holder, holding)
                if holding.held:
                    found[key] = holding.held
                self._forget_empty(key, holder)
        return found

    def look(self, now: float) -> list[Action]:
        """What time alone brings about; some times a second."""
        actions: list[Action] = []
        for key in list(self._wanting):
            actions += self._serve(key, now)
            if key in self._wanting:
                actions += self._press(key, now)
        return actions

    def trim(self, now: float) -> tuple[list[Action], bool]:
        """Have given up what is above a limit that has become smaller. Also, whether anything is."""
        actions: list[Action] = []
        excessive = False
        for key, holdings in self._holdings.items():
            limits = self._limits_of(key)
            surplus = self._total.keys.get(key, 0) - limits.pool_size - limits.reserve
            if surplus > 0:
                excessive = True
                givers = [(holder, key, one) for holder, one in holdings.items() if holder >= 0 and one.held]
                surplus -= sum(one.owes(now) for _, _, one in givers)
                able = sorted((one for one in givers if not one[2].owes(now)), key=lambda one: -one[2].held)
                actions += [_ask_for(*one, now, idle_only=False) for one in able[: max(surplus, 0)]]
        return actions, excessive

    # --- Who gets what is free ---------------------------------------------------------------------------------------

    def _serve_related(self, key: Key, now: float) -> list[Action]:
        """Hand out what a permit of this pool was in the way of."""
        actions: list[Action] = []
        for other in [key, *(other for other in list(self._wanting) if other != key and self._share(key, other))]:
            actions += self._serve(other, now)
        return actions

    def _serve(self, key: Key, now: float) -> list[Action]:
        granted: dict[int, int] = defaultdict(int)
        while not self.paused and key in self._wanting:
            holder = self._next(key, now)
            if holder is None:
                break
            holding = self._holdings[key][holder]
            self._add(key, holding, 1, now)
            granted[holder] += 1
            holding.want -= 1
            if not holding.want:
                self._end_want(key, holder, holding)
        return [(holder, Grant(key, count)) for holder, count in granted.items()]

    def _next(self, key: Key, now: float) -> int | None:
        """Who is to have the next one; None if there is none."""
        plain, reserved = self._room(key, reserve=False), self._room(key, reserve=True)
        holdings = self._holdings[key]
        able = [holder for holder in self._wanting[key] if (reserved if holdings[holder].reserve else plain) > 0]
        return min(able, key=lambda holder: _turn(holdings[holder], now), default=None)

    def _room(self, key: Key, *, reserve: bool) -> int:
        limits = self._limits_of(key)
        database, user, target = key
        room = limits.pool_size + (limits.reserve if reserve else 0) - self._total.keys.get(key, 0)
        if limits.per_database:
            room = min(room, limits.per_database - self._total.places.get((database, target), 0))
        if limits.per_user:
            room = min(room, limits.per_user - self._total.users.get(user, 0))
        return room

    def _limits_of(self, key: Key) -> Limits:
        try:
            return self._limits(key)
        except LookupError:
            return _NOTHING

    # --- Who gives one up --------------------------------------------------------------------------------------------

    def _press(self, key: Key, now: float) -> list[Action]:
        """Ask others for the permits that this pool's waiters need, as far as it is time."""
        if self.paused or key not in self._wanting:
            return []
        holdings = self._holdings[key]
        asker = min(self._wanting[key], key=lambda holder: _turn(holdings[holder], now))
        others = self._givers(key, asker)
        missing = sum(holdings[one].want for one in self._wanting[key]) - sum(one[2].owes(now) for one in others)
        others = [one for one in others if not one[2].owes(now)]
        free = [one for one in others if not one[2].want and now - one[2].busy_at >= IDLE_RETRY]
        if free:
            # Who was asked and could not is asked again after the others.
            free.sort(key=lambda one: (one[2].owed_at, -one[2].held))
            return [_ask_for(*one, now, idle_only=True) for one in free[: max(missing, 0)]]
        if missing <= 0 or now - holdings[asker].since < PATIENCE:
            return []
        busy = [
            one for one in others if now - one[2].granted_at >= HOLD and self._may_take(key, holdings[asker], one, now)
        ]
        if not busy:
            return []
        giver = min(busy, key=lambda one: (one[2].owed_at, -one[2].held / max(one[2].load, 1)))
        return [_ask_for(*giver, now, idle_only=False)]

    def _givers(self, key: Key, asker: int) -> list[tuple[int, Key, Holding]]:
        """Whose permits are in the way of this pool's next one."""
        full = self._total.keys.get(key, 0) >= self._limits_of(key).pool_size
        return [
            (holder, other, holding)
            for other in (list(self._holdings) if not full else [key])
            if other == key or self._share(key, other)
            for holder, holding in self._holdings[other].items()
            if holder >= 0 and holding.held and (holder, other) != (asker, key)
        ]

    def _may_take(self, key: Key, asker: Holding, giver: tuple[int, Key, Holding], now: float) -> bool:
        _, other, holding = giver
        if other != key:
            return not self._total.keys.get(key, 0)
        if not asker.held:
            return True
        if now - asker.since >= LONG and (not holding.want or holding.since > asker.since + LONG):
            return True
        return (holding.held - 1) * max(asker.load, 1) >= (asker.held + 1) * max(holding.load, 1)

    def _share(self, key: Key, other: Key) -> bool:
        """Whether a permit of the one pool may stand in the way of the other."""
        limits = self._limits_of(other)
        same_place = (key[0], key[2]) == (other[0], other[2])
        return (limits.per_database > 0 and same_place) or (limits.per_user > 0 and key[1] == other[1])

    # --- Books -------------------------------------------------------------------------------------------------------

    def _holding(self, key: Key, holder: int) -> Holding:
        return self._holdings.setdefault(key, {}).setdefault(holder, Holding())

    def _add(self, key: Key, holding: Holding, count: int, now: float) -> None:
        holding.held += count
        holding.granted_at = now
        self._total.add(key, count)

    def _end_want(self, key: Key, holder: int, holding: Holding) -> None:
        holding.want = holding.demand = 0
        waiting = self._wanting.get(key)
        if waiting is not None:
            waiting.discard(holder)
            if not waiting:
                del self._wanting[key]

    def _forget_empty(self, key: Key, holder: int) -> None:
        holdings = self._holdings[key]
        holding = holdings.get(holder)
        if holding is not None and not holding.held and not holding.want:
            del holdings[holder]
            if not holdings:
                del self._holdings[key]


def _ask_for(holder: int, key: Key, holding: Holding, now: float, *, idle_only: bool) -> Action:
    holding.owed_at = now
    return holder, Release(key, idle_only)


def _turn(holding: Holding, now: float) -> tuple[int, float, float]:
    """The smaller comes first."""
    if not holding.held:
        return 0, 0.0, holding.since
    if now - holding.since >= LONG:
        return 1, 0.0, holding.since
    return 2, (holding.held + 1) / max(holding.load, 1), holding.since


def _add(counts: dict[N, int], name: N, count: int) -> None:
    total = counts.get(name, 0) + count
    assert total >= 0
    if total:
        counts[name] = total
    else:
        counts.pop(name, None)
