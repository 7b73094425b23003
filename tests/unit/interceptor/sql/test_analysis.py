"""From text to effects. Real servers are the judges of most texts: tests/integration/test_session_effects.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from interceptor.sql.analysis import MAX_CACHED, StatementCache, analyse
from interceptor.sql.effects import EMPTY, NONE, OPAQUE, Effect, SessionEffects
from tests.integration.session_corpus import CHANGING, DOUBTED, HARMLESS


@pytest.mark.parametrize(
    ("sql", "effects"),
    [
        ("", EMPTY),
        (" ; -- nothing\n;", EMPTY),
        ("select 1", NONE),
        ("select now()", NONE),
        ("select 1; select 2", SessionEffects(None, 2)),
        ("begin", SessionEffects(None, 1, transaction_control=True)),
        ("select 1; savepoint a", SessionEffects(None, 2, transaction_control=True)),
        ("commit prepared 'a'", SessionEffects(None, 1, transaction_control=True)),
        ("set work_mem = '5MB'", SessionEffects(Effect.SETTING, 1)),
        ("begin; set work_mem = '5MB'", SessionEffects(Effect.SETTING, 2, transaction_control=True)),
        ("prepare p as select 1", SessionEffects(Effect.PREPARED_STATEMENT, 1)),
        ("execute p", SessionEffects(Effect.PREPARED_STATEMENT, 1)),
        ("explain execute p", SessionEffects(Effect.PREPARED_STATEMENT, 1)),
        ("create temp table t ()", SessionEffects(Effect.TEMPORARY_OBJECT, 1)),
        ("declare c cursor with hold for select 1", SessionEffects(Effect.HOLD_CURSOR, 1)),
        ("declare c cursor for select pg_advisory_lock(1)", SessionEffects(Effect.ADVISORY_LOCK, 1)),
        ("listen news", SessionEffects(Effect.LISTEN, 1)),
        ("select nextval('s')", SessionEffects(Effect.SEQUENCE_VALUE, 1)),
        ("select setval('s', 1)", SessionEffects(Effect.SEQUENCE_VALUE, 1)),
        ("select currval('s')", SessionEffects(Effect.SEQUENCE_VALUE, 1, reads_sequence=True)),
        ("select 1 + lastval()", SessionEffects(Effect.SEQUENCE_VALUE, 1, reads_sequence=True)),
        ("prepare p as select lastval()", SessionEffects(Effect.PREPARED_STATEMENT, 1, reads_sequence=True)),
        ("load 'auto_explain'", SessionEffects(Effect.LIBRARY, 1)),
        ("select pg_backup_start('a')", SessionEffects(Effect.SESSION_RESOURCE, 1)),
        ("do 'begin end'", SessionEffects(Effect.OPAQUE, 1)),
        ("select f(1)", SessionEffects(Effect.OPAQUE, 1)),
        ("select 1 <=> 2", SessionEffects(Effect.OPAQUE, 1)),
        ("select 1 operator(s.+) 2", SessionEffects(Effect.OPAQUE, 1)),
        ("select 1 operator(pg_catalog.+) 2", NONE),
        ("select 1 === any (select 1)", SessionEffects(Effect.OPAQUE, 1)),
        ("select 1 = any (select 1)", NONE),
        ("select n from t order by n using ===", SessionEffects(Effect.OPAQUE, 1)),
        ("select set_config('a', 'b')", SessionEffects(Effect.SETTING, 1)),
        ("set transaction snapshot '00000003-0000001B-1'", NONE),
        ("select * from t tablesample system_rows(5)", SessionEffects(Effect.OPAQUE, 1)),
        ("reset all", SessionEffects(Effect.RESET, 1)),
        ("select pg_advisory_unlock_all(); close all; unlisten *; reset all", SessionEffects(Effect.RESET, 4)),
        ("reset all; set work_mem = '5MB'", SessionEffects(Effect.SETTING, 2)),
        ("deallocate all; create temp table t ()", SessionEffects(Effect.TEMPORARY_OBJECT, 2)),
        ("no SQL", OPAQUE),
        ("select 1; no SQL", OPAQUE),
        ("select 1\0; set work_mem = '5MB'", OPAQUE),
    ],
)
def test_effects(sql: str, effects: SessionEffects) -> None:
    assert analyse(sql.encode()) == effects


@pytest.mark.parametrize("sql", CHANGING.strip("\n").split("\n"))
def test_corpus_changing(sql: str) -> None:
    assert analyse(sql.encode()).pin not in (None, Effect.RESET)


@pytest.mark.parametrize("sql", HARMLESS.strip("\n").split("\n"))
def test_corpus_harmless(sql: str) -> None:
    assert analyse(sql.encode()).pin is None


@pytest.mark.parametrize("sql", DOUBTED.strip("\n").split("\n"))
def test_corpus_doubted(sql: str) -> None:
    assert analyse(sql.encode()).pin is not None


def test_the_servers_version_decides_what_is_known() -> None:
    # On a server without it, uuidv7() is somebody's own function.
    sql = b"insert into t values (uuidv7())"
    assert analyse(sql, 170005).pin is Effect.OPAQUE
    assert analyse(sql, 180004).pin is None


@pytest.mark.parametrize("sql", ["select 'é'", "select n from été where à = 'é' -- ü"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_texts_in_other_encodings(sql: str, encoding: str) -> None:
    assert analyse(sql.encode(encoding)) == NONE


# Texts that killed or stalled parsers: deep, long, or quadratic in the scanner.
HOSTILE = """
n = 1_000_000
texts = [
    "select " + "+".join(["1"] * (n // 2)),
    "select " + "+".join(["1"] * 23_500),
    "select " + "+".join(["1"] * 5_000),
    "select " + "+" * n + "1",
    "select " + "+" * 16_000 + "1",
    "select " + "(" * n + ")" * n,
    "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "select " + "f(" * 5_000 + "1" + ")" * 5_000,
    "select " + "(select " * 2_000 + "1" + ")" * 2_000,
    "select " + "not " * 4_000 + "true",
    "select 1" + "::int" * 3_000,
    "select " + "case when " * 1_000 + "true" + " then 1 end" * 1_000,
    "select 1 " + "/*" * 5_000 + "*/" * 5_000,
    "select 1 " + "/*" * n + "*/" * n,
    "select 1 " + "/**/" * 4_000,
    "select 1 from t where a in (" + ",".join(map(str, range(20_000))) + ")",
    "select f(1) from t where a in (" + ",".join(map(str, range(20_000))) + ")",
    "insert into t values " + ",".join(["(1)"] * 200_000),
    "select '" + "x" * n + "'",
    "select '" + "x" * n,
    "select $a$" + "x" * n,
    ";" * n,
    "select 1;" * 100_000,
    "select 1;" * 1_700,
    " or ".join(["select 1 where a = 1"] + ["a = 1"] * 1_500),
    " union ".join(["select 1"] * 1_000),
    "select a" + ".a" * 8_000,
    "select a" + "[1]" * 5_000,
    "in " * 40_000,
    "select " + "in " * 40_000 + "$",
    "select " + "'" * 100_001,
    "select " + '"' * 100_001,
    "select " + "- " * 60_000,
    "select \\0" * 10,
    "\\ud800" * 10,
]
"""


def test_no_text_kills_or_stalls() -> None:
    """A stall shows as a test that never ends: the quadratic ones would take an hour."""
    script = HOSTILE + (
        "from interceptor.sql.analysis import StatementCache, analyse\n"
        "cache = StatementCache()\n"
        "for text in texts:\n"
        "    sql = text.encode(errors='surrogatepass')\n"
        "    assert cache.effects(sql) == analyse(sql)\n"
        "print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", 0)


def test_long_plain_texts_need_no_parse() -> None:
    rows = ",".join(f"({i}, 'it''s \\ number {i}')" for i in range(1500))
    assert analyse(f"INSERT INTO t (id, name) VALUES {rows}".encode()) is NONE
    assert analyse(f"INSERT INTO t (id, name) VALUES {rows}, (f(1), '')".encode()) is OPAQUE


class TestStatementCache:
    def test_agrees_with_the_analysis(self) -> None:
        cache = StatementCache()
        for sql in (b"select 1", b"select $1", b"set a = 1", b"no SQL", b"", b"select f()"):
            assert [cache.effects(sql), cache.effects(sql)] == [analyse(sql), analyse(sql)]

    def test_remembers_a_text(self) -> None:
        cache = StatementCache()
        sql = b"; " * 20 + b"select 1;" * 20  # too many statements for shared effects
        assert cache.effects(sql) is cache.effects(bytes(bytearray(sql)))

    def test_plain_texts_with_values_take_no_memory(self) -> None:
        cache = StatementCache()
        cache.effects(b"SELECT abalance FROM pgbench_accounts WHERE aid = 5;")
        assert cache.memory() == 0
        cache.effects(b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;")
        assert cache.memory() > 0

    def test_memory_is_bounded(self) -> None:
        cache = StatementCache(max_bytes=100_000)
        for i in range(5000):
            cache.effects(b"set a = %d" % i)
            assert cache.memory() <= 100_000
        assert cache.memory() > 25_000

    def test_a_tiny_cache_stays_tiny(self) -> None:
        cache = StatementCache(max_bytes=250)
        for i in range(10):
            cache.effects(b"set a = %d" % i)
            assert cache.memory() == 0

    def test_huge_texts_are_not_kept(self) -> None:
        cache = StatementCache()
        cache.effects(b"set a = '%s'" % (b"x" * MAX_CACHED))
        assert cache.memory() == 0

    def test_what_is_used_stays(self) -> None:
        cache = StatementCache(max_bytes=100_000)
        used = b"select 1;" * 20
        kept = cache.effects(used)
        for i in range(5000):
            cache.effects(b"set a = %d" % i)
            assert cache.effects(used) is kept

    def test_knows_the_version_of_its_servers(self) -> None:
        assert StatementCache(server_version=180004).effects(b"select uuidv7()").pin is None
        assert StatementCache().effects(b"select uuidv7()").pin is Effect.OPAQUE

    @pytest.mark.parametrize(
        "sql",
        [
            # With standard_conforming_strings off the string ends later, and the rest is SQL.
            rb"select 'a\', ' || set_config('work_mem', '5MB', false) || ' -- '",
            rb"select now(), 'a\', ' || set_config(''work_mem'', ''5MB'', false) || ' -- '",
            # In SJIS these two bytes are one character, and the quote after them ends the string.
            b"select E'\x95\\' || set_config('work_mem', '5MB', false) || E'\x95\\'",
            b"select 'caf\xe9'",
        ],
    )
    def test_doubtful_bytes_without_standard_lexing(self, sql: bytes) -> None:
        cache = StatementCache()
        assert [cache.effects(sql, standard_lexing=False) for _ in range(2)] == [OPAQUE, OPAQUE]
        cache.effects(sql)
        assert cache.effects(sql, standard_lexing=False) is OPAQUE

    def test_plain_bytes_without_standard_lexing(self) -> None:
        cache = StatementCache()
        assert cache.effects(b"select 1", standard_lexing=False) is NONE
        assert cache.effects(b"select now()", standard_lexing=False) is NONE
        assert cache.effects(b"set a = 1", standard_lexing=False).pin is Effect.SETTING
