"""What keeps a client on its backend: what begins a pin, and what ends it.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import pytest

from interceptor.errors import TOO_MANY_PINNED, ClientError
from interceptor.session.settings import NO_SETTINGS, settings_of
from interceptor.sql.effects import Effect
from tests.support.belongings import PARSED, question, say
from tests.support.recorder import (
    ASKS_FOR_ALL,
    RESULT,
    ROW_DESCRIPTION,
    Recorder,
    answer,
    complete,
    error,
    found,
    is_set,
    message,
    parse,
    query,
    ready,
)

PINNING = [
    (Effect.TEMPORARY_OBJECT, "CREATE TEMP TABLE t ()", "DROP TABLE t"),
    (Effect.TEMPORARY_OBJECT, "CREATE TEMP TABLE t ()", "DISCARD TEMP"),
    (Effect.TEMPORARY_OBJECT, "CREATE TEMP TABLE t ()", "DROP OWNED BY alice"),
    (Effect.HOLD_CURSOR, "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c"),
    (Effect.ADVISORY_LOCK, "SELECT pg_try_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
    (Effect.LISTEN, "LISTEN news", "UNLISTEN *"),
    (Effect.LISTEN, "LISTEN news", "DISCARD ALL"),
    (Effect.ADVISORY_LOCK, "SELECT f()", "DO 'begin end'"),
]


@pytest.mark.parametrize(("effect", "begins", "ends"), PINNING)
def test_a_pin_ends_when_an_answer_says_that_its_reason_is_gone(effect: Effect, begins: str, ends: str) -> None:
    recorder = Recorder()
    question(recorder, query(begins), complete("X") + ready())
    recorder.from_backend(answer(found("has", effect.name), count=0))
    assert (recorder.pins, recorder.released) == ([frozenset({effect})], 0)
    assert recorder.linked
    # What says nothing of it asks nothing.
    assert say(recorder, query("SELECT 1"), RESULT + ready()) == b""
    assert recorder.released == 0
    # What may have ended it, and has not
    assert question(recorder, query(ends), complete("X") + ready()).startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(found("has", effect.name), count=0))
    assert (len(recorder.pins), recorder.released) == (1, 0)
    # And has
    question(recorder, query(ends), complete("X") + ready())
    recorder.from_backend(answer(count=0))
    assert recorder.pins[1:] == [frozenset()]
    assert recorder.released == 1
    assert not recorder.linked


def test_a_lock_that_was_not_given_pins_nothing() -> None:
    recorder = Recorder()
    question(recorder, query("SELECT pg_try_advisory_lock(1)"), RESULT + ready())
    recorder.from_backend(answer(count=0))
    assert (recorder.pins, recorder.released) == ([], 1)


def test_several_reasons_are_told_together_and_end_one_by_one() -> None:
    recorder = Recorder()
    question(recorder, query("SELECT f()"), RESULT + ready())
    both = [found("has", effect.name) for effect in (Effect.LISTEN, Effect.TEMPORARY_OBJECT)]
    recorder.from_backend(answer(*both, count=0))
    question(recorder, query("UNLISTEN *"), complete("UNLISTEN") + ready())
    recorder.from_backend(answer(both[1], count=0))
    assert recorder.pins == [frozenset({Effect.LISTEN, Effect.TEMPORARY_OBJECT}), frozenset({Effect.TEMPORARY_OBJECT})]
    assert recorder.released == 0


def test_a_pinned_client_is_asked_about_all_even_after_one_set() -> None:
    recorder = Recorder()
    question(recorder, query("LISTEN news"), complete("LISTEN") + ready())
    recorder.from_backend(answer(found("has", "LISTEN"), count=0))
    assert question(recorder, query("SET work_mem = 1"), complete("SET") + ready()).startswith(ASKS_FOR_ALL)


@pytest.mark.parametrize(
    ("effect", "sql"),
    [
        (Effect.LIBRARY, "LOAD 'auto_explain'"),
        (Effect.SEED, "SELECT setseed(0.5)"),
        (Effect.SEED, "SET LOCAL seed = 0.5"),
        (Effect.SESSION_RESOURCE, "SELECT pg_backup_start('x')"),
    ],
)
def test_what_no_answer_tells_the_end_of_pins_for_ever(effect: Effect, sql: str) -> None:
    recorder = Recorder()
    assert say(recorder, query(sql), complete("X") + ready()) == b""
    for later in ("DISCARD ALL", "RESET ALL", "SELECT f()", "SET work_mem = 1"):
        assert say(recorder, query(later), complete("X") + ready()) == b""
    assert (recorder.pins, recorder.released) == ([frozenset({effect})], 0)


def test_a_query_inside_an_open_batch_pins_for_ever() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1") + query("SELECT 2"))
    recorder.from_backend(PARSED + RESULT + ready())
    assert (recorder.pins, recorder.released) == ([frozenset({Effect.UNCOUNTED})], 0)


TIMED_OUT = message("E", b"SERROR\0VERROR\0C57014\0Mcanceling statement due to statement timeout\0\0") + ready()
LIFTS_TIMEOUT = b"SELECT 'was', 'statement_timeout', "


def lifted(value: bytes, *rows: bytes, count: int) -> bytes:
    """The answer to a question for all under no timeout, where it was ``value``."""
    was = ROW_DESCRIPTION + found("was", "statement_timeout", value.hex().encode()) + complete() + complete("SET")
    return was + answer(is_set("statement_timeout", b"0"), *rows, count=count)


@pytest.mark.parametrize(
    ("sql", "refusals"),
    [("SET work_mem = 1", [error() + ready()]), ("SET work_mem = 1", [TIMED_OUT]), ("SELECT f()", [TIMED_OUT])],
)
def test_a_question_that_fails_is_asked_again_for_all_under_no_timeout(sql: str, refusals: list[bytes]) -> None:
    recorder = Recorder()
    question(recorder, query(sql), complete("X") + ready())
    for refusal in refusals:
        recorder.from_backend(refusal)
        asked = recorder.take_question()
    head, _, rest = asked.partition(b";\nSET LOCAL statement_timeout = 0;\n")
    assert head.startswith(LIFTS_TIMEOUT)
    assert rest.startswith(ASKS_FOR_ALL)
    recorder.from_backend(lifted(b"1ms", is_set("jit", b"off"), count=0))
    assert recorder.client.belongings.settings is settings_of({"statement_timeout": b"1ms", "jit": b"off"})
    assert (recorder.released, recorder.pins) == (1, [])


@pytest.mark.parametrize("sql", ["SET statement_timeout = 1", "SET statement_timeout = 1; SELECT f()"])
def test_after_a_statement_timeout_was_set_the_question_lifts_it(sql: str) -> None:
    recorder = Recorder()
    assert question(recorder, query(sql), complete("SET") + ready()).startswith(LIFTS_TIMEOUT)
    recorder.from_backend(lifted(b"1ms", count=0))
    assert recorder.client.belongings.settings is settings_of({"statement_timeout": b"1ms"})
    assert question(recorder, query("SELECT f()"), RESULT + ready()).startswith(LIFTS_TIMEOUT)
    recorder.from_backend(lifted(b"0", count=0))
    assert recorder.client.belongings.settings is NO_SETTINGS


def test_a_backend_that_does_not_answer_is_kept_until_it_does() -> None:
    recorder = Recorder()
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(TIMED_OUT)
    recorder.take_question()
    recorder.from_backend(error() + ready())
    assert recorder.take() == (b"", b"")
    assert (recorder.pins, recorder.released) == ([frozenset({Effect.OPAQUE})], 0)
    # Nothing in doubt, so nothing is asked; then it is asked again, for all.
    assert say(recorder, query("SELECT 1"), RESULT + ready()) == b""
    assert question(recorder, query("SET jit = off"), complete("SET") + ready()).startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(is_set("jit", b"off"), count=0))
    assert recorder.pins[1:] == [frozenset()]
    assert recorder.released == 1


@pytest.mark.parametrize(
    ("sql", "told"), [("LISTEN news", answer(found("has", "LISTEN"), count=0)), ("SELECT f()", error() + ready())]
)
def test_a_client_that_must_not_be_pinned_is_refused(sql: str, told: bytes) -> None:
    recorder = Recorder()
    recorder.may_pin = False
    question(recorder, query(sql), complete("X") + ready())
    with pytest.raises(ClientError) as refused:
        recorder.from_backend(told)
    assert refused.value.failure is TOO_MANY_PINNED
    assert recorder.released == 0


def test_a_client_that_must_not_be_pinned_for_ever_is_refused_before_its_statement_runs() -> None:
    recorder = Recorder()
    recorder.may_pin = False
    with pytest.raises(ClientError):
        recorder.from_client(query("LOAD 'auto_explain'"))
    assert recorder.take() == (b"", b"")
