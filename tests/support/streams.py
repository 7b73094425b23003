"""Random conversations, most of them sensible.

A model remembers which statements and portals exist, so that most names mean something; a deliberate share of nonsense
is mixed in. Two things are never generated, because PostgreSQL closes the connection over them: anything but the
messages of a COPY while it reads one, and messages that belong to the login. The first needs care: a COPY FROM STDIN is
begun only where the messages that end it follow.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st

from tests.support import frontend
from tests.support.frontend import Frontend
from tests.support.script import EVERY_MODE, NOT_STATEMENT, Ending, Opening, Part, Stream
from tests.support.statements import (
    BROKEN,
    COPY_IN,
    COPY_OUT,
    FUNCTIONS,
    NO_FUNCTIONS,
    PARAMETERS,
    PREPARABLE,
    SESSION_STATE,
    SIMPLE,
    TRANSACTION_CONTROL,
    UNPREPARABLE,
    Kind,
    Template,
)

__all__ = ["Vocabulary", "streams"]

T = TypeVar("T")

_NAMES = ("", "one", "two", "three")
_NOWHERE = "nowhere"
# A COPY is prepared and bound under these alone, so that nothing else executes it by accident.
_COPY_NAMES = ("", "copy")
_LONGEST_BYTEWISE = 200
_TYPE_OIDS = {Kind.INT: 23, Kind.TEXT: 25, Kind.BYTEA: 17}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What streams may be made of: ``transactions`` explicit blocks, ``session_state`` what outlives a transaction."""

    transactions: bool = True
    session_state: bool = True
    newest_protocol: int = frontend.PROTOCOL_3_0

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups of statements for a Query or a Parse, each as likely as the others."""
        extra = (TRANSACTION_CONTROL,) if self.transactions else ()
        return (SIMPLE, SIMPLE, *extra, *((PARAMETERS, SESSION_STATE) if self.session_state else ()))


@functools.cache
def _below(limit: int) -> st.SearchStrategy[int]:
    # Not integers(), which prefers the ends of its range: what is meant to be seldom would not be. Kept, because a
    # strategy costs more to make than to draw from.
    return st.sampled_from(range(limit))


@dataclass(slots=True)
class _Item:
    """A message, and whether PostgreSQL flushes what it has after it."""

    message: Frontend
    flushes: bool


@dataclass(slots=True)
class _Composer:
    """Composes one stream act by act."""

    draw: Callable[[st.SearchStrategy[int]], int]
    vocabulary: Vocabulary
    items: list[_Item] = field(default_factory=list)
    prepared: dict[str, Template] = field(default_factory=dict)
    portals: dict[str, Template] = field(default_factory=dict)
    in_block: bool = False

    # Choices

    def pick(self, choices: Sequence[T]) -> T:
        """One of ``choices``; shrinking goes to the first."""
        return choices[self.number(0, len(choices) - 1)]

    def number(self, low: int, high: int) -> int:
        return low + self.draw(_below(high - low + 1))

    def seldom(self, one_in: int) -> bool:
        """True once in ``one_in``; shrinking goes to False."""
        return self.number(1, one_in) == one_in

    def say(self, message: Frontend, *, flushes: bool = False) -> None:
        self.items.append(_Item(message, flushes))

    # Acts

    def act(self) -> None:
        acts: list[Callable[[], None]] = [
            self.simple_query,
            self.batch,
            self.batch,
            self.pipeline,
            self.copy_in,
            self.copy_in_extended,
            self.copy_out,
            self.function_call,
            self.stray,
        ]
        if self.vocabulary.transactions:
            acts.append(self.transaction)
        self.pick(acts)()

    def simple_query(self) -> None:
        count = self.pick((1, 1, 1, 2, 3, 4))
        texts = [self.statement() for _ in range(count)]
        if count == 1 and self.seldom(5):
            texts = [self.pick(UNPREPARABLE)]
        self.say_query("; ".join(texts))

    def say_query(self, sql: str) -> None:
        self.say(frontend.query(sql), flushes=True)
        # A Query replaces the unnamed ones.
        self.prepared.pop("", None)
        self.end_batch()

    def end_batch(self) -> None:
        """Note that portals are gone with their transaction."""
        if self.in_block:
            self.portals.pop("", None)
        else:
            self.portals.clear()

    def statement(self) -> str:
        return self.pick(BROKEN) if self.seldom(12) else self.pick(self.pick(self.vocabulary.groups))

    def transaction(self) -> None:
        self.control(self.pick(("BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE")))
        self.in_block = True
        for _ in range(self.number(0, 4)):
            self.pick((self.simple_query, self.batch, self.pipeline, self.copy_in, self.copy_out, self.function_call))()
        self.in_block = False
        if not self.seldom(6):
            self.control(self.pick(("COMMIT", "ROLLBACK")))

    def control(self, sql: str) -> None:
        """Send ``sql`` in one protocol or the other."""
        if self.seldom(3):
            for message in (frontend.parse(sql), frontend.bind(), frontend.execute()):
                self.say(message)
            self.sync()
        else:
            self.say_query(sql)

    def batch(self) -> None:
        steps: list[Callable[[], None]] = [
            self.whole_statement,
            self.whole_statement,
            self.parse,
            self.bind,
            self.execute,
            self.describe,
            self.close,
            self.flush,
        ]
        for _ in range(self.number(1, 6)):
            self.pick(steps)()
        # Others in the place of the Sync. On PostgreSQL 18 a Query then leaves its transaction open until a Sync comes.
        others = (self.simple_query, self.function_call, self.flush) if self.vocabulary.transactions else ()
        self.pick((*(self.sync,) * 5, *others))()

    def pipeline(self) -> None:
        for _ in range(self.number(2, 5)):
            for _ in range(self.pick((1, 1, 0, 2, 3))):
                self.whole_statement()
            self.sync()

    def stray(self) -> None:
        """Messages in places where they do nothing."""
        choice = self.number(0, 5)
        if choice <= 1:
            for _ in range(self.number(1, 3)):
                self.sync()
        elif choice == 2:
            self.flush()
        elif choice == 3:
            self.say(frontend.copy_data(b"nobody waits for this\n"))
        elif choice == 4:
            self.say(frontend.copy_done())
        else:
            self.say(frontend.copy_fail("nothing to fail"))

    # The extended protocol

    def whole_statement(self) -> None:
        """Parse, Bind, perhaps Describe, Execute: what drivers send."""
        name, portal = self.pick(_NAMES), self.pick(_NAMES)
        if not name or name not in self.prepared or self.seldom(4):
            # Twice the same name is an error; seldom it is left to happen.
            if name and not self.seldom(15):
                self.say(frontend.close_statement(name))
            self.parse(name)
        if portal and portal in self.portals and not self.seldom(15):
            self.say(frontend.close_portal(portal))
        if self.seldom(5):
            self.say(frontend.describe_statement(name))
        self.bind(name, portal)
        if not self.seldom(3):
            self.say(frontend.describe_portal(portal))
        self.execute(portal)

    def parse(self, name: str | None = None) -> None:
        name = self.pick(_NAMES) if name is None else name
        template = Template(self.statement()) if self.seldom(3) else self.pick(PREPARABLE)
        types: tuple[int, ...] = ()
        if template.parameters and self.seldom(6):
            right = tuple(_TYPE_OIDS[kind] for kind in template.parameters)
            types = self.pick(((0,), right, right, right, (25, 23), (4_000_000_000,)))
        self.say(frontend.parse(template.sql, name, types))
        self.prepared[name] = template

    def bind(self, name: str | None = None, portal: str | None = None) -> None:
        name = self.some_name(self.prepared) if name is None else name
        portal = self.pick(_NAMES) if portal is None else portal
        template = self.prepared.get(name, Template(""))
        values, formats = self.values(template.parameters)
        results = self.pick(((0, 1), (7,))) if self.seldom(15) else self.pick(((), (1,), (0,)))
        self.say(frontend.bind(values, portal=portal, statement=name, formats=formats, results=results))
        self.portals[portal] = template

    def values(self, kinds: Sequence[Kind]) -> tuple[list[bytes | None], tuple[int, ...]]:
        """Values for parameters, and their format codes."""
        if self.seldom(30):
            return [b"1"] * self.number(0, 3), ()
        codes = [self.pick((0, 0, 1)) for _ in kinds]
        values = [self.value(kind, binary=bool(code)) for kind, code in zip(kinds, codes, strict=True)]
        if not any(codes):
            return values, self.pick(((), (0,)))
        if all(codes):
            return values, (1,)
        return values, tuple(codes)

    def value(self, kind: Kind, *, binary: bool) -> bytes | None:
        return self.pick(kind.wrong(binary=binary) if self.seldom(15) else kind.values(binary=binary))

    def execute(self, portal: str | None = None) -> None:
        portal = self.some_name(self.portals) if portal is None else portal
        rows = self.pick((0, 0, 1, 2, 20))
        self.say(frontend.execute(portal, rows))
        # Go on where the row limit stopped it; after its end PostgreSQL answers with no rows.
        for _ in range(self.pick((0, 1, 2)) if rows else 0):
            self.say(frontend.execute(portal, self.pick((rows, 1, 0))))

    def describe(self) -> None:
        if self.seldom(2):
            self.say(frontend.describe_portal(self.some_name(self.portals)))
        else:
            self.say(frontend.describe_statement(self.some_name(self.prepared)))

    def close(self) -> None:
        if self.seldom(2):
            name = self.some_name(self.portals)
            self.say(frontend.close_portal(name))
            self.portals.pop(name, None)
        else:
            name = self.some_name(self.prepared)
            self.say(frontend.close_statement(name))
            self.prepared.pop(name, None)

    def some_name(self, known: dict[str, Template]) -> str:
        """Mostly a name that exists; seldom one that may not."""
        if self.seldom(10):
            # SQL makes names as well: PREPARE p, DECLARE c.
            return self.pick((_NOWHERE, "p", "c", *_NAMES))
        return self.pick(tuple(known) or _NAMES)

    def sync(self) -> None:
        self.say(frontend.sync(), flushes=True)
        self.end_batch()

    def flush(self) -> None:
        self.say(frontend.flush(), flushes=True)

    def function_call(self) -> None:
        function = self.pick(NO_FUNCTIONS) if self.seldom(10) else self.pick(FUNCTIONS)
        arguments, formats = self.values(function.parameters)
        result = 7 if self.seldom(15) else self.pick((0, 1))
        self.say(frontend.function_call(function.oid, arguments, formats=formats, result=result), flushes=True)
        self.end_batch()

    # COPY

    def copy_out(self) -> None:
        sql = self.pick(COPY_OUT)
        if self.seldom(3):
            for message in (frontend.parse(sql), frontend.bind(), frontend.execute()):
                self.say(message)
            self.sync()
        else:
            self.say_query(f"{sql}; {self.statement()}" if self.seldom(4) else sql)

    def copy_in(self) -> None:
        copies = [self.pick(COPY_IN) for _ in range(self.pick((1, 1, 1, 2)))]
        texts = [copy.sql for copy in copies]
        if self.seldom(4):
            texts.insert(self.number(0, len(texts)), self.statement())
        self.say_query("; ".join(texts))
        for copy in copies:
            self.copy_rows(copy.good, copy.bad)

    def copy_in_extended(self) -> None:
        copy = self.pick(COPY_IN)
        name, portal = self.pick(_COPY_NAMES), self.pick(_COPY_NAMES)
        if name:
            self.say(frontend.close_statement(name))
        if portal:
            self.say(frontend.close_portal(portal))
        self.say(frontend.parse(copy.sql, name))
        self.say(frontend.bind(portal=portal, statement=name))
        if self.seldom(2):
            self.say(frontend.describe_portal(portal))
        self.say(frontend.execute(portal), flushes=True)
        # psql and libpq send a Sync here, which the COPY swallows.
        if self.seldom(2):
            self.sync()
        self.copy_rows(copy.good, copy.bad)
        self.sync()
        # Nobody shall bind the COPY again without rows to follow.
        for each, kind in ((self.prepared, frontend.close_statement), (self.portals, frontend.close_portal)):
            each.pop("", None)
            self.say(kind(""))

    def copy_rows(self, good: Sequence[bytes], bad: Sequence[bytes]) -> None:
        rows = [*good[: self.number(0, len(good))]] if self.seldom(4) else [*good]
        if self.seldom(5):
            rows.insert(self.number(0, len(rows)), self.pick(bad))
        data = b"".join(rows)
        cuts = sorted({0, len(data), *(self.number(0, len(data)) for _ in range(self.number(0, 3)))})
        for start, end in itertools.pairwise(cuts):
            self.say(frontend.copy_data(data[start:end]), flushes=True)
            if self.seldom(6):
                self.pick((self.sync, self.flush))()
        if self.seldom(8):
            self.say(frontend.copy_data(b""))
        if self.seldom(6):
            self.say(frontend.copy_fail("changed its mind"), flushes=True)
        else:
            self.say(frontend.copy_done(), flushes=True)

    # Cutting

    def parts(self) -> list[Part]:
        """The messages in parts: what is written together, how it is cut, where to wait."""
        each_alone = self.seldom(4)
        eager = self.pick((1, 2, 4, 1000))
        parts: list[Part] = []
        group: list[Frontend] = []
        for item in self.items:
            group.append(item.message)
            wait = item.flushes and (eager == 1 or self.seldom(eager) if eager < 1000 else False)
            if wait or each_alone:
                parts.append(self.cut(group, wait=wait))
                group = []
        if group or not parts or not parts[-1].wait:
            # An end that is at rest, so that it does not matter when the goodbye arrives.
            parts.append(self.cut([*group, frontend.flush()], wait=True))
        return parts

    def cut(self, group: list[Frontend], *, wait: bool) -> Part:
        length = sum(len(message.data) for message in group)
        how = self.pick(("whole", "whole", "whole", "cuts", "cuts", "bytewise"))
        if how == "bytewise" and length <= _LONGEST_BYTEWISE:
            return Part(tuple(group), bytewise=True, wait=wait)
        count = 0 if how == "whole" else self.number(1, 4)
        return Part(tuple(group), tuple(self.number(1, max(1, length - 1)) for _ in range(count)), wait=wait)

    def opening(self) -> Opening:
        preludes = self.pick(((), (), ("ssl",), ("gss",), ("gss", "ssl"), ("cancel",)))
        version = self.pick((frontend.PROTOCOL_3_0, self.vocabulary.newest_protocol))
        parameters: tuple[tuple[str, str], ...] = ()
        if self.seldom(3):
            choices = (("application_name", "a stream"), ("TimeZone", "Europe/Warsaw"), ("options", "-c DateStyle=SQL"))
            parameters = (self.pick(choices),)
        return Opening(preludes, version, parameters)


@st.composite
def streams(draw: st.DrawFn, vocabulary: Vocabulary | None = None, *, longest: int = 8) -> Stream:
    """Streams of up to ``longest`` acts, from the simplest to the wildest."""
    vocabulary = vocabulary or Vocabulary()
    composer = _Composer(draw, vocabulary)
    opening = composer.opening()
    for _ in range(composer.number(1, longest)):
        composer.act()
    parts = composer.parts()
    ending = composer.pick((Ending.TIDY,) * 6 + (Ending.TERMINATE, Ending.VANISH))
    modes = NOT_STATEMENT if vocabulary.transactions else EVERY_MODE
    return Stream("generated", tuple(parts), modes, opening, ending)
