"""What belongs to a client: what is asked after a statement in doubt, what the answer changes, and what is given first.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import re

import pytest

from interceptor.errors import SETTINGS_LOST, TOO_MANY_PINNED, ClientError
from interceptor.session import PoolMode, belongings
from interceptor.session.settings import MAX_SETTINGS, MAX_SETTINGS_BYTES, NO_SETTINGS, settings_of
from interceptor.sql.effects import Effect
from tests.support.recorder import (
    ASKS_BY_NAME,
    ASKS_FOR_ALL,
    COPY_DONE,
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    TERMINATE,
    Recorder,
    answer,
    bind,
    close,
    complete,
    describe,
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

PARSED, BOUND, CLOSED = message("1"), message("2"), message("3")
CET = message("S", b"TimeZone\0CET\0")
UTC = message("S", b"TimeZone\0UTC\0")
BATCH_END = complete("SET") + ready()


def text_of(message: bytes) -> bytes:
    """The SQL of one Query message."""
    assert message[:1] == b"Q", message
    assert len(message) == int.from_bytes(message[1:5], "big") + 1, message
    return message[5:-1]


def say(recorder: Recorder, sent: bytes, answered: bytes) -> bytes:
    """Let the client send this and the backend answer that; returns what the backend is sent after the answer."""
    recorder.from_client(sent)
    recorder.take()
    recorder.from_backend(answered)
    to_backend, to_client = recorder.take()
    assert to_client == answered
    return to_backend


def question(recorder: Recorder, sent: bytes, answered: bytes) -> bytes:
    """As ``say``, where what the backend is sent is a question; its SQL."""
    released = recorder.released
    asked = text_of(say(recorder, sent, answered))
    assert recorder.released == released
    assert recorder.linked
    return asked


def names_in(question: bytes) -> set[str]:
    """The settings that a question names."""
    (names,) = re.findall(rb"ARRAY\[([^]]*)\]", question)
    return {name.decode().strip("'") for name in names.split(b", ") if name}


def set_to(recorder: Recorder, name: str, value: bytes) -> None:
    """The client sets this, by one SET."""
    question(recorder, query(f"SET {name} = 1"), complete("SET") + ready())
    recorder.from_backend(answer(is_set(name.lower(), value)))
    assert recorder.take() == (b"", b"")
    assert not recorder.linked


# --- Whether it is asked, and what -----------------------------------------------------------------------------------


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


# --- Settings --------------------------------------------------------------------------------------------------------


def test_a_setting_follows_its_client_and_stays_out_of_the_way_of_others() -> None:
    recorder = Recorder()
    first = recorder.client
    set_to(recorder, "work_mem", b"5MB")
    assert first.belongings.settings is recorder.backend.settings is settings_of({"work_mem": b"5MB"})
    # The same client on the same backend needs nothing.
    recorder.from_client(query("SELECT 1"))
    assert recorder.take() == (query("SELECT 1"), b"")
    recorder.from_backend(RESULT + ready())
    recorder.take()
    # Another client is given a backend without it, in the same write.
    recorder.new_client()
    recorder.from_client(query("SELECT 2"))
    sent, _ = recorder.take()
    assert text_of(sent[: -len(query("SELECT 2"))]) == b"SELECT pg_catalog.set_config('work_mem', NULL, false)"
    assert sent.endswith(query("SELECT 2"))
    recorder.from_backend(RESULT + ready() + RESULT + ready())
    assert recorder.take() == (b"", RESULT + ready())
    assert recorder.backend.settings is NO_SETTINGS


def test_a_client_is_given_its_settings_on_another_backend() -> None:
    recorder = Recorder()
    set_to(recorder, "work_mem", b"5MB")
    recorder.new_backend()
    recorder.from_client(query("SELECT 1"))
    sent, _ = recorder.take()
    assert text_of(sent[: -len(query("SELECT 1"))]) == b"SELECT pg_catalog.set_config('work_mem', '5MB', false)"
    recorder.from_backend(RESULT + ready())
    recorder.from_backend(RESULT + ready())
    assert recorder.take() == (b"", RESULT + ready())
    assert recorder.released == 2


def test_settings_go_ahead_of_a_client_that_waited_for_its_backend() -> None:
    recorder = Recorder()
    set_to(recorder, "work_mem", b"5MB")
    recorder.new_backend()
    recorder.has_backends = False
    recorder.from_client(query("SELECT 1"))
    assert recorder.take() == (b"", b"")
    recorder.give_backend()
    sent, _ = recorder.take()
    assert sent.startswith(b"Q")
    assert b"set_config('work_mem', '5MB', false)" in sent
    assert sent.endswith(query("SELECT 1"))


def test_where_the_role_follows_the_client_waits_for_it() -> None:
    recorder = Recorder()
    set_to(recorder, "ROLE", b"alice")
    recorder.new_backend()
    recorder.from_client(query("SELECT 1"))
    assert text_of(recorder.take()[0]) == b"SELECT pg_catalog.set_config('role', 'alice', false)"
    recorder.from_client(query("SELECT 2"))
    assert recorder.take() == (b"", b"")
    recorder.from_backend(RESULT + ready())
    assert recorder.take() == (query("SELECT 1") + query("SELECT 2"), b"")
    recorder.from_backend((RESULT + ready()) * 2)
    assert recorder.take() == (b"", (RESULT + ready()) * 2)
    assert recorder.released == 2


def test_a_client_whose_settings_cannot_be_set_is_told_so_and_its_statement_is_not_run() -> None:
    recorder = Recorder()
    set_to(recorder, "ROLE", b"alice")
    recorder.new_backend()
    recorder.from_client(query("SELECT 1"))
    recorder.take()
    recorder.from_backend(error('role "alice" does not exist') + ready())
    assert b"RESET ALL" in recorder.take()[0], "it begins anew, should it have been another's setting that failed"
    recorder.from_backend(error('role "alice" does not exist') + ready())
    assert recorder.take() == (b"", b"")
    assert isinstance(recorder.failure, ClientError)
    assert recorder.failure.failure is SETTINGS_LOST
    assert 'role "alice" does not exist' in recorder.failure.message
    assert recorder.released == 1
    # What this backend has is not known any more, so it may go to nobody.
    assert recorder.client.belongings.doubt is not None


def test_what_cannot_be_taken_back_from_another_client_does_not_end_this_one() -> None:
    recorder = Recorder()
    set_to(recorder, "ROLE", b"alice")
    recorder.new_backend()
    recorder.from_client(query("SELECT 1"))
    recorder.take()
    recorder.from_backend(error("no") + ready())
    recorder.take()
    recorder.from_backend(complete("RESET") + complete("SELECT 1") + ready())
    assert recorder.take() == (query("SELECT 1"), b"")
    assert recorder.failure is None


def test_no_role_is_no_setting() -> None:
    recorder = Recorder()
    recorder.backend.base_role = b"none"
    set_to(recorder, "ROLE", b"alice")
    question(recorder, query("SET ROLE 'none'"), complete("SET") + ready())
    recorder.from_backend(answer(is_set("role", b"none")))
    assert recorder.client.belongings.settings is NO_SETTINGS


@pytest.mark.parametrize("told", [found("set", "app.tenant"), is_set("app.tenant", b"")])
def test_a_custom_setting_that_is_empty_is_not_set(told: bytes) -> None:
    recorder = Recorder()
    set_to(recorder, "app.tenant", b"5")
    question(recorder, query("SET app.tenant = ''"), complete("SET") + ready())
    recorder.from_backend(answer(told))
    assert recorder.client.belongings.settings is NO_SETTINGS


def test_an_ordinary_setting_may_be_empty() -> None:
    recorder = Recorder()
    set_to(recorder, "search_path", b"")
    assert recorder.client.belongings.settings is settings_of({"search_path": b""})


def test_one_setting_more_leaves_the_others() -> None:
    recorder = Recorder()
    set_to(recorder, "work_mem", b"5MB")
    set_to(recorder, "jit", b"off")
    assert recorder.client.belongings.settings is settings_of({"work_mem": b"5MB", "jit": b"off"})


def test_an_answer_about_all_is_all_that_there_is() -> None:
    recorder = Recorder()
    set_to(recorder, "work_mem", b"5MB")
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(answer(is_set("jit", b"off"), is_set("session_authorization", b"bob"), count=0))
    assert recorder.client.belongings.settings is settings_of({"jit": b"off", "session_authorization": b"bob"})


def test_names_of_custom_settings_are_asked_for_again_of_everybody() -> None:
    recorder = Recorder()
    set_to(recorder, "app.tenant", b"5")
    assert recorder.backend.custom_names == {"app.tenant"}
    recorder.new_client()
    recorder.from_client(query("DO 'begin end'"))
    recorder.take()
    recorder.from_backend(RESULT + ready() + complete("DO") + ready())
    assert names_in(text_of(recorder.take()[0])) == {"app.tenant"}


def test_a_clients_own_custom_settings_are_asked_for_on_another_backend() -> None:
    recorder = Recorder()
    set_to(recorder, "app.tenant", b"5")
    recorder.new_backend()
    assert recorder.backend.custom_names == set()
    recorder.from_client(query("DO 'begin end'"))
    recorder.take()
    recorder.from_backend(RESULT + ready() + complete("DO") + ready())
    assert names_in(text_of(recorder.take()[0])) == {"app.tenant"}


def test_names_that_are_asked_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(belongings, "MAX_NAMES", 3)
    recorder = Recorder()
    for number in range(5):
        set_to(recorder, f"app.n{number}", b"1")
    assert len(recorder.backend.custom_names) == 3
    asked = question(recorder, query("DO 'begin end'"), complete("DO") + ready())
    assert len(names_in(asked)) == 3


@pytest.mark.parametrize(
    "settings",
    [
        [is_set(f"app.n{number}", b"1") for number in range(MAX_SETTINGS + 1)],
        [is_set("app.tenant", b"x" * MAX_SETTINGS_BYTES)],
    ],
    ids=["many", "long"],
)
def test_a_client_with_too_many_settings_keeps_its_backend_until_it_has_fewer(settings: list[bytes]) -> None:
    recorder = Recorder()
    question(recorder, query("DO 'begin end'"), complete("DO") + ready())
    recorder.from_backend(answer(*settings, count=0))
    assert (recorder.pins, recorder.released) == ([frozenset({Effect.SETTING})], 0)
    question(recorder, query("RESET ALL"), complete("RESET") + ready())
    recorder.from_backend(answer(count=0))
    assert recorder.pins[1:] == [frozenset()]
    assert recorder.released == 1
    assert recorder.backend.settings is NO_SETTINGS


def test_a_single_set_that_is_too_long_keeps_the_backend_too() -> None:
    recorder = Recorder()
    question(recorder, query("SET app.tenant = 'x'"), complete("SET") + ready())
    recorder.from_backend(answer(is_set("app.tenant", b"x" * MAX_SETTINGS_BYTES)))
    assert (recorder.pins, recorder.released) == ([frozenset({Effect.SETTING})], 0)


def test_what_is_set_before_clients_come_is_nobodys() -> None:
    recorder = Recorder()
    recorder.backend.on_prepared_for_clients([is_set("work_mem", b"7MB")[5:]])
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(answer(is_set("work_mem", b"7MB"), is_set("jit", b"off"), count=0))
    assert recorder.client.belongings.settings is settings_of({"jit": b"off"})
    recorder.new_client()
    recorder.from_client(query("SELECT 1"))
    assert b"work_mem', '7MB'" in recorder.take()[0]


def test_after_an_unknown_function_the_next_client_starts_over() -> None:
    recorder = Recorder()
    question(recorder, query("SELECT f()"), RESULT + ready())
    recorder.from_backend(answer(count=0))
    # It goes on without more.
    recorder.from_client(query("SELECT 1"))
    assert recorder.take()[0] == query("SELECT 1")
    recorder.from_backend(RESULT + ready())
    recorder.new_client()
    recorder.from_client(query("SELECT 2"))
    sent, _ = recorder.take()
    assert text_of(sent[: -len(query("SELECT 2"))]) == b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"


def test_a_setting_of_everybodys_that_a_client_resets_comes_back_for_the_next() -> None:
    recorder = Recorder()
    recorder.backend.on_prepared_for_clients([is_set("work_mem", b"7MB")[5:]])
    assert question(recorder, query("RESET work_mem"), complete("RESET") + ready()).startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(count=0))
    recorder.new_client()
    recorder.from_client(query("SELECT 1"))
    assert b"set_config('work_mem', '7MB', false)" in recorder.take()[0]


# --- What the client is told -----------------------------------------------------------------------------------------


def test_a_client_is_told_what_its_own_statement_changed() -> None:
    recorder = Recorder()
    question(recorder, query("SET TimeZone = 'CET'"), complete("SET") + CET + ready())
    recorder.from_backend(answer(is_set("timezone", b"CET")))
    assert recorder.take() == (b"", b"")
    assert recorder.client.belongings.told is recorder.backend.reported


def test_another_client_hears_nothing_of_it_and_neither_does_the_first_when_it_comes_back() -> None:
    recorder = Recorder()
    first = recorder.client
    question(recorder, query("SET TimeZone = 'CET'"), complete("SET") + CET + ready())
    recorder.from_backend(answer(is_set("timezone", b"CET")))
    recorder.new_client()
    recorder.from_client(query("SELECT 1"))
    recorder.from_backend(RESULT + UTC + ready() + RESULT + ready())
    assert recorder.to_client == RESULT + ready()
    recorder.take()
    recorder.client = first
    recorder.from_client(query("SELECT 2"))
    recorder.from_backend(RESULT + CET + ready() + RESULT + ready())
    assert recorder.to_client == RESULT + ready()


def test_a_client_is_told_what_differs_on_its_backend_before_anything_else() -> None:
    recorder = Recorder()
    recorder.backend.reported = recorder.backend.reported.changed(b"TimeZone", b"CET")
    recorder.from_client(query("SELECT 1"))
    assert recorder.take() == (query("SELECT 1"), CET)


def test_nothing_is_told_of_another_clients_setting_where_sequences_are_hidden_too() -> None:
    recorder = Recorder()
    say(recorder, query("SELECT nextval('s')"), RESULT + ready())
    question(recorder, query("SET TimeZone = 'CET'"), complete("SET") + CET + ready())
    recorder.from_backend(answer(is_set("timezone", b"CET")))
    recorder.new_client()
    recorder.from_client(query("SELECT lastval()"))
    recorder.from_backend(complete("DISCARD SEQUENCES") + ready())
    recorder.from_backend(RESULT + UTC + ready())
    recorder.from_backend(error() + ready())
    assert recorder.to_client == error() + ready()


def test_a_question_that_changes_what_is_reported_is_told_behind_it() -> None:
    recorder = Recorder()
    question(recorder, query("SET work_mem = 1"), complete("SET") + ready())
    recorder.from_backend(answer(is_set("work_mem", b"1kB"), reports=CET))
    assert recorder.take() == (b"", CET)


# --- Pins ------------------------------------------------------------------------------------------------------------

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
    ("sql", "told"),
    [("LISTEN news", answer(found("has", "LISTEN"), count=0)), ("SELECT f()", error() + ready())],
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


# --- Prepared statements ---------------------------------------------------------------------------------------------


def prepare(recorder: Recorder, name: str, sql: str = "SELECT 1") -> bytes:
    """Prepare a statement by message; returns the name that the backend knows it by."""
    recorder.from_client(parse(sql, name) + SYNC)
    sent, _ = recorder.take()
    recorder.from_backend(PARSED + ready())
    recorder.take()
    return sent[5 : sent.index(0, 5)]


def make_private(recorder: Recorder, sql: str = "EXECUTE s") -> bytes:
    """Run a text that names prepared statements; returns what the backend is sent before it."""
    recorder.from_client(query(sql))
    sent, to_client = recorder.take()
    assert to_client == b""
    assert sent.endswith(query(sql))
    return sent[: -len(query(sql))]


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


# --- Sequences -------------------------------------------------------------------------------------------------------

DISCARD_SEQUENCES = query("DISCARD SEQUENCES")
TOUCHING = ["SELECT nextval('s')", "INSERT INTO t VALUES (1)", "COPY t FROM STDIN"]


def touch(recorder: Recorder, sql: str = "SELECT nextval('s')") -> None:
    if sql.startswith("COPY"):
        recorder.from_client(query(sql))
        recorder.from_backend(message("G", bytes(3)))
        recorder.from_client(COPY_DONE)
        recorder.from_backend(complete("COPY 0") + ready())
        recorder.take()
    else:
        say(recorder, query(sql), complete("X") + ready())
    assert not recorder.linked


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


# --- Reset -----------------------------------------------------------------------------------------------------------


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
