"""The SQL that generated streams are made of: every result is the same each time it is run on the same tables.

No clock, no process id, no OID, nothing whose order is open. The tables are those of ``tests.support.world``.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BROKEN",
    "COPY_IN",
    "COPY_OUT",
    "FUNCTIONS",
    "NO_FUNCTIONS",
    "PARAMETERS",
    "PREPARABLE",
    "SESSION_STATE",
    "SIMPLE",
    "TRANSACTION_CONTROL",
    "UNPREPARABLE",
    "CopyIn",
    "Function",
    "Kind",
    "Template",
]


class Kind(enum.Enum):
    """A kind of parameter, with values as text and in binary."""

    INT = enum.auto()
    TEXT = enum.auto()
    BYTEA = enum.auto()

    def values(self, *, binary: bool) -> Sequence[bytes | None]:
        """Values that this kind takes in the format."""
        return (_BINARIES if binary else _TEXTS)[self]

    def wrong(self, *, binary: bool) -> Sequence[bytes | None]:
        """Values that it refuses, or that make many a statement fail."""
        return (_WRONG_BINARIES if binary else _WRONG_TEXTS)[self]


_BIG = bytes(range(33, 123)) * 1112  # some 100 KB
_INTS = (1, 2, 7, 50)
_WRONG_INTS = (0, -1)
_TEXT = (b"a", b"", b"it's", "żółć ☃".encode(), None, _BIG)
_TEXTS: dict[Kind, Sequence[bytes | None]] = {
    Kind.INT: tuple(str(number).encode() for number in _INTS),
    Kind.TEXT: _TEXT,
    Kind.BYTEA: (b"\\x00ff", b"", b"plain", None),
}
_BINARIES: dict[Kind, Sequence[bytes | None]] = {
    Kind.INT: tuple(struct.pack("!i", number) for number in _INTS),
    Kind.TEXT: _TEXT,
    Kind.BYTEA: (b"\0\1\2", b"", _BIG, None),
}
_WRONG_TEXTS: dict[Kind, Sequence[bytes | None]] = {
    Kind.INT: (b"0", b"-1", None, b"seven", b""),
    Kind.TEXT: (b"\xff is no UTF-8",),
    Kind.BYTEA: (b"\\xf",),
}
_WRONG_BINARIES: dict[Kind, Sequence[bytes | None]] = {
    Kind.INT: (*(struct.pack("!i", number) for number in _WRONG_INTS), None, b"\0\1"),
    Kind.TEXT: (b"\xff is no UTF-8", b"a\0b"),
    Kind.BYTEA: (b"",),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A statement for Parse, and the kinds of its parameters."""

    sql: str
    parameters: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function for FunctionCall. The OIDs of built-in functions are the same everywhere (pg_proc.dat)."""

    oid: int
    parameters: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class CopyIn:
    """A COPY FROM STDIN, rows it takes, and rows it stumbles over."""

    sql: str
    good: tuple[bytes, ...]
    bad: tuple[bytes, ...]


# Statements for Query, and nearly all for Parse as well.
SIMPLE: tuple[str, ...] = (
    "SELECT 1",
    "SELECT id, v FROM t ORDER BY id LIMIT 5",
    "SELECT id, v FROM t ORDER BY id",
    "SELECT * FROM t WHERE false",
    "SELECT",
    "SELECT 1 AS a, NULL AS b, 'x'::text AS c, 2.50::numeric AS d, true AS e",
    "VALUES (1, 'one'), (2, NULL)",
    "SELECT generate_series(1, 300)",
    "SELECT repeat('x', 100000)",
    "SELECT '2024-02-29 12:34:56+00'::timestamptz, '1 day 02:03'::interval",
    "SELECT shout('to all')",
    "INSERT INTO w (a, b) VALUES (1, 'one')",
    "INSERT INTO w (a, b) VALUES (2, 'two'), (3, NULL) RETURNING id, a",
    "UPDATE u SET n = n + 1 WHERE k = 'a'",
    "DELETE FROM w WHERE a = 1",
    "INSERT INTO u VALUES ('new', 9) ON CONFLICT (k) DO UPDATE SET n = 10 RETURNING n",
    "SELECT count(*), sum(a) FROM w",
    "EXPLAIN (COSTS OFF) SELECT 1",
    "SHOW TimeZone",
    "SELECT pg_advisory_xact_lock(1)",
    "DO $$BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two' USING DETAIL = 'in detail', HINT = 'a hint'; END$$",
    "CALL commit_twice()",
)

# Statements that fail, at parsing, at analysis, at execution, or at the end of the transaction.
BROKEN: tuple[str, ...] = (
    "SELECT 1/0",
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT missing FROM t",
    "SELECT $1",
    "SELECT 'unfinished",
    "INSERT INTO w (a) VALUES (-1)",
    "INSERT INTO t VALUES (1, 'twice')",
    "INSERT INTO d VALUES (1)",
    "SELECT id, 1 / (id - 3) FROM t ORDER BY id LIMIT 10",
    "VACUUM nowhere",
    "LOCK TABLE t IN SHARE MODE",
    "COPY nowhere FROM STDIN",
    "EXECUTE nothing",
    "DROP TABLE nowhere",
    "SELECT 1; SELECT 2",  # in a Parse
)

# What PostgreSQL takes in a Query only.
UNPREPARABLE: tuple[str, ...] = ("", ";", "  -- a comment\n", "/* one */ ; /* two */ ;")

TRANSACTION_CONTROL: tuple[str, ...] = (
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "END",
    "ABORT",
    "COMMIT AND CHAIN",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SET LOCAL application_name = 'for a while'",
    "DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id",
    "FETCH 2 FROM c",
    "MOVE 1 IN c",
    "CLOSE c",
)

# What clients are told by ParameterStatus.
PARAMETERS: tuple[str, ...] = (
    "SET application_name = 'renamed'",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET DateStyle = 'German'; SET TimeZone = 'Europe/Warsaw'",
    "RESET application_name",
    "SELECT set_config('IntervalStyle', 'iso_8601', false)",
    "RESET ALL",
)

# What else outlives the transaction in the session.
SESSION_STATE: tuple[str, ...] = (
    "PREPARE p AS SELECT $1::int + 1",
    "EXECUTE p(41)",
    "DEALLOCATE p",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "CREATE TEMP TABLE scratch (x int)",
    "INSERT INTO scratch VALUES (1) RETURNING x",
    "DROP TABLE IF EXISTS scratch",
    "DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id",
    "FETCH 2 FROM held",
    "LISTEN gong",
    "NOTIFY gong, 'once'",
    "UNLISTEN *",
)

PREPARABLE: tuple[Template, ...] = (
    Template("SELECT $1::int + $2::int AS sum", (Kind.INT, Kind.INT)),
    Template("SELECT id, v FROM t WHERE id <= $1 ORDER BY id", (Kind.INT,)),
    Template("SELECT $1::text AS echo", (Kind.TEXT,)),
    Template("SELECT 1 / $1::int AS quotient", (Kind.INT,)),
    Template("INSERT INTO w (a, b) VALUES ($1, $2)", (Kind.INT, Kind.TEXT)),
    Template("INSERT INTO w (a, c) VALUES ($1, $2) RETURNING id, a, c", (Kind.INT, Kind.BYTEA)),
    Template("UPDATE u SET n = n + $1::int WHERE k = $2", (Kind.INT, Kind.TEXT)),
    Template("DELETE FROM w WHERE a = $1", (Kind.INT,)),
    Template("INSERT INTO d VALUES ($1)", (Kind.INT,)),
    Template("SELECT generate_series(1, $1::int) AS i", (Kind.INT,)),
    Template("SELECT shout($1)", (Kind.TEXT,)),
    Template("SELECT $1::bytea, $2::text", (Kind.BYTEA, Kind.TEXT)),
    Template(""),
)

FUNCTIONS: tuple[Function, ...] = (
    Function(177, (Kind.INT, Kind.INT)),  # int4pl
    Function(154, (Kind.INT, Kind.INT)),  # int4div
    Function(1258, (Kind.TEXT, Kind.TEXT)),  # textcat
    Function(1257, (Kind.TEXT,)),  # textlen
    Function(1317, (Kind.TEXT,)),  # length
)

NO_FUNCTIONS: tuple[Function, ...] = (Function(4_000_000_000, (Kind.INT,)), Function(0, ()))

_PGCOPY = b"PGCOPY\n\xff\r\n\0" + bytes(8)


def _binary_row(a: int, b: bytes) -> bytes:
    return struct.pack("!hiii", 2, 4, a, len(b)) + b


COPY_IN: tuple[CopyIn, ...] = (
    CopyIn("COPY u FROM STDIN", (b"k\t1\n", b"l\t2\n", b"m\t\\N\n"), (b"a\t1\n", b"lone\n", b"n\tseven\n")),
    CopyIn("COPY w (a, b) FROM STDIN WITH (FORMAT csv)", (b"1,one\n", b'2,"t,wo"\n', b"3,\n"), (b"-1,minus\n", b"1\n")),
    CopyIn(
        "COPY w (a, b) FROM STDIN WITH (FORMAT binary)",
        (_PGCOPY + _binary_row(5, b"five") + _binary_row(6, b"") + b"\xff\xff",),
        (b"PGCOPX", _PGCOPY + b"\0\5"),
    ),
    CopyIn("COPY nowhere FROM STDIN", (b"1\n",), (b"2\n",)),
)

COPY_OUT: tuple[str, ...] = (
    "COPY t TO STDOUT",
    "COPY (SELECT id, v FROM t WHERE id < 4 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)",
    "COPY (SELECT id FROM t ORDER BY id) TO STDOUT WITH (FORMAT binary)",
    "COPY (SELECT 1 WHERE false) TO STDOUT",
    "COPY (SELECT 1 / (id - 20) FROM t ORDER BY id) TO STDOUT",
    "COPY (SELECT repeat('y', 100000)) TO STDOUT",
)
