"""Settings of a client: what the answer changes, what is given first, and what the client is told.

The answers are those of PostgreSQL; tests/integration/test_isolation.py has it give them itself.
"""

from __future__ import annotations

import pytest

from interceptor.errors import SETTINGS_LOST, ClientError
from interceptor.session import belongings
from interceptor.session.settings import MAX_SETTINGS, MAX_SETTINGS_BYTES, NO_SETTINGS, settings_of
from interceptor.sql.effects import Effect
from tests.support.belongings import CET, UTC, names_in, question, say, set_to, text_of
from tests.support.recorder import ASKS_FOR_ALL, RESULT, Recorder, answer, complete, error, found, is_set, query, ready


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
