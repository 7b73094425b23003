"""The extended protocol: batches, pipelines, names, portals, row limits, errors that skip to Sync."""

from __future__ import annotations

import struct

from tests.support.frontend import (
    Frontend,
    bind,
    close_portal,
    close_statement,
    copy_data,
    copy_done,
    describe_portal,
    describe_statement,
    execute,
    flush,
    function_call,
    parse,
    query,
    sync,
)
from tests.support.script import NOT_STATEMENT, Ending, Stream, no_wait, part, stream

__all__ = ["EXTENDED_STREAMS"]


def _run(sql: str, *values: bytes) -> tuple[Frontend, ...]:
    """An unnamed statement from Parse to Execute."""
    return parse(sql), bind(values), execute()


_INSERT = _run("INSERT INTO w (a, b) VALUES (1, 'one')")
_FAIL = _run("SELECT 1/0")
_SELECT = _run("SELECT id, v FROM t WHERE id < $1 ORDER BY id", b"4")
_COUNT = query("SELECT count(*) FROM w")
_BAD_FLUSH = Frontend("Flush", "with a body", b"H\0\0\0\5x")

EXTENDED_STREAMS: tuple[Stream, ...] = (
    stream("one batch", part(*_SELECT, sync())),
    stream(
        "all that can be described",
        part(
            parse("SELECT $1::int AS a, $2 AS b, v FROM t", "s", [0, 1043]),
            describe_statement("s"),
            bind([b"1", b"x"], portal="p", statement="s", results=[1, 0, 1]),
            describe_portal("p"),
            execute("p", 1),
            close_portal("p"),
            close_statement("s"),
            sync(),
        ),
    ),
    stream(
        "statements without rows are described with NoData",
        part(parse("INSERT INTO w (a) VALUES ($1)"), describe_statement(), bind([b"1"]), describe_portal(), sync()),
    ),
    stream("a zero-length statement", part(*_run(""), sync()), part(parse(""), describe_statement(), sync())),
    stream("a batch byte by byte", part(*_SELECT, sync(), bytewise=True)),
    stream("a batch cut at every seventh byte", part(*_SELECT, sync(), *_SELECT, sync(), cuts=range(7, 250, 7))),
    stream("Sync comes later than its batch", no_wait(*_SELECT), part(sync()), part(*_INSERT), part(sync())),
    stream("a Sync cut in two", part(*_SELECT, sync(), cuts=[-2])),
    stream("Flush without Sync, then more", part(*_SELECT, flush()), part(*_INSERT, flush()), part(sync()), _COUNT),
    stream(
        "step by step with Flush",
        *(part(message, flush()) for message in (parse("SELECT $1::int"), describe_statement(), bind([b"1"]))),
        part(describe_portal(), flush()),
        part(execute(), flush()),
        sync(),
    ),
    stream(
        "a Flush with a body is an error, and skips to Sync",
        part(*_SELECT, sync(), _BAD_FLUSH),
        query("SELECT 1"),
        part(sync()),
        part(*_INSERT, _BAD_FLUSH, *_INSERT, sync()),
        _COUNT,
    ),
    stream(
        "SQL that names a prepared statement, bound in a later batch than it was parsed in",
        part(parse("SELECT 1", "s"), parse("DEALLOCATE s"), bind(), sync()),
        part(bind(), execute(), sync()),
        part(parse("SELECT 2", "s"), parse("EXECUTE s"), sync()),
        part(bind(), execute(), sync()),
        part(parse("DEALLOCATE s", "d"), bind(statement="d"), execute(), sync()),
    ),
    stream(
        "DEALLOCATE of one statement takes the unnamed one too",
        part(parse("SELECT 1", "s"), parse("SELECT 2"), sync()),
        query("DEALLOCATE s"),
        part(bind(), execute(), sync()),
        part(bind(statement="s"), execute(), sync()),
    ),
    stream("many Syncs in one packet", part(*_SELECT, sync(), sync(), *_INSERT, sync(), *_SELECT, sync(), sync())),
    stream("a pipeline of a hundred batches", part(*(*_INSERT, sync()) * 100), _COUNT),
    stream("a batch of a hundred statements", part(*_INSERT * 100, sync()), _COUNT),
    stream("P B E error, P B E, S: the second is skipped", part(*_FAIL, *_INSERT, sync()), _COUNT),
    stream("an INSERT before an error in its pipeline is undone", part(*_INSERT, *_FAIL, sync()), _COUNT),
    stream(
        "an error undoes its own batch and no other",
        part(*_INSERT, sync(), *_INSERT, *_FAIL, *_INSERT, sync(), *_INSERT, sync()),
        _COUNT,
    ),
    stream(
        "an INSERT flushed before an error is undone", part(*_INSERT, flush()), part(*_FAIL, flush()), sync(), _COUNT
    ),
    stream(
        "after an error nothing but Sync is heard",
        part(
            parse("SELEC"),
            bind(),
            describe_portal(),
            execute(),
            close_statement("s"),
            flush(),
            query("INSERT INTO w (a) VALUES (9)"),
            function_call(177, [b"1", b"2"]),
            copy_data(b"x"),
            copy_done(),
            *_INSERT,
            sync(),
        ),
        _COUNT,
    ),
    stream("errors in one batch after another", part(*(*_FAIL, sync()) * 20), query("SELECT 1")),
    stream(
        "an error in Parse", part(parse("SELECT * FROM nowhere"), bind(), execute(), sync()), part(*_SELECT, sync())
    ),
    stream(
        "errors in Bind",
        part(parse("SELECT $1::int"), bind(), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"1", b"2"]), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"seven"]), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"\0"], formats=[1]), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"1"], formats=[0, 0]), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"1"], formats=[9]), execute(), sync()),
        part(parse("SELECT $1::int"), bind([b"1"], results=[0, 0]), execute(), sync()),
        part(parse("SELECT $1::text"), bind([b"\xff"]), execute(), sync()),
        part(bind(statement="nowhere"), execute(), sync()),
    ),
    stream(
        "errors in Describe and Execute of what is not there",
        part(describe_statement("nowhere"), sync()),
        part(describe_portal("nowhere"), sync()),
        part(execute("nowhere"), sync()),
        part(describe_portal(), execute(), sync()),
    ),
    stream(
        "an error in Execute after rows were sent",
        part(*_run("SELECT id, 1 / (id - 30) FROM t ORDER BY id"), sync()),
        part(parse("SELECT id, 1 / (id - 3) FROM t ORDER BY id"), bind(), execute("", 2), execute("", 2), sync()),
    ),
    stream(
        "an error that comes with Sync",
        part(*_INSERT, *_run("INSERT INTO d VALUES (1)"), sync()),
        part(*_run("INSERT INTO d VALUES (1)"), flush()),
        sync(),
        _COUNT,
    ),
    stream("two commands in one Parse", part(parse("SELECT 1; SELECT 2"), sync()), part(*_SELECT, sync())),
    stream(
        "Close of what is not there is no error",
        part(close_statement("nowhere"), close_portal("nowhere"), close_statement(), close_portal(), sync()),
    ),
    stream(
        "Close in the middle of a batch",
        part(parse("SELECT 1", "s"), close_statement("s"), bind(statement="s"), execute(), sync()),
        part(parse("SELECT 1"), bind(portal="p"), close_portal("p"), execute("p"), sync()),
    ),
    stream(
        "a named statement used again and again",
        part(parse("SELECT $1::int * 2", "s"), sync()),
        part(bind([b"1"], statement="s"), execute(), bind([b"2"], statement="s"), execute(), sync()),
        *(part(bind([b"%d" % number], statement="s"), describe_portal(), execute(), sync()) for number in range(8)),
        part(close_statement("s"), sync()),
        part(bind([b"1"], statement="s"), sync()),
    ),
    stream(
        "a statement name taken twice",
        part(parse("SELECT 1", "s"), sync()),
        part(parse("SELECT 2", "s"), bind(statement="s"), execute(), sync()),
        part(bind(statement="s"), execute(), sync()),
    ),
    stream(
        "errors name the statement as the client named it",
        part(parse("SELECT 1", "one"), parse("SELECT 1", "two"), sync()),
        part(parse("SELECT 1", "two"), sync()),
        part(parse("DEALLOCATE ALL", "one"), sync()),
        part(close_statement("one"), parse("DEALLOCATE ALL", "one"), bind(statement="one"), execute(), sync()),
        part(bind(statement="one"), execute(), sync()),
        part(parse("DEALLOCATE ALL", "two"), bind(statement="two"), execute(), bind(statement="two"), sync()),
        part(parse("SELECT $1::int", "three"), bind(statement="three"), sync()),
    ),
    stream(
        "a failed Parse takes no name",
        part(parse("SELECT * FROM nowhere", "s"), sync()),
        part(parse("SELECT 3", "s"), bind(statement="s"), execute(), sync()),
    ),
    stream(
        "a statement prepared in a transaction outlives its rollback",
        query("BEGIN"),
        part(parse("SELECT 5", "s"), sync()),
        query("ROLLBACK"),
        part(bind(statement="s"), execute(), sync()),
        modes=NOT_STATEMENT,
    ),
    stream(
        "statements of SQL and of the protocol share their names",
        query("PREPARE p AS SELECT $1::int + 1"),
        part(describe_statement("p"), bind([b"1"], statement="p"), execute(), sync()),
        part(parse("SELECT $1::int + 2", "q"), sync()),
        query("EXECUTE q(40)"),
        query("DEALLOCATE q"),
        part(bind([b"1"], statement="q"), sync()),
        query("DEALLOCATE ALL"),
        part(bind([b"1"], statement="p"), sync()),
    ),
    stream(
        "the unnamed statement survives Sync, and dies with a Query",
        part(parse("SELECT 1"), sync()),
        part(bind(), execute(), sync()),
        query("SELECT 2"),
        part(bind(), execute(), sync()),
    ),
    stream(
        "portals die at Sync outside a transaction",
        part(parse("SELECT 1", "s"), bind(portal="p", statement="s"), sync()),
        part(execute("p"), sync()),
    ),
    stream(
        "PortalSuspended holds the transaction",
        query("BEGIN"),
        part(parse("SELECT id FROM t ORDER BY id"), bind(portal="p"), execute("p", 10), sync()),
        part(execute("p", 10), sync()),
        part(execute("p"), sync()),
        part(execute("p"), sync()),
        query("COMMIT"),
        part(execute("p"), sync()),
        modes=NOT_STATEMENT,
    ),
    stream(
        "PortalSuspended in one batch",
        part(parse("SELECT id FROM t ORDER BY id"), bind(), *(execute("", 20) for _ in range(4)), sync()),
        part(parse("SELECT id FROM t WHERE id <= 20 ORDER BY id"), bind(), execute("", 20), execute("", 20), sync()),
    ),
    stream(
        "PortalSuspended at a Flush, and an end without the rest",
        part(parse("SELECT id FROM t ORDER BY id"), bind(), execute("", 2), flush()),
        part(execute("", 2), flush()),
        sync(),
        query("SELECT 1"),
    ),
    stream(
        "row limits on statements that return no rows",
        part(parse("INSERT INTO w (a) VALUES (1)"), bind(), execute("", 1), execute("", 1), sync()),
        part(parse("INSERT INTO w (a) VALUES (2), (3) RETURNING a"), bind(), execute("", 1), execute("", 5), sync()),
        _COUNT,
    ),
    stream(
        "two portals in turn",
        part(
            parse("SELECT id FROM t WHERE id > $1 ORDER BY id", "s"),
            bind([b"0"], portal="p", statement="s"),
            bind([b"30"], portal="q", statement="s"),
            execute("p", 2),
            execute("q", 2),
            execute("p", 2),
            execute("q", 2),
            sync(),
        ),
    ),
    stream(
        "a portal name taken twice",
        part(parse("SELECT 1"), bind(portal="p"), bind(portal="p"), sync()),
        part(parse("SELECT 1"), bind(), bind(), execute(), sync()),
    ),
    stream(
        "a cursor of SQL is a portal",
        query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id"),
        part(describe_portal("c"), execute("c", 2), execute("c", 3), close_portal("c"), execute("c"), sync()),
        query("ROLLBACK"),
        modes=NOT_STATEMENT,
    ),
    stream(
        "BEGIN and COMMIT in the extended protocol",
        part(*_run("BEGIN"), sync()),
        part(*_INSERT, sync()),
        part(*_run("COMMIT"), sync()),
        part(*_run("BEGIN"), *_INSERT, *_run("COMMIT"), sync()),
        part(*_run("BEGIN"), *_INSERT, *_FAIL, *_run("COMMIT"), sync()),
        part(*_run("ROLLBACK"), sync()),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "BEGIN after work in a pipeline takes the work in",
        part(*_INSERT, *_run("BEGIN"), *_INSERT, sync()),
        query("ROLLBACK"),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "COMMIT in the middle of a pipeline",
        part(*_run("BEGIN"), *_INSERT, *_run("COMMIT"), *_INSERT, *_FAIL, sync()),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "a failed transaction in a pipeline",
        part(*_run("BEGIN"), sync(), *_FAIL, sync(), *_INSERT, sync(), *_run("ROLLBACK"), sync(), *_INSERT, sync()),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "a Query in an extended batch",
        part(*_INSERT, query("SELECT 1"), *_SELECT, sync()),
        part(*_INSERT, query("SELECT 1/0"), *_SELECT, sync()),
        part(parse("SELECT 7"), query("SELECT 1"), bind(), execute(), sync()),
        _COUNT,
        # PostgreSQL 18 reports T after the Query, until the Sync.
        modes=NOT_STATEMENT,
    ),
    stream("a Query in a failed batch is skipped", part(*_FAIL, query("SELECT 1"), sync(), query("SELECT 2")), _COUNT),
    stream(
        "a FunctionCall in an extended batch",
        part(*_INSERT, function_call(177, [b"1", b"2"]), *_INSERT, *_FAIL, sync()),
        _COUNT,
    ),
    stream(
        "what can't run in a transaction can't in a pipeline",
        part(*_INSERT, *_run("DISCARD ALL"), sync()),
        part(*_run("VACUUM nowhere"), sync()),
        part(*_run("DISCARD ALL"), sync()),
        _COUNT,
    ),
    stream(
        "two names for one text, of which the first is in an error",
        part(parse("SELECT $1::int", "one"), parse("SELECT $1::int", "two"), sync()),
        part(bind([b"1", b"2"], statement="one"), sync(), describe_statement("two"), sync()),
        part(bind([b"1"], statement="two"), describe_statement("one"), bind([], statement="two"), execute(), sync()),
    ),
    stream(
        "a transaction with an isolation level in a Query that prepares by SQL",
        part(parse("SELECT 1", "s"), sync()),
        query("START TRANSACTION ISOLATION LEVEL REPEATABLE READ; PREPARE p AS SELECT 2"),
        part(bind(statement="s"), execute(), sync()),
        query("EXECUTE p; COMMIT"),
        query("DEALLOCATE p"),
        modes=NOT_STATEMENT,
    ),
    stream("a procedure that commits in a pipeline", part(*_run("CALL commit_twice()"), sync()), _COUNT),
    # Each of these changes its meaning if anything was executed before it in the same batch.
    stream(
        "a procedure that commits, prepared under a name",
        part(parse("CALL commit_twice()", "s"), bind(statement="s"), execute(), sync()),
        part(bind(statement="s"), execute(), sync()),
        _COUNT,
    ),
    stream(
        "DISCARD ALL prepared under a name",
        part(parse("DISCARD ALL", "s"), bind(statement="s"), execute(), sync()),
        part(bind(statement="s"), execute(), sync()),
    ),
    stream(
        "a FunctionCall behind a Close", part(close_statement(), function_call(177, [b"1", b"2"])), query("SELECT 1")
    ),
    stream("a Query behind a Close", part(close_statement("s"), query("SELECT 1")), query("SELECT 2")),
    stream("a Query behind a Parse", part(parse("SELECT 1", "s"), query("SELECT 2")), query("SELECT 3")),
    stream(
        "notices and parameters in a pipeline",
        part(*_run("SELECT shout('one')"), *_run("SET application_name = 'p'"), *_run("SELECT shout('two')"), sync()),
        part(*_run("SET TimeZone = 'Asia/Tokyo'"), flush()),
        sync(),
    ),
    stream(
        "binary both ways",
        part(
            parse("SELECT $1::int8, $2::text, $3::bytea, NULL::int"),
            describe_statement(),
            bind([struct.pack("!q", 1 << 40), "żółć".encode(), b"\0\xff"], formats=[1], results=[1]),
            describe_portal(),
            execute(),
            sync(),
        ),
    ),
    stream("ten megabytes in a Parse", part(*_run("SELECT length('" + "x" * 10_000_000 + "')"), sync()), _COUNT),
    stream(
        "ten megabytes in a Bind, ten in a DataRow",
        part(*_run("SELECT $1::text", b"y" * 10_000_000), sync()),
        part(*_run("SELECT length($1::text)", b"y" * 10_000_000), *_FAIL, *_INSERT, sync()),
        _COUNT,
    ),
    stream(
        "big messages in a failed batch are skipped whole",
        part(*_FAIL, *_run("SELECT $1::text", b"z" * 3_000_000), sync()),
        query("SELECT 1"),
    ),
    stream(
        "more results than either side holds, in one pipeline",
        part(*(*_run("SELECT repeat('x', 100000) FROM generate_series(1, 10)"), sync()) * 5),
    ),
    stream(
        "Terminate without Sync undoes the batch",
        part(*_INSERT, flush()),
        ending=Ending.TERMINATE,
    ),
    stream(
        "a client that vanishes in a batch is undone",
        part(*_INSERT, flush()),
        ending=Ending.VANISH,
    ),
    stream(
        "a client that vanishes with a portal open",
        query("BEGIN"),
        part(parse("SELECT id FROM t ORDER BY id"), bind(portal="p"), execute("p", 10), sync()),
        ending=Ending.VANISH,
        modes=NOT_STATEMENT,
    ),
)
