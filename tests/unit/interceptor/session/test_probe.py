"""The questions that backends are asked, and their answers. What servers say: tests/integration/test_isolation.py."""

from __future__ import annotations

import re

import pytest
from pglast import parser

from interceptor.session.probe import MAX_CARRIED, MAX_CARRIED_BYTES, ask_for, ask_for_all, decode_probe
from interceptor.session.settings import MAX_SETTINGS_BYTES
from interceptor.sql.effects import Effect
from tests.support.recorder import found, is_set


def body(row: bytes) -> bytes:
    return row[5:]


def sql(message: bytes) -> str:
    assert message[:1] == b"Q"
    assert int.from_bytes(message[1:5], "big") + 1 == len(message)
    assert message.endswith(b"\0")
    return message[5:-1].decode("ascii")


# --- Questions -------------------------------------------------------------------------------------------------------

QUESTIONS = [
    sql(ask_for(["work_mem", "app.it's"])),
    sql(ask_for_all([], b"app", statements=False)),
    sql(ask_for_all(["app.tenant", "été.nuit"], "Zoë \\".encode(), statements=True)),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_one_statement(question: str) -> None:
    assert len(parser.parse_sql_json(question).split('"stmt_location"')) <= 2
    assert ";" not in question


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_in_a_question_depends_on_a_search_path(question: str) -> None:
    """Every function, type, table and operator is qualified: an unqualified one may be anybody's."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", question)
    bare = re.sub(r"OPERATOR\(pg_catalog\.\S+\)", " ", bare)
    assert not re.search(r"[-+*/<>=~!@#%^&|]", bare.replace("count(*)", ""))
    calls = re.findall(r'([\w."]+)\s*\(', bare)
    plain = {"AS", "EXISTS", "AND", "ALL", "FROM", "WITH", "n", "MATERIALIZED"}
    assert [name for name in calls if not name.startswith("pg_catalog.") and name not in plain] == []
    assert [name for name in re.findall(r"::(\S+?)[\s,\[)]", bare) if not name.startswith("pg_catalog.")] == []
    tables = re.findall(r"FROM ([\w.]+)", bare)
    assert [name for name in tables if not name.startswith("pg_catalog.") and name not in ("g", "AS")] == []


def test_names_are_asked_for() -> None:
    assert "ARRAY['work_mem', 'app.it''s']" in QUESTIONS[0]
    assert "ARRAY['app.tenant', pg_catalog.convert_from(" in QUESTIONS[2]
    assert "ARRAY[]::pg_catalog.text[]" in QUESTIONS[1]


def test_who_logged_in_is_no_change() -> None:
    assert "session_user::pg_catalog.text OPERATOR(pg_catalog.<>) 'app'" in QUESTIONS[1]


def test_the_texts_of_statements_are_asked_for_only_if_wanted() -> None:
    assert "'statement'" not in QUESTIONS[1]
    assert f"OPERATOR(pg_catalog.<=) {MAX_CARRIED_BYTES} LIMIT {MAX_CARRIED + 1}" in QUESTIONS[2]


def test_values_are_cut_off_behind_the_limit() -> None:
    assert all(f", {MAX_SETTINGS_BYTES + 1})" in question for question in QUESTIONS)


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_settings() -> None:
    rows = [is_set("work_mem", b"5MB"), is_set("app.tenant", "é'\\".encode()), is_set("empty", b"")]
    probed = decode_probe([body(row) for row in rows])
    assert probed.settings == {"work_mem": b"5MB", "app.tenant": "é'\\".encode(), "empty": b""}
    assert (probed.has, probed.statement_count, probed.statements) == (set(), 0, [])


def test_a_setting_without_a_value_is_empty() -> None:
    assert decode_probe([body(found("set", "app.nothing"))]).settings == {"app.nothing": b""}


@pytest.mark.parametrize("name", ["transaction_isolation", "transaction_read_only", "transaction_deferrable"])
def test_what_is_the_transactions_own_is_left_out(name: str) -> None:
    assert decode_probe([body(is_set(name, b"on"))]).settings == {}


def test_what_there_is() -> None:
    rows = [body(found("has", effect.name)) for effect in (Effect.LISTEN, Effect.TEMPORARY_OBJECT)]
    assert decode_probe(rows).has == {Effect.LISTEN, Effect.TEMPORARY_OBJECT}


def test_every_effect_that_is_asked_for_is_one() -> None:
    names = re.findall(r"'has', '(\w+)'", QUESTIONS[1])
    assert {Effect[name] for name in names} == {
        Effect.TEMPORARY_OBJECT,
        Effect.ADVISORY_LOCK,
        Effect.LISTEN,
        Effect.HOLD_CURSOR,
        Effect.PREPARED_STATEMENT,
    }


def test_statements() -> None:
    rows = [
        found("count", "", b"3"),
        found("statement", "s", b"SELECT $1, $2", "23,25"),
        found("statement", "", b"SELECT 1", ""),
        found("statement", "t", b"", None),
    ]
    probed = decode_probe([body(row) for row in rows])
    assert probed.statement_count == 3
    assert probed.statements == [
        (b"s", b"SELECT $1, $2\0\0\x02" + (23).to_bytes(4, "big") + (25).to_bytes(4, "big")),
        (b"", b"SELECT 1\0\0\0"),
        (b"t", b"\0\0\0"),
    ]
