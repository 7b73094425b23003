"""Prepared statements of a client: named in SQL, shared, and its own.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import pytest

from interceptor.session import belongings
from interceptor.sql.effects import Effect
from tests.support.belongings import BOUND, CLOSED, PARSED, make_private, prepare, question, say, set_to, text_of
from tests.support.recorder import (
    ASKS_FOR_ALL,
    RESULT,
    SYNC,
    Recorder,
    answer,
    bind,
    close,
    complete,
    describe,
    error,
    execute,
    found,
    message,
    parse,
    query,
    ready,
)


def test_a_client_that_names_statements_in_sql_has_them_under_its_own_names() -> None:
    recorder = Recorder()
    name = prepare(recorder, "s")
    assert make_private(recorder) == close("S", name.decode()) + parse("SELECT 1", "s") + SYNC
    recorder.from_backend(CLOSED + PARSED + ready() + RESULT + ready())
    asked, to_client = recorder.take()
    assert to_client == RESULT + ready()
    assert b"'statement'" in text_of(asked)


def test_one_that_can_not_be_parsed_any_more_is_no_hindrance_to_the_query() -> None:
    recorder = Recorder()
    prepare(recorder, "s")
    prepare(recorder, "gone", "SELECT FROM dropped")
    make_private(recorder, "PREPARE p AS SELECT 1")
    recorder.from_backend(CLOSED + CLOSED + PARSED + ready() + error() + ready() + complete("PREPARE") + ready())
    assert recorder.take()[1] == complete("PREPARE") + ready()


def test_statements_are_shared_again_once_sql_has_made_none_of_them() -> None:
    recorder = Recorder()
    prepare(recorder, "s")
    make_private(recorder)
    recorder.from_backend(CLOSED + PARSED + ready() + RESULT + ready())
    recorder.take()
    recorder.from_backend(answer(found("statement", "s", b"SELECT 1", ""), count=1))
    assert recorder.take() == (query("DEALLOCATE ALL"), b"")
    assert (recorder.pins, recorder.released) == ([], 1)
    recorder.from_backend(complete("DEALLOCATE ALL") + ready())
    assert recorder.take() == (b"", b"")
    assert recorder.released == 1 + 1
    # It has its statement on any backend.
    recorder.new_backend()
    recorder.from_client(bind("s") + execute() + SYNC)
    sent, _ = recorder.take()
    assert sent.startswith(b"P")
    assert b"SELECT 1\0" in sent
    assert bind("s") not in sent


def test_where_there_are_none_nothing_is_taken_away() -> None:
    recorder = Recorder()
    make_private(recorder, "EXECUTE nothing")
    recorder.from_backend(error() + ready())
    recorder.take()
    recorder.from_backend(answer(count=0))
    assert recorder.take() == (b"", b"")
    assert recorder.released == 1
    assert recorder.client.named is not None


@pytest.mark.parametrize(
    ("answered", "pinned"),
    [
        (answer(found("has", "PREPARED_STATEMENT"), count=1), True),
        # One whose text is too long to be told.
        (answer(count=1), True),
        (answer(found("statement", "p", b"SELECT 1", "23"), count=2), True),
        (answer(found("statement", "p", b"SELECT 1", "23"), count=1), False),
    ],
)
def test_a_statement_of_sqls_making_keeps_the_backend(answered: bytes, pinned: bool) -> None:
    recorder = Recorder()
    make_private(recorder, "PREPARE p AS SELECT 1")
    recorder.from_backend(complete("PREPARE") + ready())
    recorder.take()
    recorder.from_backend(answered)
    assert recorder.pins == [frozenset({Effect.PREPARED_STATEMENT})] * pinned
    assert (recorder.client.named is None) is pinned


def test_the_pin_of_a_statement_of_sqls_making_ends_with_deallocate() -> None:
    recorder = Recorder()
    make_private(recorder, "PREPARE p AS SELECT 1")
    recorder.from_backend(complete("PREPARE") + ready())
    recorder.take()
    recorder.from_backend(answer(found("has", "PREPARED_STATEMENT"), count=1))
    question(recorder, query("DEALLOCATE p"), complete("DEALLOCATE") + ready())
    recorder.from_backend(answer(count=0))
    assert recorder.pins[1:] == [frozenset()]
    assert recorder.released == 1
    assert recorder.client.named is not None


def test_more_statements_than_are_asked_for_keep_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(belongings, "MAX_CARRIED", 1)
    recorder = Recorder()
    make_private(recorder, "EXECUTE a")
    recorder.from_backend(RESULT + ready())
    recorder.take()
    rows = [found("statement", name, b"SELECT 1", "") for name in "ab"]
    recorder.from_backend(answer(*rows, count=2))
    assert recorder.pins == [frozenset({Effect.PREPARED_STATEMENT})]


def test_a_function_that_takes_away_our_statements_is_found_out() -> None:
    recorder = Recorder()
    prepare(recorder, "s")
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(answer(count=0))
    assert recorder.take() == (query("DEALLOCATE ALL"), b"")
    recorder.from_backend(complete("DEALLOCATE ALL") + ready())
    assert recorder.released == 1 + 1
    # The client still has its statement, which is made anew.
    recorder.from_client(bind("s") + SYNC)
    assert recorder.take()[0].startswith(b"P")


def test_a_function_that_leaves_our_statements_alone_costs_nothing_more() -> None:
    recorder = Recorder()
    prepare(recorder, "s")
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(answer(count=1))
    assert recorder.take() == (b"", b"")
    assert recorder.released == 1 + 1


def test_statements_that_are_not_shared_keep_the_backend_until_they_are_closed() -> None:
    recorder = Recorder(shared=False)
    asked = question(recorder, parse("SELECT 1", "s") + SYNC, PARSED + ready())
    assert asked.startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(count=1))
    assert recorder.pins == [frozenset({Effect.PREPARED_STATEMENT})]
    assert say(recorder, bind("s") + describe("S", "s") + SYNC, BOUND + message("n") + ready()) == b""
    question(recorder, close("S", "s") + SYNC, CLOSED + ready())
    recorder.from_backend(answer(count=0))
    assert recorder.pins[1:] == [frozenset()]
    assert recorder.released == 1


def test_a_client_whose_own_statement_was_not_made_is_not_pinned() -> None:
    recorder = Recorder(shared=False)
    question(recorder, parse("SELECT x", "s") + SYNC, error() + ready())
    recorder.from_backend(answer(count=0))
    assert (recorder.pins, recorder.released) == ([], 1)


def test_statements_are_shared_by_what_decides_their_meaning() -> None:
    recorder = Recorder()
    plain = prepare(recorder, "s")
    set_to(recorder, "work_mem", b"5MB")
    recorder.from_client(parse("SELECT 1", "t") + SYNC)
    assert recorder.take() == (SYNC, PARSED)
    recorder.from_backend(ready())
    set_to(recorder, "DateStyle", b"German")
    other = prepare(recorder, "u")
    assert other != plain


def test_what_is_parsed_behind_a_set_local_is_shared_with_nobody() -> None:
    recorder = Recorder()
    plain = prepare(recorder, "s")
    say(recorder, query("BEGIN"), complete("BEGIN") + ready("T"))
    say(recorder, query("SET LOCAL DateStyle = 'German'"), complete("SET") + ready("T"))
    recorder.from_client(parse("SELECT 1", "t") + SYNC)
    sent, _ = recorder.take()
    assert sent.startswith(b"P")
    assert plain not in sent
    recorder.from_backend(PARSED + ready("T"))
    say(recorder, query("COMMIT"), complete("COMMIT") + ready())
    # That ends with the transaction.
    recorder.from_client(parse("SELECT 1", "u") + SYNC)
    assert recorder.take() == (SYNC, PARSED)
