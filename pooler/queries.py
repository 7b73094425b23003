"""What each statement costs, for SHOW QUERIES: an observer of all executions, where ``query_statistics`` is set.

Statements are told apart by their canonical text, in which constants are parameters: no value is kept. What is kept is
bounded in number and in bytes; what is forgotten is summed up under one name, so that the sums stay right.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from interceptor import __version__
from interceptor.hooks.containment import PluginRuntime, Running
from interceptor.hooks.declare import DEADLINE, PluginInfo
from interceptor.hooks.observing import Completion, Failure, Observer
from interceptor.hooks.plugins import Implementation, LoadedPlugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interceptor.hooks.statement import Execution, SessionClass, Statement

__all__ = ["BUCKETS", "MAX_TEXT", "NAME", "OTHERS", "QueryStatistics", "StatementCount", "bucket_of", "upper_bound"]

NAME: Final = "query_statistics"
"""As SHOW PLUGINS has it; no plugin of a user's can be called so, for it would be a setting of [server]."""

OTHERS: Final = "(others)"
UNREADABLE: Final = "(unreadable)"
"""What is no SQL that can be parsed, or too long; its text might hold anything."""

MAX_TEXT: Final = 1024
"""Characters of a statement that are kept. Longer ones with the same beginning are one."""

_FORGOTTEN: Final = 10
"""One in so many is forgotten when there are too many: those that have not run for longest."""

BUCKETS: Final = 144
"""Times are counted in buckets, four to each doubling: from 1 µs to 19 hours."""


def bucket_of(microseconds: int) -> int:
    """The bucket for a time."""
    if microseconds < 4:
        return max(0, microseconds)
    octave = microseconds.bit_length() - 1
    return min(BUCKETS - 1, 4 * (octave - 1) + ((microseconds >> (octave - 2)) & 3))


def upper_bound(bucket: int) -> int:
    """The longest time, in microseconds, that counts in this bucket."""
    if bucket < 4:
        return bucket
    octave, quarter = divmod(bucket, 4)
    return ((5 + quarter) << (octave - 1)) - 1


class StatementCount(Observer):
    """One statement of one user on one database. It observes its own executions."""

    __slots__ = (
        "answered",
        "blocked",
        "buckets",
        "calls",
        "database",
        "errors",
        "is_kept",
        "latest",
        "longest",
        "owner",
        "rows",
        "seconds",
        "text",
        "user",
    )

    shared = True

    def __init__(self, owner: QueryStatistics, database: str, user: str, text: str) -> None:
        self.owner = owner
        self.database = database
        self.user = user
        self.text = text
        self.is_kept = True
        self.latest = 0
        """Which execution of all was its last."""
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.calls = self.errors = self.blocked = self.answered = self.rows = 0
        self.seconds = self.longest = 0.0
        self.buckets = [0] * BUCKETS

    def add(self, other: StatementCount) -> None:
        """Count what another one has counted too."""
        self.calls += other.calls
        self.errors += other.errors
        self.blocked += other.blocked
        self.answered += other.answered
        self.rows += other.rows
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)
        self.buckets = [own + its for own, its in zip(self.buckets, other.buckets, strict=True)]

    # --- Observer ----------------------------------------------------------------------------------------------------

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        self._count(completion.seconds)
        self.rows += completion.rows
        if completion.by == "plugin":
            self.answered += 1

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if failure.retried:
            return
        if failure.by == "plugin":
            self._note()
            self.blocked += 1
        else:
            self._count(failure.seconds)
            self.errors += 1

    def _note(self) -> None:
        owner = self.owner
        owner.executions += 1
        self.latest = owner.executions
        if not self.is_kept:
            owner.take_back(self)
        self.calls += 1

    def _count(self, seconds: float) -> None:
        self._note()
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds
        self.buckets[bucket_of(int(seconds * 1e6))] += 1


class QueryStatistics:
    """The statements of one process."""

    def __init__(self, most: int) -> None:
        """``most``: how many are kept."""
        self.most = most
        self.executions = 0
        self._counts: dict[tuple[str, str, str], StatementCount] = {}
        self._others = StatementCount(self, "", "", OTHERS)

    def __iter__(self) -> Iterator[StatementCount]:
        yield from self._counts.values()
        if self._others.calls:
            yield self._others

    def __len__(self) -> int:
        return len(self._counts)

    def observe(self, statement: Statement, session: SessionClass) -> StatementCount:
        """The plan hook: the observer of a statement, the same one for all texts with its canonical text."""
        if statement.function:
            text = f"(function call {statement.function})"
        else:
            canonical = statement.canonical
            text = UNREADABLE if canonical is None else canonical[:MAX_TEXT]
        key = (session.database, session.user, text)
        found = self._counts.get(key)
        if found is None:
            found = StatementCount(self, *key)
            self._keep(found)
        return found

    def forget(self) -> None:
        """Begin anew."""
        for one in self:
            one.is_kept = False
        self._counts.clear()
        self._others.reset()

    def take_back(self, count: StatementCount) -> None:
        """A statement that was forgotten runs again: a plan that was made before still knows it."""
        key = (count.database, count.user, count.text)
        if key in self._counts:
            return
        count.reset()
        count.is_kept = True
        self._keep(count)

    def _keep(self, count: StatementCount) -> None:
        if len(self._counts) >= self.most:
            oldest = sorted(self._counts.values(), key=attrgetter("latest"))
            for one in oldest[: max(1, self.most // _FORGOTTEN)]:
                self._others.add(one)
                one.is_kept = False
                del self._counts[one.database, one.user, one.text]
        self._counts[count.database, count.user, count.text] = count

    def as_plugin(self, running: Running) -> LoadedPlugin:
        """What it is to those who call plugins."""
        runtime = PluginRuntime(NAME, closed=False, deadline=DEADLINE, running=running)
        hook = Implementation(runtime.hook("observe"), self.observe, ("statement", "session"))
        return LoadedPlugin(runtime, PluginInfo(version=__version__), __version__, None, self, (hook,))
