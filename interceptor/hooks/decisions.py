"""What a plugin may decide about a statement: frozen values, checked when they are made.

A value that could not be carried out is refused where it is made, so that the traceback shows the plugin's own line.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from interceptor.protocol.datatypes import PythonValue, find_type
from interceptor.protocol.rows import MAX_COLUMNS

if TYPE_CHECKING:
    from interceptor.hooks.observing import Observer
    from interceptor.hooks.statement import Execution, Session, SessionClass

__all__ = [
    "FORWARD",
    "Block",
    "Blocked",
    "Column",
    "CopyRows",
    "Decision",
    "Delay",
    "Forward",
    "Limits",
    "Plan",
    "Planned",
    "Replay",
    "Respond",
    "Retry",
    "Rewrite",
    "Route",
    "Row",
    "Rows",
    "Shape",
    "Step",
    "Value",
]

_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})


def _no_settings() -> Mapping[str, str]:
    return _NO_SETTINGS


def _expect(kind: type | tuple[type, ...], **values: object) -> None:
    """Raise TypeError for a value of another kind. Plugins need not be typed, and it is their line that is wrong."""
    for name, value in values.items():
        if not isinstance(value, kind):
            wanted = kind.__name__ if isinstance(kind, type) else " or ".join(one.__name__ for one in kind)
            raise TypeError(f"{name} is of the type {wanted}, and not {type(value).__name__}")


def _expect_columns(columns: object) -> None:
    _expect((tuple, list), columns=columns)
    assert isinstance(columns, (tuple, list))
    for column in columns:
        _expect(Column, column=column)
    if len(columns) > MAX_COLUMNS:
        raise ValueError(f"a result has at most {MAX_COLUMNS} columns, and not {len(columns)}")


def _expect_tag(tag: object) -> None:
    _expect(str, tag=tag)
    assert isinstance(tag, str)
    if "\0" in tag or not tag.isascii():
        raise ValueError("a command tag is ASCII without a NUL character")


Row: TypeAlias = Sequence[PythonValue]
"""One row: a Python value per column, None for NULL."""

Rows: TypeAlias = Iterable[Row] | AsyncIterable[Row]
"""Rows, pulled one by one as the client reads. What has ``close`` or ``aclose`` is closed if the client leaves."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one execution may return; 0 is no limit. One row or byte more ends the result with an error."""

    rows: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        _expect(int, rows=self.rows, bytes=self.bytes)
        if self.rows < 0 or self.bytes < 0:
            raise ValueError(f"limits can't be negative: {self}")

    def tightened(self, other: Limits) -> Limits:
        """The smaller of both, for each."""
        return Limits(_smaller(self.rows, other.rows), _smaller(self.bytes, other.bytes))


NO_LIMITS: Final = Limits()


def _smaller(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


@dataclass(frozen=True, slots=True)
class Forward:
    """Let it pass, under these conditions. ``settings`` hold for this statement alone, as SET LOCAL would."""

    limits: Limits | None = None
    settings: Mapping[str, str] = field(default_factory=_no_settings)
    observer: Observer | None = None
    """Of this execution alone."""

    def __post_init__(self) -> None:
        if self.limits is not None:
            _expect(Limits, limits=self.limits)
        if self.settings is not _NO_SETTINGS:
            _expect(Mapping, settings=self.settings)
            for name, value in self.settings.items():
                _expect(str, name=name, value=value)


@dataclass(frozen=True, slots=True)
class Block:
    """Refuse it with an error of PostgreSQL's form. In a transaction it fails that, as an error of the server would.

    ``position``: a character of the client's text, counted from 1; 0 for none.
    """

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int = 0
    column: str = ""
    table: str = ""
    schema: str = ""
    constraint: str = ""

    def __post_init__(self) -> None:
        _expect(str, sqlstate=self.sqlstate, message=self.message, detail=self.detail, hint=self.hint)
        _expect(str, column=self.column, table=self.table, schema=self.schema, constraint=self.constraint)
        _expect(int, position=self.position)
        if not _SQLSTATE.fullmatch(self.sqlstate) or self.sqlstate[:2] in ("00", "01", "02"):
            raise ValueError(f"{self.sqlstate!r} is no SQLSTATE of an error: five of 0-9 and A-Z, such as 42501")
        if not self.message:
            raise ValueError("a Block needs a message: a sentence that says what was refused, and why")
        if self.position < 0:
            raise ValueError(f"a position is counted from 1, and 0 is none: {self.position}")


class Blocked(Exception):
    """Raise it in a step, or while rows are made, to block from within. It is a decision, and no failure."""

    def __init__(self, block: Block) -> None:
        _expect(Block, block=block)
        super().__init__(block.message)
        self.block = block


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer. ``type`` is PostgreSQL's name, such as ``text``, ``varchar(20)`` or ``int4[]``.

    ``table`` and ``number`` are the OID and attribute number of the column that it is, where it is one of a table.
    """

    name: str
    type: str
    table: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        _expect(str, name=self.name, type=self.type)
        _expect(int, table=self.table, number=self.number)
        find_type(self.type)
        if "\0" in self.name:
            raise ValueError("a column's name can't have a NUL character")
        if not 0 <= self.table < 1 << 32 or not -(1 << 15) <= self.number < 1 << 15:
            raise ValueError(f"no column of a table has the OID {self.table} and the number {self.number}")


@dataclass(frozen=True, slots=True)
class Shape:
    """What Describe would say: types of the parameters, and columns. ``columns`` is None where there is no result."""

    columns: tuple[Column, ...] | None
    parameters: tuple[str, ...] = ()
    """Names of types."""

    def __post_init__(self) -> None:
        if self.columns is not None:
            _expect_columns(self.columns)
        for name in self.parameters:
            find_type(name)


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer it here. The rows' values must fit the columns' types; one that doesn't ends the result with an error.

    ``tag`` is the command tag; left empty it is ``SELECT`` and the number of rows.
    """

    columns: tuple[Column, ...]
    rows: Rows = ()
    tag: str = ""
    observer: Observer | None = None

    def __post_init__(self) -> None:
        _expect_columns(self.columns)
        _expect_tag(self.tag)


@dataclass(frozen=True, slots=True)
class Replay:
    """Answer it with rows as PostgreSQL sent them.

    ``description``: the body of a RowDescription message; its format codes must be those that this client asked for.
    ``rows``: whole DataRow messages, one or more in each piece. ``count``: how many they are.
    """

    description: bytes
    rows: tuple[bytes, ...]
    count: int
    tag: str
    observer: Observer | None = None

    def __post_init__(self) -> None:
        _expect(bytes, description=self.description)
        _expect(tuple, rows=self.rows)
        for piece in self.rows:
            # What is within a piece is not looked at: that would cost every hit of a cache as much as its rows.
            _expect(bytes, rows=piece)
            if piece[:1] != b"D":
                raise ValueError("the rows of a Replay are whole DataRow messages")
        _expect(int, count=self.count)
        _expect_tag(self.tag)


@dataclass(frozen=True, slots=True)
class Value:
    """A value that the client did not send, for a parameter of a rewritten statement."""

    type: str
    value: PythonValue

    def __post_init__(self) -> None:
        _expect(str, type=self.type)
        find_type(self.type)


@dataclass(frozen=True, slots=True)
class CopyRows:
    """Rows for ``COPY table (columns) FROM STDIN``, run on the statement's own backend. ``table`` is quoted SQL."""

    table: str
    columns: tuple[Column, ...]
    rows: Rows


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Run another text in its place. The new text is analysed, and guarded, like one that the client sent.

    ``parameters``: for $1, $2, … of the new text either the number of a parameter of the old one, or a value. None:
    the same as in the old text. ``before``: SQL and rows for the same backend, in the same transaction, first.
    ``describe``: whose answer to Describe the client gets. ``observer``: of this execution alone.
    """

    sql: str
    parameters: tuple[int | Value, ...] | None = None
    before: tuple[str | CopyRows, ...] = ()
    describe: Literal["original", "rewritten"] = "rewritten"
    observer: Observer | None = None

    def __post_init__(self) -> None:
        _expect(str, sql=self.sql)
        if "\0" in self.sql:
            raise ValueError("SQL can't have a NUL character")
        # Bytes of the client's that are no UTF-8 come back as they were; nothing else that is no text may pass.
        self.sql.encode("utf-8", "surrogateescape")
        _expect(tuple, parameters=self.parameters or (), before=self.before)
        for number in self.parameters or ():
            _expect((int, Value), parameter=number)
            if isinstance(number, int) and number < 1:
                raise ValueError(f"parameters are counted from 1: {number}")
        for one in self.before:
            _expect((str, CopyRows), before=one)
        if self.describe not in ("original", "rewritten"):
            raise ValueError(f'describe is "original" or "rewritten", and not {self.describe!r}')


@dataclass(frozen=True, slots=True)
class Retry:
    """Run it once more on ``target`` if it fails with one of ``sqlstates``.

    Done only outside of a transaction, before anything was sent to the client, and if nothing else ran with it.
    """

    target: str
    sqlstates: frozenset[str]

    def __post_init__(self) -> None:
        _expect(str, target=self.target)
        _expect((frozenset, set), sqlstates=self.sqlstates)


@dataclass(frozen=True, slots=True)
class Route:
    """Run it on the named target. At a BEGIN it holds for the transaction."""

    target: str
    retry: Retry | None = None
    observer: Observer | None = None

    def __post_init__(self) -> None:
        _expect(str, target=self.target)
        if self.retry is not None:
            _expect(Retry, retry=self.retry)


@dataclass(frozen=True, slots=True)
class Delay:
    """Let the client wait, then go on with the next plugin."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= 3600:
            raise ValueError(f"a delay is between 0 and 3600 seconds: {self.seconds}")


FORWARD: Final = Forward()

Decision: TypeAlias = Forward | Block | Respond | Replay | Rewrite | Route | Delay

Step: TypeAlias = "Callable[[Execution], Decision | Awaitable[Decision | None] | None]"
"""Called at every execution. None is the same as ``FORWARD``: go on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision or a step, and what there is to say about it.

    ``reason`` and ``facts`` are shown by ``interceptor explain`` and cost nothing at execution. With ``decide=None``
    nothing is done: the reason then says why not. ``shape``: what Describe would say, if it is to be answered here;
    a callable gives it, or None while it isn't known. ``observer``: of each execution of this text. ``refused``: with
    a Block as ``decide``, called each time that it refuses, at Parse or at execution; it can't change anything.
    """

    decide: Decision | Step | None = None
    reason: str = ""
    facts: tuple[str, ...] = ()
    shape: Shape | Callable[[SessionClass], Shape | None] | None = None
    observer: Observer | None = None
    refused: Callable[[Session], None] | None = None


Planned: TypeAlias = "Plan | Decision | Step | None"
"""What a plan hook returns."""
