"""Prepared statements and sequence values of several clients over a pool."""

from __future__ import annotations

from tests.differential.scripts.sessions import prepare, recall
from tests.support.frontend import (
    Frontend,
    bind,
    close_statement,
    describe_statement,
    execute,
    flush,
    parse,
    query,
    sync,
)
from tests.support.interleave import Interleaving, Turn, interleaving, turn
from tests.support.script import Opening, part

__all__ = ["STATEMENT_INTERLEAVINGS"]

_INT4, _TEXT = 23, 25


def folded(name: str, sql: str, *settings: str) -> Interleaving:
    """Both clients prepare the same text under settings of their own, and execute it under others."""
    prepares = [turn(number, setting, prepare(sql), prepare(sql, "")) for number, setting in enumerate(settings)]
    recalls = [turn(number, recall(), recall(), elsewhere=number == 1) for number in range(len(settings))]
    crossed = [
        turn(number, part(query(settings[1 - number])), recall(), prepare(sql, "later"), recall("later"), recall())
        for number in range(len(settings))
    ]
    unnamed = [turn(number, prepare(sql, ""), elsewhere=True) for number in range(len(settings))]
    return interleaving(
        name, *prepares, *recalls, *crossed, *recalls, *unnamed, *(turn(number, recall("")) for number in range(2))
    )


_FOLDED = (
    folded(
        "a timestamp folded at Parse",
        "SELECT timestamptz '2020-01-01 12:00' AS literal",
        "SET TimeZone = 'Asia/Tokyo'",
        "SET TimeZone = 'Europe/Warsaw'",
    ),
    folded(
        "a date folded at Parse", "SELECT date '01/02/2020'", "SET DateStyle = 'SQL, DMY'", "SET DateStyle = 'SQL, MDY'"
    ),
    folded(
        "an interval folded at Parse",
        "SELECT interval '-1 2:03:04'",
        "SET IntervalStyle = 'sql_standard'",
        "SET IntervalStyle = 'postgres'",
    ),
    folded("names resolved at Parse", "SELECT * FROM pick", "SET search_path = one", "SET search_path = two"),
    folded("functions resolved at Parse", "SELECT choose()", "SET search_path = one", "SET search_path = two, one"),
    folded(
        "a backslash read at Parse",
        r"SELECT 'back\\slash'",
        "SET standard_conforming_strings = off",
        "SET standard_conforming_strings = on",
    ),
    folded(
        "letters read at Parse",
        "SELECT 'żó', length('żó')",
        "SET client_encoding = LATIN1",
        "SET client_encoding = UTF8",
    ),
    folded("a role in a default", "SELECT current_user, user", "SET ROLE clerk", "SET ROLE auditor"),
    folded(
        "extra_float_digits in the output",
        "SELECT 0.1::float8 * 3",
        "SET extra_float_digits = 0",
        "RESET extra_float_digits",
    ),
    folded(
        "a regular class folded at Parse", "SELECT 'pick'::regclass", "SET search_path = one", "SET search_path = two"
    ),
)

_NAMES = (
    interleaving(
        "the same name for other texts",
        turn(0, prepare("SELECT 'first'")),
        turn(1, prepare("SELECT 'second'")),
        turn(2, prepare("SELECT 'third', $1::int")),
        *(
            turn(number % 3, recall("s", *([b"1"] if number % 3 == 2 else [])), elsewhere=number % 2 == 0)
            for number in range(9)
        ),
    ),
    interleaving(
        "the same text with other parameter types",
        turn(0, prepare("SELECT pg_typeof($1)", "s", (_INT4,))),
        turn(1, prepare("SELECT pg_typeof($1)", "s", (_TEXT,))),
        turn(0, recall("s", b"1"), part(describe_statement("s"), sync())),
        turn(1, recall("s", b"1"), part(describe_statement("s"), sync())),
    ),
    interleaving(
        "a name that another client has",
        turn(0, prepare("SELECT 1")),
        turn(1, recall(), part(describe_statement("s"), sync()), part(close_statement("s"), sync()), "DEALLOCATE s"),
        turn(0, recall()),
    ),
    interleaving(
        "a name that is taken",
        turn(0, prepare("SELECT 1")),
        turn(1, prepare("SELECT 1")),
        turn(0, prepare("SELECT 1"), prepare("SELECT 2")),
        turn(1, recall()),
        turn(0, recall()),
    ),
    interleaving(
        "Close concerns its client alone",
        turn(0, prepare("SELECT 1")),
        turn(1, prepare("SELECT 1")),
        turn(0, part(close_statement("s"), sync()), recall(), prepare("SELECT 2"), recall()),
        turn(1, recall()),
    ),
    *(
        interleaving(
            f"{sql} concerns its client alone, {how}",
            turn(0, prepare("SELECT 1"), prepare("SELECT 'kept'", "other")),
            turn(1, prepare("SELECT 1"), prepare("SELECT 'kept'", "other")),
            turn(0, sql if how == "in a Query" else part(parse(sql), bind(), execute(), sync())),
            turn(1, recall(), recall("other")),
            turn(0, recall(), recall("other"), prepare("SELECT 3"), recall()),
            turn(1, recall(), elsewhere=True),
        )
        for sql in ("DEALLOCATE s", 'DEALLOCATE PREPARE "s"', "DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS")
        for how in ("in a Query", "in a batch")
    ),
    interleaving(
        "a DEALLOCATE ALL that is rolled back takes effect all the same",
        turn(0, prepare("SELECT 1")),
        turn(0, "BEGIN; DEALLOCATE ALL; ROLLBACK"),
        turn(1, "SELECT 1"),
        turn(0, recall()),
    ),
    interleaving(
        "DEALLOCATE on a backend that others have set otherwise",
        turn(0, prepare("SELECT 1"), prepare("SELECT 2", "t")),
        turn(1, "SET TimeZone = 'Asia/Tokyo'"),
        turn(0, "DEALLOCATE s"),
        turn(1, "SELECT 1"),
        turn(0, "BEGIN; DEALLOCATE t; COMMIT", recall()),
    ),
    interleaving(
        "ROLLBACK by name in a failed transaction, where another has prepared it",
        turn(0, prepare("ROLLBACK TO SAVEPOINT p", "r"), prepare("ROLLBACK", "q")),
        turn(
            1,
            "BEGIN",
            "SAVEPOINT p",
            "SELECT 1/0",
            prepare("ROLLBACK TO SAVEPOINT p", "s"),
            recall(),
            "SELECT 1/0",
            prepare("ROLLBACK", "t"),
            recall("t"),
        ),
        turn(0, "BEGIN", "SAVEPOINT p", "SELECT 1/0", recall("r"), recall("r"), "SELECT 1/0", recall("q")),
        turn(1, "BEGIN", "SELECT 1/0", recall("t"), recall("t"), elsewhere=True),
    ),
    interleaving(
        "a literal keeps its meaning on another backend",
        turn(0, prepare("SELECT timestamptz '2020-01-01 12:00'"), recall(), "SET TimeZone = 'Asia/Tokyo'"),
        turn(1, "SELECT 1"),
        turn(0, recall(), elsewhere=True),
        turn(0, recall(), elsewhere=True),
    ),
    interleaving(
        "a failed Parse is not remembered",
        turn(0, prepare("SELECT * FROM later")),
        turn(1, prepare("SELECT * FROM later"), "CREATE TABLE later (a int)"),
        turn(0, recall(), prepare("SELECT * FROM later"), recall()),
        turn(1, prepare("SELECT * FROM later"), recall()),
    ),
    interleaving(
        "a Parse in a transaction that is rolled back stays",
        turn(0, "BEGIN", prepare("SELECT 1"), "ROLLBACK"),
        turn(1, "SELECT 1"),
        turn(0, recall()),
    ),
    interleaving(
        "a Parse that an error before it skips",
        turn(0, part(parse("SELECT 1/0"), bind(), execute(), parse("SELECT 1", "s"), sync()), recall()),
        turn(1, prepare("SELECT 2"), recall()),
        turn(0, recall(), prepare("SELECT 3"), recall()),
    ),
    interleaving(
        "the unnamed statement over turns",
        turn(0, prepare("SELECT 'first'", "")),
        turn(1, prepare("SELECT 'second'", "")),
        turn(2, recall("")),
        turn(0, recall("")),
        turn(1, recall("")),
        turn(0, "SELECT 'a Query takes it away'"),
        turn(1, recall(""), elsewhere=True),
        turn(0, recall("")),
    ),
    interleaving(
        "Flush in the place of Sync",
        turn(
            0,
            part(parse("SELECT $1::int", "s"), flush()),
            part(bind([b"1"], statement="s"), execute(), flush()),
            sync(),
        ),
        turn(1, prepare("SELECT 'other'"), recall()),
        turn(0, part(bind([b"2"], statement="s"), flush()), part(execute(), flush()), sync()),
    ),
)

_SETTINGS_BY_STATEMENT = (
    interleaving(
        "a prepared SET",
        turn(0, prepare("SET TimeZone = 'Asia/Tokyo'")),
        turn(1, prepare("SET TimeZone = 'Europe/Warsaw'")),
        turn(0, recall()),
        turn(1, "SHOW TimeZone", recall(), "SHOW TimeZone"),
        turn(0, "SHOW TimeZone", elsewhere=True),
    ),
    interleaving(
        "a prepared set_config with other values each time",
        turn(0, prepare("SELECT set_config($1, $2, false)")),
        turn(1, prepare("SELECT set_config($1, $2, false)")),
        turn(0, recall("s", b"work_mem", b"5MB")),
        turn(1, recall("s", b"TimeZone", b"Asia/Tokyo"), "SHOW work_mem"),
        turn(0, "SHOW TimeZone", "SHOW work_mem", elsewhere=True),
    ),
    interleaving(
        "a setting changed between Parse and Bind of one batch",
        turn(0, prepare("SET TimeZone = 'Asia/Tokyo'", "set"), prepare("SELECT timestamptz '2020-01-01 12:00'")),
        turn(1, "SET TimeZone = 'Europe/Warsaw'", prepare("SELECT timestamptz '2020-01-01 12:00'")),
        turn(
            0,
            part(
                bind(statement="s"), execute(), bind(statement="set"), execute(), bind(statement="s"), execute(), sync()
            ),
        ),
        turn(1, recall()),
        turn(
            0,
            part(
                *(parse("RESET TimeZone"), bind(), execute()),
                *(parse("SELECT timestamptz '2020-01-01 12:00'", "t"), bind(statement="t"), execute(), sync()),
            ),
            recall("t"),
        ),
        turn(1, prepare("SELECT timestamptz '2020-01-01 12:00'", "t"), recall("t"), elsewhere=True),
        turn(0, recall("t"), recall()),
    ),
    interleaving(
        "a setting changed in a pipeline before a Parse in its next batch",
        turn(1, prepare("SELECT timestamptz '2020-01-01 12:00'"), recall()),
        turn(
            0,
            part(
                *(parse("SET TimeZone = 'Asia/Tokyo'"), bind(), execute(), sync()),
                *(parse("SELECT timestamptz '2020-01-01 12:00'", "s"), bind(statement="s"), execute(), sync()),
                *(parse("SET TimeZone = 'Europe/Warsaw'"), bind(), execute(), sync()),
                *(parse("SELECT timestamptz '2020-01-01 12:00'", "r"), bind(statement="r"), execute(), sync()),
            ),
        ),
        turn(1, recall()),
        turn(0, recall("s"), recall("r"), elsewhere=True),
    ),
    interleaving(
        "a Parse under a setting that is rolled back",
        turn(
            0,
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            prepare("SELECT timestamptz '2020-01-01 12:00'"),
            recall(),
            "ROLLBACK",
        ),
        turn(1, prepare("SELECT timestamptz '2020-01-01 12:00'"), recall()),
        turn(0, recall()),
        turn(1, recall(), elsewhere=True),
    ),
    interleaving(
        "a Parse under SET LOCAL",
        turn(0, "BEGIN; SET LOCAL search_path = two", prepare("SELECT * FROM pick"), "COMMIT"),
        turn(1, "SET search_path = one", prepare("SELECT * FROM pick"), recall()),
        turn(0, recall()),
        turn(1, recall(), elsewhere=True),
    ),
    interleaving(
        "statements of clients with other startup parameters",
        turn(0, prepare("SELECT timestamptz '2020-01-01 12:00', date '01/02/2020'")),
        turn(1, prepare("SELECT timestamptz '2020-01-01 12:00', date '01/02/2020'")),
        turn(0, recall()),
        turn(1, recall()),
        turn(0, "SET TimeZone = UTC", recall(), elsewhere=True),
        turn(1, recall()),
        openings=(
            Opening(parameters=(("TimeZone", "Asia/Tokyo"),)),
            Opening(parameters=(("options", "-c TimeZone=Europe/Warsaw -c DateStyle=SQL,\\ DMY"),)),
        ),
    ),
    interleaving(
        "a warning of the parser is given once",
        turn(0, "SET standard_conforming_strings = off", prepare(r"SELECT 'back\\slash'")),
        turn(1, "SELECT 1"),
        turn(0, recall(), elsewhere=True),
        turn(0, part(query(r"SELECT 'back\\slash'")), recall(), elsewhere=True),
    ),
)


def changes_type(name: str, *turns: Turn) -> Interleaving:
    """A table whose columns change between executions of a statement that selects them all."""
    first = turn(1, "CREATE TABLE shape (a int); INSERT INTO shape VALUES (1)")
    return interleaving(name, first, *turns)


_WIDER = "ALTER TABLE shape ADD b text DEFAULT 'b'"
_INSERTED: tuple[Frontend, ...] = (parse("INSERT INTO shape VALUES (2)"), bind(), execute())

_PLANS = (
    changes_type(
        "a cached plan whose result type changed, seen by one who prepares afterwards",
        turn(0, prepare("SELECT a FROM shape"), recall()),
        turn(1, _WIDER, prepare("SELECT * FROM shape"), recall()),
        turn(0, recall(), prepare("SELECT * FROM shape", "all"), recall("all")),
    ),
    changes_type(
        "a cached plan that fails within a transaction",
        turn(0, prepare("SELECT * FROM shape"), recall()),
        turn(1, _WIDER),
        turn(0, "BEGIN", part(*_INSERTED, sync()), recall(), "SELECT 1", "ROLLBACK"),
        turn(1, "SELECT count(*) FROM shape"),
    ),
    changes_type(
        "a cached plan that fails behind a write of its batch",
        turn(0, prepare("SELECT * FROM shape"), recall()),
        turn(1, _WIDER),
        turn(0, part(*_INSERTED, bind(statement="s"), execute(), sync())),
        turn(1, "SELECT count(*) FROM shape"),
    ),
)

_SEQUENCES = (
    interleaving(
        "currval and lastval within the transaction that inserts",
        turn(0, "BEGIN", "INSERT INTO w (a) VALUES (1)", "SELECT lastval(), currval('w_id_seq')", "COMMIT"),
        turn(1, "BEGIN", "INSERT INTO w (a) VALUES (1)", "SELECT lastval(), currval('w_id_seq')", "COMMIT"),
        turn(0, "INSERT INTO w (a) VALUES (1); SELECT lastval()"),
        turn(
            1,
            part(
                parse("INSERT INTO w (a) VALUES (1)"),
                bind(),
                execute(),
                parse("SELECT lastval()"),
                bind(),
                execute(),
                sync(),
            ),
        ),
    ),
    interleaving(
        "lastval of one who never had a value",
        turn(0, "INSERT INTO w (a) VALUES (1)"),
        turn(1, "SELECT lastval()", "SELECT currval('w_id_seq')"),
        turn(0, "SELECT nextval('w_id_seq')"),
        turn(1, "SELECT lastval()", "SELECT currval('w_id_seq')", elsewhere=True),
    ),
    interleaving(
        "lastval after DISCARD SEQUENCES",
        turn(0, "BEGIN; SELECT nextval('w_id_seq'); COMMIT", "DISCARD SEQUENCES", "SELECT lastval()"),
        turn(1, "SELECT lastval()"),
        turn(0, "SELECT nextval('w_id_seq')", "DISCARD ALL"),
        turn(1, "SELECT lastval()"),
    ),
)

STATEMENT_INTERLEAVINGS: tuple[Interleaving, ...] = (*_FOLDED, *_NAMES, *_SETTINGS_BY_STATEMENT, *_PLANS, *_SEQUENCES)
