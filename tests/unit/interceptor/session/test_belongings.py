"""What belongs to a client: what is asked after a statement in doubt, and what a reset takes away.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import pytest

from interceptor.session import PoolMode
from interceptor.session.settings import NO_SETTINGS, settings_of
from tests.support.belongings import (
    BOUND,
    DISCARD_SEQUENCES,
    PARSED,
    names_in,
    prepare,
    question,
    say,
    set_to,
    text_of,
    touch,
)
from tests.support.recorder import (
    ASKS_BY_NAME,
    ASKS_FOR_ALL,
    RESULT,
    SYNC,
    TERMINATE,
    Recorder,
    answer,
    bind,
    complete,
    error,
    execute,
    found,
    is_set,
    message,
    parse,
    query,
    ready,
    row,
)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SET work_mem = '5MB'", {"work_mem"}),
        ("SET Work_Mem TO '5MB'", {"work_mem"}),
        ("SET ROLE alice", {"role"}),
        ("SET app.tenant = '5'", {"app.tenant"}),
        ("SELECT set_config('TimeZone', 'CET', false)", {"timezone"}),
    ],
)
def test_after_one_set_its_own_setting_is_asked_for(sql: str, names: set[str]) -> None:
    recorder = Recorder()
    recorder.backend.base_role = b"none"
    asked = question(recorder, query(sql), complete("SET") + ready())
    assert asked.startswith(ASKS_BY_NAME)
    assert names_in(asked) == names


def test_only_settings_that_are_in_no_list_are_asked_for_by_name() -> None:
    recorder = Recorder()
    recorder.from_client(query("BEGIN") + query("SET SESSION AUTHORIZATION bob; SET app.tenant = '5'"))
    recorder.from_backend(complete("BEGIN") + ready("T") + complete("SET") + complete("SET") + ready("T"))
    recorder.take()
    asked = question(recorder, query("ROLLBACK"), complete("ROLLBACK") + ready())
    # A value that is not the client's would be set for it, and that of session_authorization takes the role away.
    assert names_in(asked) == {"app.tenant"}


def test_a_role_goes_with_a_session_authorization_though_it_is_that_after_login() -> None:
    recorder = Recorder()
    recorder.backend.base_role = b"clerk"
    question(recorder, query("SET SESSION AUTHORIZATION bob; SET ROLE clerk"), complete("SET") * 2 + ready())
    recorder.from_backend(answer(is_set("session_authorization", b"bob"), is_set("role", b"clerk"), count=0))
    assert recorder.client.belongings.settings.values == {"session_authorization": b"bob", "role": b"clerk"}


def test_after_the_first_set_role_the_role_after_login_is_asked_for_too() -> None:
    recorder = Recorder()
    asked = question(recorder, query("SET ROLE none"), complete("SET") + ready())
    assert b"SET LOCAL role TO DEFAULT" in asked
    recorder.from_backend(answer(is_set("role", b"none"), found("base", "role", b"clerk".hex().encode())))
    assert recorder.client.belongings.settings.values == {"role": b"none"}


def test_several_sets_in_one_batch_are_asked_for_by_name() -> None:
    recorder = Recorder()
    batch = b"".join(parse(f"SET {name} = 1") + bind() + execute() for name in ("work_mem", "jit"))
    asked = question(recorder, batch + SYNC, (PARSED + BOUND + complete("SET")) * 2 + ready())
    assert asked.startswith(ASKS_BY_NAME)
    assert names_in(asked) == {"work_mem", "jit"}


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (query("SET work_mem = 1; SET jit = off"), complete("SET") * 2 + ready()),
        (query("SET SESSION AUTHORIZATION alice"), complete("SET") + ready()),
        (query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), complete("SET") + ready()),
        (query("DO 'begin end'"), complete("DO") + ready()),
        (query("SELECT f()"), RESULT + ready()),
        (query("this is no SQL"), error() + ready()),
        (query("CREATE TEMP TABLE t ()"), complete("CREATE TABLE") + ready()),
        (query("DECLARE c CURSOR WITH HOLD FOR SELECT 1"), complete("DECLARE CURSOR") + ready()),
        (query("SELECT pg_try_advisory_lock(1)"), RESULT + ready()),
        (query("LISTEN news"), complete("LISTEN") + ready()),
        (message("F", bytes(10)), message("V", bytes(4)) + ready()),
        (query("SET work_mem = 1"), error() + ready()),
    ],
)
def test_after_anything_else_in_doubt_all_is_asked_for(sent: bytes, answered: bytes) -> None:
    recorder = Recorder()
    asked = question(recorder, sent, answered)
    assert asked.startswith(ASKS_FOR_ALL)
    assert b"'statement'" not in asked
    recorder.from_backend(answer(count=0))
    assert recorder.take() == (b"", b"")
    assert (recorder.released, recorder.pins) == (1, [])


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "INSERT INTO t VALUES (1)", "SELECT nextval('s')", "SET LOCAL work_mem = 1", "BEGIN", "NOTIFY news",
     "SELECT pg_advisory_unlock(1)", "CLOSE ALL", "UNLISTEN *", "DROP TABLE t", "DISCARD TEMP", "CREATE TABLE t ()"],
)  # fmt: skip
def test_of_what_leaves_nothing_behind_nothing_is_asked(sql: str) -> None:
    recorder = Recorder()
    assert say(recorder, query(sql), complete("X") + ready()) == b""
    assert recorder.released == 1


@pytest.mark.parametrize(
    "sql", ["RESET ALL", "RESET work_mem", "SET work_mem TO DEFAULT", "DISCARD ALL", "DEALLOCATE x"]
)
def test_who_has_nothing_loses_nothing(sql: str) -> None:
    recorder = Recorder()
    assert say(recorder, query(sql), complete("RESET") + ready()) == b""
    assert recorder.released == 1


@pytest.mark.parametrize("sql", ["RESET ALL", "RESET work_mem", "SET work_mem TO DEFAULT", "DISCARD ALL"])
def test_who_has_a_setting_may_have_lost_it(sql: str) -> None:
    recorder = Recorder()
    set_to(recorder, "work_mem", b"5MB")
    asked = question(recorder, query(sql), complete("RESET") + ready())
    assert asked.startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(count=0))
    assert recorder.client.belongings.settings is recorder.backend.settings is NO_SETTINGS


def test_a_set_in_a_transaction_block_may_be_rolled_back_so_all_is_asked_for_at_its_end() -> None:
    recorder = Recorder()
    assert say(recorder, query("BEGIN"), complete("BEGIN") + ready("T")) == b""
    assert say(recorder, query("SET work_mem = 1"), complete("SET") + ready("T")) == b""
    assert recorder.linked
    asked = question(recorder, query("ROLLBACK"), complete("ROLLBACK") + ready())
    assert asked.startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(count=0))
    assert recorder.client.belongings.settings is NO_SETTINGS
    assert recorder.released == 1


def test_a_set_before_another_doubt_is_asked_for_with_all() -> None:
    recorder = Recorder()
    batch = parse("SET app.tenant = 1") + bind() + execute() + parse("SELECT f('app.other')") + bind() + execute()
    done = PARSED + BOUND + complete("SET") + PARSED + BOUND + row() + complete()
    asked = question(recorder, batch + SYNC, done + ready())
    assert asked.startswith(ASKS_FOR_ALL)
    assert names_in(asked) == {"app.tenant", "app.other"}


def test_a_doubt_before_a_set_is_asked_for_with_all() -> None:
    recorder = Recorder()
    batch = parse("SELECT f()") + bind() + execute() + parse("SET work_mem = 1") + bind() + execute()
    asked = question(recorder, batch + SYNC, (PARSED + BOUND + complete("X")) * 2 + ready())
    assert asked.startswith(ASKS_FOR_ALL)


def test_a_statement_is_in_doubt_when_it_runs_not_only_when_it_is_prepared() -> None:
    recorder = Recorder()
    prepare(recorder, "s", "SET work_mem = 1")
    recorder.from_client(bind("s") + execute() + SYNC)
    recorder.take()
    recorder.from_backend(BOUND + complete("SET") + ready())
    assert text_of(recorder.take()[0]).startswith(ASKS_BY_NAME)


def test_the_unnamed_statement_is_in_doubt_when_it_runs_in_a_later_batch() -> None:
    recorder = Recorder()
    question(recorder, parse("SET work_mem = 1") + SYNC, PARSED + ready())
    recorder.from_backend(answer(found("set", "work_mem", b"344d42")))
    recorder.take()
    recorder.from_client(bind() + execute() + SYNC)
    assert recorder.take()[0] == parse("SET work_mem = 1") + bind() + execute() + SYNC
    recorder.from_backend(PARSED + BOUND + complete("SET") + ready())
    assert text_of(recorder.take()[0]).startswith(ASKS_BY_NAME)
    assert recorder.released == 1


def test_what_the_client_sends_meanwhile_waits_for_the_answer() -> None:
    recorder = Recorder()
    question(recorder, query("SET work_mem = 1"), complete("SET") + ready())
    recorder.from_client(query("SELECT 1"))
    assert recorder.take() == (b"", b"")
    recorder.from_backend(answer(is_set("work_mem", b"1kB")))
    assert recorder.take() == (query("SELECT 1"), b"")
    assert recorder.released == 1, "it waits its turn, like anybody's"
    recorder.from_backend(RESULT + ready())
    assert recorder.released == 2


def test_the_question_waits_for_all_that_the_client_has_sent() -> None:
    recorder = Recorder()
    recorder.from_client(query("SET work_mem = 1") + query("SELECT 1"))
    recorder.take()
    recorder.from_backend(complete("SET") + ready())
    assert recorder.take() == (b"", complete("SET") + ready())
    recorder.from_backend(RESULT + ready())
    assert text_of(recorder.take()[0]).startswith(ASKS_BY_NAME)


def test_a_client_that_leaves_before_the_answer_leaves_a_backend_that_is_known() -> None:
    recorder = Recorder()
    question(recorder, query("SET work_mem = 1"), complete("SET") + ready())
    assert recorder.client.on_hung_up()
    recorder.from_backend(answer(is_set("work_mem", b"1kB")))
    assert (recorder.finished, recorder.released) == (True, 1)
    assert recorder.backend.settings is settings_of({"work_mem": b"1kB"})


def test_a_client_that_says_goodbye_before_the_answer_leaves_a_backend_that_is_known() -> None:
    recorder = Recorder()
    question(recorder, query("SET work_mem = 1"), complete("SET") + ready())
    recorder.from_client(TERMINATE)
    assert not recorder.finished
    recorder.from_backend(answer(is_set("work_mem", b"1kB")))
    assert (recorder.finished, recorder.released) == (True, 1)


def test_a_client_that_leaves_with_more_to_say_is_not_waited_for() -> None:
    recorder = Recorder()
    question(recorder, query("SET work_mem = 1"), complete("SET") + ready())
    recorder.from_client(query("SELECT 1"))
    assert not recorder.client.on_hung_up()
    assert recorder.client.belongings.doubt is not None


def test_in_session_mode_nothing_is_asked() -> None:
    recorder = Recorder(PoolMode.SESSION)
    for sql in ("SET work_mem = 1", "CREATE TEMP TABLE t ()", "LOAD 'x'", "DISCARD ALL"):
        assert say(recorder, query(sql), complete("X") + ready()) == b""
    assert (recorder.released, recorder.pins) == (0, [])
    assert recorder.client.belongings.settings is NO_SETTINGS


@pytest.mark.parametrize("everything", [True, False])
def test_after_a_reset_a_client_meets_a_session_like_new(everything: bool) -> None:
    recorder = Recorder()
    prepare(recorder, "s")
    touch(recorder)
    recorder.backend.on_reset(everything=everything)
    assert recorder.backend.prepared
    recorder.backend.on_own_tag(b"DISCARD ALL\0")
    assert not recorder.backend.prepared
    recorder.new_client()
    recorder.from_client(query("SELECT lastval()"))
    sent, _ = recorder.take()
    if everything:
        assert sent == query("SELECT lastval()")
    else:
        assert sent.startswith(DISCARD_SEQUENCES)
        rest = sent[len(DISCARD_SEQUENCES) : -len(query("SELECT lastval()"))]
        assert text_of(rest) == b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
