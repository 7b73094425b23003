"""Plans by text, for each class of sessions: what is looked up for every Query, Parse and Bind.

A hit is one ``dict.get``. ``PlanTable.get`` gives a chain, False for a text that nobody wants, or None for one that has
to be planned. All tables together are bounded in bytes, in two generations: when the young ones are full they become
the old ones, and what is asked for again moves back.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias
from weakref import WeakSet

from interceptor.hooks.chain import Chain
from interceptor.hooks.containment import HookFailure
from interceptor.hooks.planning import Explanation, explain, make_chain
from interceptor.hooks.statement import Resolution, Session, SessionClass, Statement
from interceptor.sql.facts import MessageFacts, Opaque, OpaqueReason
from interceptor.sql.facts_cache import MAX_SHAPED, facts_size, shape_of

if TYPE_CHECKING:
    from interceptor.hooks.plugins import PluginSet
    from interceptor.hooks.waits import Waits

__all__ = ["Analyst", "PlanTable", "PlanTables", "Planned"]

Planned: TypeAlias = "Chain | Literal[False]"
"""The chain of a text, or False if nobody wants it."""

MAX_KEPT: Final = 16 * 1024  # bytes of a text
MAX_TABLES: Final = 10_000
_ENTRY: Final = 150  # bytes of memory of an entry beside its text
_CHAIN: Final = 700  # bytes of a chain with its statement, beside its facts
_STEP: Final = 1000  # bytes of a step, and of what a plugin keeps for it, such as a decision or a function's variables
_SHAPE: Final = 350  # bytes of memory of a shape beside its text
_LAST: Final = 4096
_ATTEMPTS: Final = 5

_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_HAS_MORE: Final = re.compile(rb"[0-9']")
"""Of a shape: digits that belong to no literal, or a string."""

_Shape = tuple[int, bytes]
"""How long a text is, and what is left of it without the values of its literals (``facts_cache.shape_of``)."""


class Analyst(Protocol):
    """Where facts come from."""

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts | Awaitable[MessageFacts]:
        """The facts of a text; awaitable where it is too long to be analysed at once. Never raises."""

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        """The facts with this text's own literals and places."""

    def resolve(self, session: Session) -> Resolution | Awaitable[Resolution]:
        """The catalogue, and what decides about names in this session. Never raises."""


class PlanTable:
    """The plans of one class of sessions."""

    __slots__ = (
        "__weakref__",
        "_old",
        "_old_shapes",
        "_owner",
        "_shares",
        "_young",
        "_young_shapes",
        "database",
        "epoch",
        "get",
        "stale",
        "views",
    )

    def __init__(
        self, owner: PlanTables, database: str, views: Mapping[str, SessionClass], *, shares: bool = True
    ) -> None:
        """``shares``: its texts read under standard lexing, so that their literals can be told."""
        self._owner = owner
        self._shares: Final = shares
        self.database: Final = database
        self.views: Final = views
        """What each plugin sees of the class."""
        self.stale = False
        """Plugins were replaced: its sessions belong to other classes now."""
        self.epoch = 0
        """Grows when the table is emptied."""
        self._old: dict[bytes, Planned] = {}
        self._young: dict[bytes, Planned] = {}
        self.get: Callable[[bytes], Planned | None] = self._young.get
        """The hot path: a chain, False if nobody wants the text, None if it is not known."""
        self._old_shapes: dict[_Shape | bytes, Planned] = {}
        self._young_shapes: dict[_Shape | bytes, Planned] = {}
        """Of texts that nobody wants, or whose observers are the same, whatever the values of their literals."""

    def view_of(self, plugin: str) -> SessionClass:
        """What a plugin sees of the class."""
        return self.views[plugin]

    def find(self, sql: bytes) -> Planned | None:
        """What ``get`` did not find, but the old generation, or texts that differ in the values of literals alone."""
        found = self._old.get(sql)
        if found is not None:
            self.keep(sql, found)
            return found
        if not self._shares or len(sql) > MAX_SHAPED:
            return None
        found = self._young_shapes.get(sql.translate(_ZEROS))
        if found is None:
            shape = self._shape_of(sql)
            if shape is None:
                return None
            found = self._young_shapes.get(shape)
            if found is None:
                found = self._old_shapes.get(shape)
                if found is None:
                    return None
                self._keep_shape(sql, shape, found)
        if found:
            found = found.for_text(sql)
        if self._owner.came_before(sql):
            self.keep(sql, found)
        return found

    def _shape_of(self, sql: bytes) -> _Shape | None:
        shape = shape_of(sql) if self._shares else None
        return None if shape is None else (len(sql), shape)

    def _keep_shape(self, sql: bytes, shape: _Shape, planned: Planned) -> None:
        if self._owner.make_room(len(sql) + len(shape[1]) + _SHAPE + _size_of(planned)):
            self._young_shapes[shape] = planned
            if not _HAS_MORE.search(shape[1]):
                # All its digits are those of literals, and no digit is treated as another is: so a text that differs
                # in nothing but digits has the same shape. That is found out in a tenth of the time.
                self._young_shapes[sql.translate(_ZEROS)] = planned

    def keep_plan(self, sql: bytes, statement: Statement, planned: Planned) -> None:
        """Remember what was planned for a text. If it rests on nothing but what its facts share with others', it is
        theirs as well: that nobody wants them, or who observes them."""
        if statement.facts.example and not statement.looked_into and (not planned or planned.shared):
            shape = self._shape_of(sql)
            if shape is not None:
                self._keep_shape(sql, shape, planned)
                return
        self.keep(sql, planned)

    def keep(self, sql: bytes, planned: Planned) -> None:
        """Remember."""
        if len(sql) > MAX_KEPT:
            return
        if self._owner.make_room(len(sql) + _ENTRY + _size_of(planned)):
            self._young[sql] = planned

    def turn(self) -> None:
        """The young generation becomes the old one."""
        self._old, self._old_shapes = self._young, self._young_shapes
        self._young, self._young_shapes = {}, {}
        self.get = self._young.get

    def empty(self) -> None:
        """Forget everything."""
        self._old, self._old_shapes = {}, {}
        self._young, self._young_shapes = {}, {}
        self.get = self._young.get
        self.epoch += 1


class PlanTables:
    """All plans of a process. Implements ``chain.Planner``."""

    def __init__(self, plugins: PluginSet, analyst: Analyst, waits: Waits, max_bytes: int = 16 * 1024 * 1024) -> None:
        """``max_bytes`` bounds the memory of all tables together."""
        self.plugins = plugins
        self.analyst: Final = analyst
        self.waits: Final = waits
        self._half = max_bytes // 2
        self._bytes = self._old_bytes = 0
        self._last = [0] * _LAST
        """Of texts that were asked about."""
        self._tables: dict[Hashable, PlanTable] = {}
        self._private: WeakSet[PlanTable] = WeakSet()
        plugins.on_invalidated = self.invalidate

    # --- Classes ---------------------------------------------------------------------------------------------------

    def table_of(self, session: Session) -> PlanTable:
        """The table of the session's class. Sets ``session.table``; only when that is None is anything done."""
        table = session.table
        if table is None or table.stale:
            table = session.table = self._find_table(session)
        return table

    def _find_table(self, session: Session) -> PlanTable:
        declared, labels = self.plugins.classify(session)
        failed = any(isinstance(label, HookFailure) for label in labels.values())
        key = (session.database, session.user, session.names, session.reads_alike, *declared.values(), *labels.values())
        private = session.names == "own"
        table = None if private or failed else self._tables.get(key)
        if table is None:
            views = self.plugins.views(session, declared, labels)
            table = PlanTable(self, session.database, views, shares=session.reads_alike)
            # One without a label is of no class: it is asked for again with the next text.
            table.stale = failed
            if private or failed:
                self._private.add(table)
            else:
                if len(self._tables) >= MAX_TABLES:
                    self._discard_tables()
                self._tables[key] = table
        return table

    def _discard_tables(self) -> None:
        for table in self._all():
            table.stale = True
            table.empty()
        self._tables.clear()
        self._private.clear()
        self._bytes = self._old_bytes = 0

    def _all(self) -> list[PlanTable]:
        return [*self._tables.values(), *self._private]

    # --- Plans -----------------------------------------------------------------------------------------------------

    def lookup(self, session: Session, sql: bytes) -> Planned | Awaitable[Planned]:
        """The chain of a text for this session, or False. An awaitable where facts or names have to be waited for.

        The hot path asks ``session.table.get(sql)`` first, and calls this where that is None.
        """
        table = self.table_of(session)
        found = table.get(sql)
        if found is None:
            found = table.find(sql)
        if found is not None:
            return found
        made = self._make(session, sql)
        if isinstance(made, tuple):
            return made[1] or False
        return _planned_of(made)

    def plan(
        self, session: Session, sql: bytes
    ) -> tuple[Statement, Chain | None] | Awaitable[tuple[Statement, Chain | None]]:
        """As ``lookup``, with the statement."""
        found = self.table_of(session).get(sql)
        if found:
            return found.statement, found
        return self._make(session, sql)

    def lookup_function(self, session: Session, oid: int) -> Planned | Awaitable[Planned]:
        """The chain of a FunctionCall message."""
        # No text of SQL has a NUL in it.
        return self.lookup(session, b"\0%d" % oid)

    def explain(self, session: Session, sql: bytes) -> tuple[Explanation, ...] | Awaitable[tuple[Explanation, ...]]:
        """What each plugin plans for a text, and why."""
        table = self.table_of(session)
        statement = self._statement(session, sql)
        if isinstance(statement, Statement):
            return explain(self.plugins.plan_hooks, statement, table.views)

        async def later(pending: Awaitable[Statement]) -> tuple[Explanation, ...]:
            return explain(self.plugins.plan_hooks, await pending, table.views)

        return later(statement)

    def _make(
        self, session: Session, sql: bytes
    ) -> tuple[Statement, Chain | None] | Awaitable[tuple[Statement, Chain | None]]:
        table = self.table_of(session)
        epoch = table.epoch
        statement = self._statement(session, sql)
        if isinstance(statement, Statement):
            return statement, self._chain(table, sql, statement)
        return self._make_later(session, sql, statement, table, epoch)

    async def _make_later(
        self, session: Session, sql: bytes, pending: Awaitable[Statement], table: PlanTable, epoch: int
    ) -> tuple[Statement, Chain | None]:
        for _ in range(_ATTEMPTS):
            statement = await pending
            now = self.table_of(session)
            if now is table and table.epoch == epoch:
                return statement, self._chain(table, sql, statement)
            # What it rests on was replaced meanwhile.
            table, epoch = now, now.epoch
            again = self._statement(session, sql)
            if isinstance(again, Statement):
                return again, self._chain(table, sql, again)
            pending = again
        statement = await pending
        chain, _ = self._ask(self.table_of(session), statement)
        return statement, chain

    def _chain(self, table: PlanTable, sql: bytes, statement: Statement) -> Chain | None:
        chain, sound = self._ask(table, statement)
        if sound:
            table.keep_plan(sql, statement, chain or False)
        return chain

    def _ask(self, table: PlanTable, statement: Statement) -> tuple[Chain | None, bool]:
        plugins = self.plugins
        return make_chain(plugins.plan_hooks, self, statement, table.views, tracks=plugins.tracks_transactions)

    def _statement(self, session: Session, sql: bytes) -> Statement | Awaitable[Statement]:
        """The text with its facts and, if any plugin asked for it, what its names mean."""
        if sql.startswith(b"\0"):
            function = int(sql[1:])
            opaque = (Opaque(OpaqueReason.CALL, f"the function {function}"),)
            return Statement(b"", MessageFacts(size=0, opaque=opaque), function=function)
        lexing = session.reads_alike
        facts = self.analyst.facts(sql, lexing)
        if not isinstance(facts, MessageFacts):
            return self._statement_later(session, sql, facts)
        if not self.plugins.needs_catalogue:
            return self._made(session, sql, facts, None)
        resolution = self.analyst.resolve(session)
        if isinstance(resolution, Resolution):
            return self._made(session, sql, facts, resolution)
        return self._resolved_later(session, sql, facts, resolution)

    async def _statement_later(self, session: Session, sql: bytes, facts: Awaitable[MessageFacts]) -> Statement:
        known = await facts
        if not self.plugins.needs_catalogue:
            return self._made(session, sql, known, None)
        resolution = self.analyst.resolve(session)
        if not isinstance(resolution, Resolution):
            resolution = await resolution
        return self._made(session, sql, known, resolution)

    async def _resolved_later(
        self, session: Session, sql: bytes, facts: MessageFacts, resolution: Awaitable[Resolution]
    ) -> Statement:
        return self._made(session, sql, facts, await resolution)

    def _made(self, session: Session, sql: bytes, facts: MessageFacts, resolution: Resolution | None) -> Statement:
        lexing = session.reads_alike
        exact = (lambda text: self.analyst.exact(text, lexing)) if facts.example else None
        return Statement(sql, facts, resolution=resolution, reads_alike=lexing, exact=exact)

    # --- Memory and change -----------------------------------------------------------------------------------------

    def came_before(self, sql: bytes) -> bool:
        """Whether this text was asked about not long ago: then it may come a third time, and is worth a place."""
        number = hash(sql)
        slot = number % _LAST
        if self._last[slot] == number:
            return True
        self._last[slot] = number
        return False

    def make_room(self, size: int) -> bool:
        """Count an entry; whether it may be kept at all."""
        if size > self._half:
            return False
        if self._bytes + size > self._half:
            for table in self._all():
                table.turn()
            self._old_bytes, self._bytes = self._bytes, 0
        self._bytes += size
        return True

    def memory(self) -> int:
        """About how many bytes of memory the plans take, never more than ``max_bytes``."""
        return self._bytes + self._old_bytes

    def invalidate(self, database: str | None = None) -> None:
        """Forget all plans, or those of a database: what they rest on is different now.

        For all databases, the classes of sessions go too: a plugin may see its sessions in another way now.
        """
        if database is None:
            self._discard_tables()
            return
        for table in self._all():
            if table.database == database:
                table.empty()

    def replace_plugins(self, plugins: PluginSet) -> None:
        """From now on these plugins are asked. What runs already goes on with the plans that it has."""
        self.plugins = plugins
        plugins.on_invalidated = self.invalidate
        self._discard_tables()


def _size_of(planned: Planned) -> int:
    """About how many bytes of memory a plan takes beside its text."""
    return _CHAIN + _STEP * len(planned.steps) + facts_size(planned.statement.facts) if planned else 0


async def _planned_of(made: Awaitable[tuple[Statement, Chain | None]]) -> Planned:
    return (await made)[1] or False
