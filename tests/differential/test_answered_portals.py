"""Portals that a plugin answers (``plugins/answering.py``) live and die as PostgreSQL's do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.differential.conftest import TIMEOUT, Pair
from tests.differential.plugins.answering import ANSWERED
from tests.support.compare import Comparison
from tests.support.frontend import (
    Frontend,
    bind,
    close_portal,
    close_statement,
    describe_portal,
    describe_statement,
    execute,
    flush,
    function_call,
    parse,
    query,
    sync,
)
from tests.support.proxy import Tables, run_proxy
from tests.support.script import Part, PoolMode, Stream, part, stream
from tests.support.wire import Endpoint
from tests.support.world import ROLE, World

PLUGIN = Path(__file__).parent / "plugins" / "answering.py"


@pytest.fixture(scope="module", params=[PoolMode.TRANSACTION, PoolMode.SESSION], ids=lambda mode: mode.value)
def pair(request: pytest.FixtureRequest, world18: World) -> Iterator[Pair]:
    """The proxy with the plugin, in a pool mode."""
    backend = world18.compared
    tables: Tables = {
        "server": {"pool_mode": request.param.value, "listen": "pin", "default_pool_size": 2},
        "databases.app": {"primary": f"postgresql://{ROLE}@{backend.host}:{backend.port}/{backend.database}"},
        "plugins": {"modules": [str(PLUGIN)]},
    }
    with run_proxy(tables) as proxy:
        endpoint = Endpoint(proxy.host, proxy.port, "app", ROLE)
        with closing(Comparison(world18, endpoint, compare_places=False, timeout=TIMEOUT)) as made:
            yield Pair(made, request.param, 18)


def answered(portal: str = "") -> list[Frontend]:
    """A portal of the plugin's."""
    return [parse(ANSWERED), bind(portal=portal)]


def server(sql: str, portal: str = "") -> list[Frontend]:
    """What the server runs, with everything that belongs to it."""
    return [parse(sql), bind(portal=portal), execute(portal)]


BEGIN, ROLLBACK, SAVEPOINT, BACK = map(query, ("BEGIN", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a"))
RUN = part(describe_portal("x"), execute("x"), sync())
CALL = function_call(177, [b"1", b"1"])
TRANSACTION = frozenset([PoolMode.TRANSACTION])
FAIL = query("SELECT 1 / 0")

BACKS: list[tuple[str, list[Part | Frontend]]] = [
    ("", [BEGIN, SAVEPOINT, part(*answered("x"), sync()), BACK]),
    (", by message", [BEGIN, SAVEPOINT, part(*answered("x"), sync()), part(*server("ROLLBACK TO a"), sync())]),
    (", in a pipeline", [BEGIN, SAVEPOINT, part(*answered("x"), *server("ROLLBACK TO a"), execute("x"), sync())]),
]

STREAMS = [
    stream(
        "a statement that is closed in the batch that would run it",
        part(parse(ANSWERED, "s"), sync()),
        part(close_statement("s"), bind(statement="s"), execute(), sync()),
        part(bind(statement="s"), execute(), sync()),
    ),
    stream(
        "a statement that is closed behind an error",
        part(parse(ANSWERED, "s"), sync()),
        part(*server("SELECT 1 / 0"), close_statement("s"), sync()),
        part(bind(statement="s"), execute(), sync()),
    ),
    stream("a portal within its batch", part(*answered("x"), describe_portal("x"), execute("x"), sync()), RUN),
    stream("a portal in parts", part(*answered(), execute("", 2), execute("", 2), execute(), sync())),
    stream(
        "a portal in parts over several batches",
        BEGIN,
        part(*answered("x"), execute("x", 1), sync()),
        part(*server("SELECT 5"), execute("x", 1), sync()),
        query("SELECT 6"),
        RUN,
        RUN,
        ROLLBACK,
        RUN,
    ),
    *[stream(f"ROLLBACK TO a savepoint from before its Bind{how}", *parts, RUN, RUN, ROLLBACK) for how, parts in BACKS],
    stream(
        "ROLLBACK TO a savepoint from behind its Bind",
        BEGIN,
        part(*answered("x"), sync()),
        SAVEPOINT,
        FAIL,
        RUN,
        BACK,
        RUN,
        ROLLBACK,
    ),
    stream(
        "ROLLBACK TO that ends a failure, and what a plugin answers behind it",
        BEGIN,
        SAVEPOINT,
        FAIL,
        part(*server("ROLLBACK TO a"), *answered("x"), describe_portal("x"), execute("x"), sync()),
        RUN,
        ROLLBACK,
    ),
    stream("RELEASE and a portal from before", BEGIN, SAVEPOINT, part(*answered("x"), sync()), query("RELEASE a"), RUN),
    stream(
        "a failed transaction", BEGIN, part(*answered("x"), sync()), FAIL, RUN, part(execute("x"), sync()), ROLLBACK
    ),
    stream(
        "a failed transaction and its unnamed portal", BEGIN, part(*answered(), sync()), FAIL, part(execute(), sync())
    ),
    stream(
        "a failure in the batch of its Bind",
        BEGIN,
        SAVEPOINT,
        part(*answered("x"), *server("SELECT 1 / 0"), sync()),
        RUN,
        BACK,
        RUN,
        part(*answered("x"), sync()),
        RUN,
    ),
    stream(
        "a Bind behind an error",
        BEGIN,
        SAVEPOINT,
        part(*server("SELECT 1 / 0"), *answered("x"), sync()),
        BACK,
        RUN,
        part(*answered("x"), sync()),
        RUN,
    ),
    stream(
        "a Close behind an error",
        BEGIN,
        part(*answered("x"), sync()),
        SAVEPOINT,
        part(*server("SELECT 1 / 0"), close_portal("x"), sync()),
        part(close_portal("x"), sync()),
        BACK,
        RUN,
    ),
    stream("SQL closes it", BEGIN, part(*answered("x"), sync()), query("CLOSE x"), RUN, ROLLBACK),
    stream("SQL closes all", BEGIN, part(*answered("x"), sync()), query("CLOSE ALL"), RUN, ROLLBACK),
    stream(
        "SQL closes it and its name is given again",
        BEGIN,
        part(*answered("x"), sync()),
        query("CLOSE x"),
        part(*answered("x"), execute("x"), sync()),
        query("CLOSE x"),
        part(*server("SELECT 7", "x"), sync()),
        RUN,
        ROLLBACK,
    ),
    stream("SQL takes its name", BEGIN, part(*answered("x"), sync()), query("DECLARE x CURSOR FOR SELECT 1"), ROLLBACK),
    stream(
        "SQL has its name",
        BEGIN,
        query("DECLARE x CURSOR FOR SELECT 1"),
        SAVEPOINT,
        part(*answered("x"), sync()),
        BACK,
        query("FETCH x"),
        query("CLOSE x"),
        part(*answered("x"), sync()),
        RUN,
    ),
    stream(
        "CLOSE of it, by message", BEGIN, part(*answered("x"), sync()), part(close_portal("x"), sync()), RUN, ROLLBACK
    ),
    stream(
        "CLOSE of it after others ran",
        BEGIN,
        part(*answered("x"), sync()),
        query("SELECT 1"),
        part(close_portal("x"), execute("x"), sync()),
        query("ROLLBACK"),
    ),
    stream("a name taken twice", part(*answered("x"), *answered("x"), sync()), query("SELECT 1")),
    stream(
        "a name taken twice, by the server", part(*answered("x"), *server("SELECT 1", "x"), sync()), query("SELECT 1")
    ),
    stream("a name of the server's taken", part(*server("SELECT 1", "x"), *answered("x"), sync()), query("SELECT 1")),
    stream(
        "a name taken twice, later",
        BEGIN,
        part(*answered("x"), sync()),
        SAVEPOINT,
        part(*answered("x"), sync()),
        BACK,
        RUN,
        ROLLBACK,
    ),
    stream(
        "a Query ends the unnamed portal", BEGIN, part(*answered(), sync()), query("SELECT 1"), part(execute(), sync())
    ),
    stream(
        "a Query that is answered ends the unnamed portal",
        BEGIN,
        part(*answered(), sync()),
        query(ANSWERED),
        part(execute(), sync()),
    ),
    stream(
        "a Query that is answered ends the unnamed portal, which the server knows",
        BEGIN,
        part(*answered(), flush()),
        part(parse("SELECT 1", "other"), sync()),
        query(ANSWERED),
        part(execute(), sync()),
    ),
    stream(
        "an unnamed portal follows another",
        BEGIN,
        part(*answered(), sync()),
        part(*server("SELECT 1"), sync()),
        part(execute(), sync()),
        part(*answered(), execute(), sync()),
        part(parse("SELECT 2", "other"), sync()),
        part(close_portal(), execute(), sync()),
    ),
    stream("COMMIT in its batch", part(*answered("x"), *server("COMMIT"), execute("x"), sync()), query("SELECT 1")),
    stream(
        "BEGIN in its batch",
        part(*answered("x"), *server("BEGIN"), execute("x"), sync()),
        SAVEPOINT,
        RUN,
        ROLLBACK,
        RUN,
    ),
    stream(
        "a portal between others, in one batch",
        part(
            *server("INSERT INTO t VALUES (900)"),
            *answered("x"),
            *server("SELECT 2"),
            execute("x", 2),
            describe_portal("x"),
            *server("SELECT 3"),
            execute("x"),
            sync(),
        ),
        RUN,
    ),
    # PostgreSQL goes astray behind a FunctionCall there, and in session mode the proxy asks something by then.
    stream("a FunctionCall in the batch of an answer", part(*answered(), execute(), CALL, sync()), modes=TRANSACTION),
    stream(
        "a FunctionCall in the batch of an answer that is closed",
        part(*answered(), execute(), close_portal(), flush(), CALL, sync()),
        modes=TRANSACTION,
    ),
    stream("a Query in the batch of an answer", part(*answered(), execute(), query("SELECT 1"), sync())),
    stream(
        "a failed transaction and its statements",
        BEGIN,
        FAIL,
        part(parse(ANSWERED, "s"), sync()),
        part(parse("ROLLBACK", "r"), bind(statement="r"), execute(), sync()),
        part(parse(ANSWERED, "s"), describe_statement("s"), bind(statement="s"), execute(), sync()),
    ),
]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_answered_portals_live_and_die_as_those_of_postgresql(pair: Pair, stream: Stream) -> None:
    if pair.mode not in stream.modes:
        pytest.skip("the stream is not for this pool mode")
    pair.comparison.check(stream)
