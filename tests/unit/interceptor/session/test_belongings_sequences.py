"""What a client's last values of sequences are, and that they are nobody else's.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import pytest

from interceptor.session import PoolMode
from interceptor.sql.effects import Effect
from tests.support.belongings import DISCARD_SEQUENCES, PARSED, make_private, prepare, say, touch
from tests.support.recorder import (
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    Recorder,
    bind,
    complete,
    describe,
    error,
    execute,
    message,
    parse,
    query,
    ready,
)

TOUCHING = ["SELECT nextval('s')", "INSERT INTO t VALUES (1)", "COPY t FROM STDIN"]


@pytest.mark.parametrize("sql", TOUCHING)
@pytest.mark.parametrize(
    "sent",
    [
        query("SELECT lastval()"),
        query("SELECT currval('s')"),
        query("BEGIN"),
        query("SELECT 1; SELECT lastval()"),
        query("SELECT f()"),
        parse("SELECT lastval()") + bind() + execute() + SYNC,
        message("F", bytes(10)),
    ],
)
def test_another_clients_sequence_values_are_taken_away_first(sql: str, sent: bytes) -> None:
    recorder = Recorder()
    touch(recorder, sql)
    recorder.new_client()
    recorder.from_client(sent)
    assert recorder.take()[0] == DISCARD_SEQUENCES + sent
    recorder.from_backend(complete("DISCARD SEQUENCES") + ready())
    assert recorder.take() == (b"", b"")


def test_before_an_execute_by_sql_too() -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.new_client()
    recorder.from_client(query("EXECUTE s"))
    # Which statements there are is looked at when all is answered.
    assert recorder.take()[0] == DISCARD_SEQUENCES + FLUSH
    recorder.from_backend(complete("DISCARD SEQUENCES") + ready())
    assert recorder.take() == (query("EXECUTE s"), b"")


@pytest.mark.parametrize("sql", ["PREPARE p AS SELECT nextval('s')", "EXECUTE p", "EXPLAIN ANALYZE EXECUTE p"])
def test_what_an_execute_by_sql_leaves_is_its_clients(sql: str) -> None:
    recorder = Recorder()
    make_private(recorder, sql)
    assert recorder.backend.sequences_of == recorder.client.belongings.serial


@pytest.mark.parametrize("sent", [query("SELECT 1"), query("INSERT INTO t VALUES (1)"), parse("SELECT 1") + SYNC])
def test_who_does_not_ask_for_them_pays_nothing(sent: bytes) -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.new_client()
    recorder.from_client(sent)
    assert recorder.take()[0] == sent


def test_a_client_has_its_own_values_where_nobody_came_between() -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.from_client(query("SELECT lastval()"))
    assert recorder.take()[0] == query("SELECT lastval()")


def test_values_of_several_clients_are_nobodys() -> None:
    recorder = Recorder()
    first = recorder.client
    touch(recorder)
    recorder.new_client()
    touch(recorder)
    for client in (first, recorder.client):
        recorder.client = client
        recorder.from_client(query("SELECT lastval()"))
        assert recorder.take()[0] == DISCARD_SEQUENCES + query("SELECT lastval()")
        recorder.from_backend(complete("DISCARD SEQUENCES") + ready() + error() + ready())
        recorder.take()
        touch(recorder)
        recorder.new_client()
        touch(recorder)


def test_a_prepared_statement_is_judged_where_it_runs() -> None:
    recorder = Recorder()
    prepare(recorder, "s", "SELECT lastval()")
    reader = recorder.client
    recorder.new_client()
    touch(recorder)
    recorder.client = reader
    recorder.from_client(bind("s") + execute() + SYNC)
    assert recorder.take()[0].startswith(DISCARD_SEQUENCES)


def test_the_unnamed_statement_is_judged_where_it_runs() -> None:
    recorder = Recorder()
    say(recorder, parse("SELECT lastval()") + SYNC, PARSED + ready())
    reader = recorder.client
    recorder.new_client()
    touch(recorder)
    recorder.client = reader
    recorder.from_client(bind() + execute() + SYNC)
    assert recorder.take()[0] == DISCARD_SEQUENCES + parse("SELECT lastval()") + bind() + execute() + SYNC


@pytest.mark.parametrize(
    "reads",
    [
        query("SELECT lastval()"),
        parse("SELECT lastval()") + bind() + execute() + SYNC,
        parse("SELECT lastval()", "r") + bind("r") + execute() + SYNC,
    ],
    ids=["simple", "unnamed", "named"],
)
def test_behind_a_batch_that_does_not_ask_they_are_taken_away_before_one_that_does(reads: bytes) -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.new_client()
    writes = query("INSERT INTO t VALUES (1)")
    recorder.from_client(writes + reads)
    assert recorder.take()[0] == writes + FLUSH
    recorder.from_backend(complete("INSERT 0 1") + ready())
    sent, _ = recorder.take()
    assert sent.startswith(DISCARD_SEQUENCES)
    assert b"SELECT lastval()" in sent
    assert b"blocked" not in sent


def test_in_a_transaction_that_was_begun_without_asking_they_are_refused() -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.new_client()
    recorder.from_client(query("INSERT INTO t VALUES (1)") + query("BEGIN") + query("SELECT lastval()"))
    recorder.from_backend(complete("INSERT 0 1") + ready() + complete("BEGIN") + ready("T"))
    recorder.take()
    recorder.from_backend(error() + ready("E"))
    assert b"55000" in recorder.take()[1]


@pytest.mark.parametrize("name", ["", "r"])
def test_in_the_midst_of_a_batch_they_are_refused(name: str) -> None:
    recorder = Recorder()
    touch(recorder)
    recorder.new_client()
    recorder.from_client(parse("SELECT 1", "one") + FLUSH)
    recorder.from_backend(PARSED)
    recorder.take()
    read = parse("SELECT lastval()", name) + describe("S", name) + bind(name) + execute() + SYNC
    recorder.from_client(read)
    recorder.from_backend(PARSED + message("t", bytes(2)) + ROW_DESCRIPTION + error() + ready())
    assert b"55000" in recorder.take()[1]


def test_a_function_call_in_an_open_batch_keeps_the_backend() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1") + message("F", bytes(10)) + SYNC)
    assert recorder.client.belongings.pins == {Effect.UNCOUNTED}


def test_in_session_mode_sequences_are_the_backends_own() -> None:
    recorder = Recorder(PoolMode.SESSION)
    say(recorder, query("SELECT nextval('s')"), RESULT + ready())
    recorder.from_client(query("SELECT lastval()"))
    assert recorder.take()[0] == query("SELECT lastval()")
