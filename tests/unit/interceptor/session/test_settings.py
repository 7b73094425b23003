"""Settings as values, and the way from one set of them to another."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from interceptor.session.settings import (
    NO_SETTINGS,
    UNKNOWN_SETTINGS,
    Settings,
    Transition,
    quote,
    settings_of,
    start_over,
    transition,
)


def values(**settings: bytes) -> Settings:
    return settings_of(settings)


def sql(step: Transition) -> bytes:
    """The text of the Query message, whose framing is checked."""
    message = step.message
    assert message[:1] == b"Q"
    assert int.from_bytes(message[1:5], "big") + 1 == len(message)
    assert message.endswith(b"\0")
    return message[5:-1]


def call(name: str, literal: str) -> str:
    return f"pg_catalog.set_config('{name}', {literal}, false)"


# --- Values ----------------------------------------------------------------------------------------------------------


def test_equal_settings_are_one_object() -> None:
    assert settings_of({"a": b"1", "b": b"2"}) is settings_of([("b", b"2"), ("a", b"1")])
    assert settings_of({}) is NO_SETTINGS
    assert settings_of({"a": b"1"}) is not settings_of({"a": b"2"})


def test_settings_that_nobody_has_are_forgotten() -> None:
    first = ref(settings_of({"app.tenant": b"only here"}))
    gc.collect()
    assert first() is None


def test_unknown_settings_are_equal_to_none() -> None:
    assert UNKNOWN_SETTINGS is not NO_SETTINGS
    assert UNKNOWN_SETTINGS.items == NO_SETTINGS.items


def test_size_counts_names_and_values() -> None:
    assert values(work_mem=b"5MB", jit=b"off").size == len("work_mem5MBjitoff")
    assert NO_SETTINGS.size == 0


def test_no_value_is_in_the_repr() -> None:
    settings = settings_of({"app.tenant": b"secret", "a": b"hidden"})
    assert repr(settings) == "Settings(a, app.tenant)"


def test_parsing_has_what_decides_the_meaning_of_a_statement() -> None:
    settings = settings_of(
        {"datestyle": b"German", "work_mem": b"5MB", "statement_timeout": b"5s", "app.tenant": b"5", "role": b"alice"}
    )
    # A custom setting may be read by a policy or a default, but that is done when the statement runs.
    assert settings.parsing.values.keys() >= {"datestyle", "role"}
    assert not settings.parsing.values.keys() & {"work_mem", "statement_timeout"}
    assert settings.parsing is settings.parsing
    assert values(work_mem=b"5MB").parsing is values(jit=b"off").parsing is NO_SETTINGS


@pytest.mark.parametrize(
    ("path", "misleads"),
    [
        (b'"$user", public', False),
        (b"public", False),
        (b"pg_catalog, public", False),
        (b'"pg_catalog", public', False),
        (b"public, pg_catalog", True),
        (b'public, "pg_catalog"', True),
        (b"pg_temp, public", True),
        (b'"pg_temp"', True),
        (b"PUBLIC, PG_TEMP", True),
        (b"\xff", False),
    ],
)
def test_a_search_path_that_makes_names_mislead(path: bytes, misleads: bool) -> None:
    assert values(search_path=path).misleading is misleads
    assert not NO_SETTINGS.misleading


# --- From one to another ---------------------------------------------------------------------------------------------


def test_only_differences_are_sent() -> None:
    old = values(work_mem=b"5MB", jit=b"off", datestyle=b"German")
    new = values(work_mem=b"5MB", jit=b"on", timezone=b"CET")
    step = transition(old, new)
    text = sql(step).decode()
    assert text.startswith("SELECT ")
    assert set(text.removeprefix("SELECT ").split(", pg_catalog.")) == {
        call("datestyle", "NULL"),
        call("jit", "'on'").removeprefix("pg_catalog."),
        call("timezone", "'CET'").removeprefix("pg_catalog."),
    }
    assert step.sure


def test_what_is_taken_back_comes_first() -> None:
    text = sql(transition(values(jit=b"off"), values(work_mem=b"5MB"))).decode()
    assert text == f"SELECT {call('jit', 'NULL')}, {call('work_mem', chr(39) + '5MB' + chr(39))}"


@pytest.mark.parametrize("name", ["work_mem", "app.tenant", "search_path"])
def test_what_cannot_fail_is_sure(name: str) -> None:
    assert transition(NO_SETTINGS, settings_of({name: b"x"})).sure
    assert transition(settings_of({name: b"x"}), NO_SETTINGS).sure


@pytest.mark.parametrize(
    "name", ["role", "session_authorization", "default_tablespace", "temp_tablespaces", "default_text_search_config"]
)
def test_what_names_an_object_may_fail(name: str) -> None:
    assert not transition(NO_SETTINGS, settings_of({name: b"x"})).sure
    assert not transition(NO_SETTINGS, settings_of({name: b"x", "jit": b"off"})).sure


def test_the_role_is_taken_back_first_and_given_last() -> None:
    old = values(role=b"alice", session_authorization=b"bob", jit=b"off")
    new = values(role=b"carol", session_authorization=b"dan", work_mem=b"5MB")
    assert sql(transition(old, new)).decode() == "SELECT " + ", ".join(
        [
            call("session_authorization", "NULL"),
            call("role", "NULL"),
            call("jit", "NULL"),
            call("work_mem", "'5MB'"),
            call("session_authorization", "'dan'"),
            call("role", "'carol'"),
        ]
    )


def test_a_role_that_stays_is_left_alone_where_nothing_else_can_fail() -> None:
    step = transition(values(role=b"alice"), values(role=b"alice", jit=b"off"))
    assert sql(step).decode() == f"SELECT {call('jit', chr(39) + 'off' + chr(39))}"
    assert step.sure


def test_what_only_the_login_role_may_set_is_set_as_the_login_role() -> None:
    step = transition(values(role=b"alice"), values(role=b"alice", log_statement=b"all"))
    assert sql(step).decode() == "SELECT " + ", ".join(
        [call("role", "NULL"), call("log_statement", "'all'"), call("role", "'alice'")]
    )
    assert not step.sure


@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout"])
def test_the_timeout_of_the_client_before_does_not_end_it(name: str) -> None:
    text = sql(transition(settings_of({name: b"1ms"}), values(jit=b"off"))).decode()
    assert text.startswith("SET statement_timeout = 0; SELECT ")
    assert call(name, "NULL") in text


def test_a_timeout_that_stays_is_there_afterwards() -> None:
    old = values(statement_timeout=b"5s")
    text = sql(transition(old, values(statement_timeout=b"5s", jit=b"off"))).decode()
    assert text == (
        "SET statement_timeout = 0; SELECT " + call("jit", "'off'") + ", " + call("statement_timeout", "'5s'")
    )


def test_a_timeout_that_is_another_is_set_once() -> None:
    text = sql(transition(values(statement_timeout=b"1s"), values(statement_timeout=b"2s"))).decode()
    assert text == "SET statement_timeout = 0; SELECT " + call("statement_timeout", "'2s'")


def test_what_a_connect_query_set_comes_back() -> None:
    base = values(work_mem=b"7MB", app_name=b"x")
    assert sql(transition(values(work_mem=b"5MB"), NO_SETTINGS, base)).decode() == (
        "SELECT " + call("work_mem", "'7MB'")
    )


def test_what_is_for_a_transaction_ends_with_it() -> None:
    old, new = values(role=b"alice", timezone=b"CET"), values(role=b"bob", datestyle=b"German")
    text = sql(transition(old, new, local=True)).decode()
    assert text == sql(transition(old, new)).decode().replace(", false)", ", true)")
    assert ", false)" not in text


@pytest.mark.parametrize(
    ("wanted", "base", "calls", "sure"),
    [
        ({}, {}, [], True),
        ({"jit": b"off"}, {}, [call("jit", "'off'")], True),
        ({"jit": b"off"}, {"jit": b"on"}, [call("jit", "'off'")], True),
        ({}, {"jit": b"on"}, [call("jit", "'on'")], True),
        (
            {"role": b"a", "session_authorization": b"b"},
            {"jit": b"on"},
            [call("jit", "'on'"), call("session_authorization", "'b'"), call("role", "'a'")],
            False,
        ),
        ({"default_tablespace": b"x"}, {}, [call("default_tablespace", "'x'")], False),
    ],
)
def test_starting_over(wanted: dict[str, bytes], base: dict[str, bytes], calls: list[str], sure: bool) -> None:
    step = start_over(settings_of(wanted), settings_of(base))
    text = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
    assert sql(step).decode() == text + (f"; SELECT {', '.join(calls)}" if calls else "")
    assert step.sure is sure


def test_from_unknown_settings_all_is_taken_back() -> None:
    text = sql(transition(UNKNOWN_SETTINGS, values(jit=b"off"), values(work_mem=b"7MB"))).decode()
    head, _, calls = text.partition("; SELECT ")
    assert head == "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
    assert set(calls.split(", pg_catalog.")) == {call("work_mem", "'7MB'"), call("jit", "'off'")[11:]}
    assert sql(transition(UNKNOWN_SETTINGS, NO_SETTINGS)).decode() == head


# --- Quoting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        (b"", "''"),
        (b"plain, 5%", "'plain, 5%'"),
        (b"it's", "'it''s'"),
        (b"''", "''''''"),
        (b"a\\b", "615c62"),
        ("é".encode(), "c3a9"),
        (b"\xe9", "e9"),
        (b"\x95\\", "955c"),
    ],
)
def test_a_literal_reads_alike_under_every_setting(value: bytes, expression: str) -> None:
    quoted = quote(value).decode("ascii")
    assert "\\" not in quoted
    if expression.startswith("'"):
        assert quoted == expression
    else:
        assert quoted == (
            f"pg_catalog.convert_from(pg_catalog.decode('{expression}', 'hex'), pg_catalog.getdatabaseencoding())"
        )


def test_a_name_is_quoted_as_well() -> None:
    text = sql(transition(NO_SETTINGS, settings_of({"a.it's": b"1"})))
    assert text == b"SELECT pg_catalog.set_config('a.it''s', '1', false)"
