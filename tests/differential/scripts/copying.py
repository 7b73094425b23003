"""COPY in both directions and both protocols, interactive and blind, with errors on either side of its end."""

from __future__ import annotations

from tests.support.frontend import (
    bind,
    close_portal,
    close_statement,
    copy_data,
    copy_done,
    copy_fail,
    describe_portal,
    execute,
    flush,
    parse,
    query,
    sync,
)
from tests.support.script import NOT_STATEMENT, Ending, Stream, no_wait, part, stream

__all__ = ["COPY_STREAMS"]

_COPY = query("COPY u FROM STDIN")
_ROWS = (copy_data(b"k\t1\n"), copy_data(b"l\t2\nm\t"), copy_data(b"3\n"))
_BAD = copy_data(b"a\t1\n")  # the key is taken
_COUNT = query("SELECT k, n FROM u ORDER BY k")
_EXTENDED = (parse("COPY u FROM STDIN"), bind(), execute())
_INSERT = (parse("INSERT INTO w (a) VALUES (1)"), bind(), execute())

COPY_STREAMS: tuple[Stream, ...] = (
    stream("COPY in, one step at a time", _COPY, *_ROWS, copy_done(), _COUNT),
    stream("COPY in, blind", part(_COPY, *_ROWS, copy_done(), _COUNT)),
    stream("COPY in, byte by byte", part(_COPY, *_ROWS, copy_done(), bytewise=True), _COUNT),
    stream("COPY in of nothing", part(_COPY, copy_done()), part(_COPY, copy_data(b""), copy_done()), _COUNT),
    stream("COPY in given up", _COPY, *_ROWS, copy_fail("no more"), _COUNT),
    stream("COPY in given up, blind", part(_COPY, *_ROWS, copy_fail("no more"), query("SELECT 1")), _COUNT),
    stream(
        "COPY in fails before CopyDone, and the rest is ignored", _COPY, copy_data(b"x\n"), *_ROWS, copy_done(), _COUNT
    ),
    stream("COPY in fails before CopyDone, blind", part(_COPY, copy_data(b"x\n"), *_ROWS, copy_done(), _COUNT)),
    stream("COPY in fails before CopyFail, blind", part(_COPY, copy_data(b"x\n"), copy_fail("late"), _COUNT)),
    stream(
        "COPY in fails at CopyDone",
        _COPY,
        copy_data(b"half a row"),
        copy_done(),
        part(_COPY, _BAD, copy_done()),
        _COUNT,
    ),
    stream("COPY in that never begins", part(query("COPY nowhere FROM STDIN"), *_ROWS, copy_done(), _COUNT)),
    stream(
        "Sync and Flush during COPY are ignored",
        _COPY,
        part(sync()),
        part(_ROWS[0], sync(), flush(), _ROWS[1], sync(), sync(), _ROWS[2]),
        part(copy_done(), sync()),
        _COUNT,
    ),
    stream(
        "a COPY fails while a long message is sent into it",
        part(_COPY, sync(), copy_data(b"x\n"), sync(), copy_data(bytes(300_000)), sync(), copy_done(), sync(), _COUNT),
    ),
    stream(
        "an extended COPY fails while a long message is sent into it",
        part(*_EXTENDED, sync(), copy_data(b"x\n"), sync(), copy_data(bytes(300_000)), copy_done(), _COUNT, sync()),
    ),
    stream("a Sync after a failed COPY counts", part(_COPY, copy_data(b"x\n"), sync(), copy_done(), sync()), _COUNT),
    stream(
        "COPY in of ten megabytes in one message", part(_COPY, copy_data(b"key\t1\n" + b"x" * 10_000_000), copy_done())
    ),
    stream(
        "a batch that fails behind a COPY that was given up after a Sync",
        part(_COPY, _ROWS[0], sync(), copy_fail("no"), bind(), execute(), sync(), *_INSERT, sync()),
        query("SELECT count(*) FROM w"),
    ),
    stream(
        "a batch that fails behind a COPY that failed before its Syncs",
        part(
            _COPY, copy_data(b"x\n"), sync(), sync(), copy_done(), sync(), bind(), execute(), sync(), *_INSERT, sync()
        ),
        query("SELECT count(*) FROM w"),
    ),
    stream(
        "Closes before and behind a failed batch, all behind an extended COPY with two Syncs",
        part(
            *(*_EXTENDED, sync(), *_ROWS, copy_done(), sync()),
            *(close_statement(), close_portal(), parse("SELECT 1/0"), bind(), execute(), sync()),
            *(close_statement("s"), parse("SELECT 1", "s"), bind(statement="s"), execute(), sync()),
        ),
        _COUNT,
    ),
    stream(
        "COPY in of many small messages",
        part(_COPY, *(copy_data(b"row %d\t%d\n" % (number, number)) for number in range(3000)), copy_done()),
        query("SELECT count(*), sum(n) FROM u"),
    ),
    stream(
        "two COPYs in one Query",
        part(query("COPY u FROM STDIN; COPY w (a) FROM STDIN; SELECT 'between'; COPY u FROM STDIN")),
        part(*_ROWS, copy_done(), copy_data(b"5\n"), copy_done(), copy_data(b"z\t9\n"), copy_done()),
        _COUNT,
    ),
    stream(
        "the second COPY of one Query fails and undoes the first",
        part(query("COPY u FROM STDIN; COPY u FROM STDIN; SELECT 1"), *_ROWS, copy_done(), *_ROWS, copy_done()),
        _COUNT,
    ),
    stream(
        "COPY in and out in one Query",
        part(query("COPY u FROM STDIN; COPY (SELECT k FROM u ORDER BY k) TO STDOUT; SELECT 1"), *_ROWS, copy_done()),
    ),
    stream(
        "COPY in within a transaction",
        query("BEGIN"),
        _COPY,
        part(*_ROWS, copy_done()),
        _COUNT,
        query("ROLLBACK"),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "COPY in that fails within a transaction",
        query("BEGIN"),
        part(_COPY, _BAD, copy_done()),
        query("SELECT 1"),
        part(_COPY, *_ROWS, copy_done()),
        query("ROLLBACK"),
        _COUNT,
        modes=NOT_STATEMENT,
    ),
    stream(
        "extended COPY in as libpq does it: Sync first, and another at the end",
        part(parse("COPY u FROM STDIN"), bind(), describe_portal(), execute(), sync()),
        part(*_ROWS, copy_done(), sync()),
        _COUNT,
    ),
    stream("extended COPY in with one Sync", part(*_EXTENDED, flush()), part(*_ROWS, copy_done(), sync()), _COUNT),
    stream("extended COPY in, blind", part(*_EXTENDED, *_ROWS, copy_done(), sync(), _COUNT)),
    stream(
        "extended COPY in given up", part(*_EXTENDED, flush()), part(copy_fail("no")), part(*_INSERT, sync()), _COUNT
    ),
    stream(
        "extended COPY in fails before CopyDone: all is skipped to Sync",
        part(*_EXTENDED, flush()),
        part(copy_data(b"x\n"), *_ROWS),
        part(copy_done(), *_INSERT, sync()),
        query("SELECT count(*) FROM w"),
    ),
    stream(
        "extended COPY in fails before CopyDone, and its first Sync was swallowed",
        part(*_EXTENDED, sync(), _ROWS[0], copy_data(b"x\n"), copy_done(), query("SELECT 'unheard'"), sync()),
        _COUNT,
    ),
    stream(
        "extended COPY in fails after CopyDone",
        part(*_EXTENDED, _BAD, copy_done(), *_INSERT, sync()),
        query("SELECT count(*) FROM w"),
    ),
    stream("a batch around a COPY in", part(*_INSERT, *_EXTENDED, *_ROWS, copy_done(), *_INSERT, sync()), _COUNT),
    stream(
        "a COPY in is undone with its batch",
        part(*_EXTENDED, *_ROWS, copy_done(), parse("SELECT 1/0"), bind(), execute(), sync()),
        _COUNT,
    ),
    stream("COPY out", query("COPY t TO STDOUT"), query("COPY (SELECT 1 WHERE false) TO STDOUT")),
    stream("COPY out in binary", query("COPY (SELECT id, v FROM t ORDER BY id) TO STDOUT WITH (FORMAT binary)")),
    stream("COPY out that fails in the middle", query("COPY (SELECT 1 / (id - 20) FROM t ORDER BY id) TO STDOUT")),
    stream("COPY out, blind and followed", part(query("COPY t TO STDOUT; SELECT 1"), query("SELECT 2"), sync())),
    stream(
        "extended COPY out",
        part(parse("COPY t TO STDOUT"), bind(), describe_portal(), execute(), sync()),
        part(parse("COPY t TO STDOUT"), bind(), execute("", 3), execute(), *_INSERT, sync()),
    ),
    stream("COPY out of ten megabytes", query("COPY (SELECT repeat('x', 10000000)) TO STDOUT"), query("SELECT 1")),
    stream("COPY out of many rows", query("COPY (SELECT generate_series(1, 100000)) TO STDOUT")),
    stream("a Query behind a row that fails its COPY", _COPY, part(copy_data(b"x\n"), query("SELECT 1")), _COUNT),
    stream(
        "a Parse behind a row that fails its COPY",
        part(*_EXTENDED, flush()),
        part(copy_data(b"x\n"), *_INSERT, sync()),
        part(*_INSERT, sync()),
        _COUNT,
    ),
    stream("a Query during COPY closes the connection", _COPY, part(_ROWS[0], query("SELECT 1"))),
    stream("a Parse during extended COPY closes the connection", part(*_EXTENDED, flush()), part(*_INSERT, sync())),
    stream("Terminate behind a row that fails its COPY", _COPY, part(copy_data(b"x\n")), ending=Ending.TERMINATE),
    stream("Terminate in COPY in undoes it", _COPY, part(*_ROWS), ending=Ending.TERMINATE),
    stream("a client that vanishes in COPY in is undone", _COPY, part(*_ROWS), ending=Ending.VANISH),
    stream(
        "a client that vanishes in extended COPY in is undone",
        part(*_INSERT, *_EXTENDED, flush()),
        part(*_ROWS),
        ending=Ending.VANISH,
    ),
    stream("COPY in blind, cut inside messages", part(_COPY, *_ROWS, copy_done(), _COUNT, cuts=range(3, 200, 11))),
    stream("COPY out after a blind Sync", no_wait(sync()), query("COPY t TO STDOUT")),
)
