"""From text to effects. Real servers are the judges of most texts: tests/integration/test_session_effects.py."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from interceptor.sql.analysis import MAX_CACHED, StatementCache, analyse
from interceptor.sql.effects import EMPTY, MAX_NAMES, NONE, OPAQUE, WRITES, Effect, SessionEffects
from tests.integration.session_corpus import CHANGING, COUNTING, DOUBTED, HARMLESS, READING


def effects(
    effect: Effect | None,
    count: int = 1,
    *settings: str,
    begins: bool = False,
    reads: bool = False,
    touches: bool = False,
    ends_pin: bool = False,
    reparses: bool = False,
    reduces: bool = False,
    channels: frozenset[str] = frozenset(),
) -> SessionEffects:
    return SessionEffects(
        effect,
        count,
        transaction_control=begins,
        reads_sequence=reads,
        touches_sequence=touches,
        ends_pin=ends_pin,
        reparses=reparses,
        reduces=reduces,
        settings=frozenset(settings),
        channels=channels,
    )


def may_do_all(count: int = 1, *settings: str) -> SessionEffects:
    """Of what can be parsed and not be judged."""
    return replace(OPAQUE, statement_count=count, transaction_control=False, settings=frozenset(settings))


def takes_back(effect: Effect, count: int = 1, *settings: str) -> SessionEffects:
    return effects(effect, count, *settings, ends_pin=True, reparses=True, reduces=True)


OF_PREPARED = replace(may_do_all(), effect=Effect.PREPARED_STATEMENT)
"""What an EXECUTE runs is not in its text."""


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", EMPTY),
        (" ; -- nothing\n;", EMPTY),
        ("select 1", NONE),
        ("select now()", NONE),
        ("select 1; select 2", effects(None, 2)),
        ("begin", effects(None, begins=True)),
        ("select 1; savepoint a", effects(None, 2, begins=True)),
        ("commit prepared 'a'", effects(None, begins=True)),
        # Settings
        ("set work_mem = '5MB'", effects(Effect.SETTING, 1, "work_mem")),
        ("SET SESSION Work_Mem TO '5MB'", effects(Effect.SETTING, 1, "work_mem")),
        ('set "Work_Mem" = 1', effects(Effect.SETTING, 1, "work_mem")),
        ("set app.tenant = 'a.b'", effects(Effect.SETTING, 1, "app.tenant", "a.b")),
        ("set time zone 'UTC'", effects(Effect.SETTING, 1, "timezone", reparses=True)),
        ("set names 'LATIN1'", effects(Effect.SETTING, 1, "client_encoding", reparses=True)),
        ("set schema 'public'", effects(Effect.SETTING, 1, "search_path", reparses=True)),
        ("set role alice", effects(Effect.SETTING, 1, "role", reparses=True)),
        ("set session authorization alice", effects(Effect.SETTING, 1, "session_authorization", reparses=True)),
        ("select set_config('Work_mem', $1, false)", effects(Effect.SETTING, 1, "work_mem")),
        ("select set_config('work_mem', '5MB', $1)", effects(Effect.SETTING, 1, "work_mem")),
        ("select set_config('search_path', $1, true)", effects(None, reparses=True)),
        ("select set_config('work_mem', $1, true)", NONE),
        ("select set_config($1, '5MB', false)", may_do_all()),
        ("select set_config('a', 'b')", may_do_all()),
        ("select set_config('transaction_read_only', 'on', false)", effects(None, reparses=True)),
        ("set transaction_isolation = serializable", effects(None, reparses=True)),
        ("set local work_mem = '5MB'", NONE),
        ("set local work_mem to default", NONE),
        ("set local time zone default", effects(None, reparses=True)),
        ("set local time zone 'UTC'", effects(None, reparses=True)),
        ("set local role alice", effects(None, reparses=True)),
        ("begin; set work_mem = '5MB'", effects(Effect.SETTING, 2, "work_mem", begins=True)),
        ("set work_mem = '5MB'; set jit = off", effects(Effect.SETTING, 2, "work_mem", "jit")),
        ("set seed to 0.5", effects(Effect.SEED)),
        ("set local seed to 0.5", effects(Effect.SEED)),
        ("select set_config('SEED', '0.5', true)", effects(Effect.SEED)),
        ("select setseed(0.5)", effects(Effect.SEED)),
        ("set transaction snapshot '00000003-0000001B-1'", NONE),
        ("set session characteristics as transaction read only", may_do_all()),
        ("update pg_settings set setting = '5MB'", may_do_all()),
        ("do $$begin set app.tenant = '5'; end$$", may_do_all(1, "app.tenant")),
        ("reset all", takes_back(Effect.REDUCTION)),
        ("set time zone default", takes_back(Effect.REDUCTION)),
        ("deallocate p", takes_back(Effect.REDUCTION)),
        ("discard all", takes_back(Effect.REDUCTION)),
        ("select pg_advisory_unlock_all(); close all; unlisten *; reset all",
            takes_back(Effect.REDUCTION, 4)),
        ("reset all; set work_mem = '5MB'", takes_back(Effect.SETTING, 2, "work_mem")),
        ("deallocate all; create temp table t ()",
            takes_back(Effect.TEMPORARY_OBJECT, 2)),
        # What pins, and what may end a pin
        ("prepare p as select 1", OF_PREPARED),
        ("execute p", OF_PREPARED),
        ("explain execute p", OF_PREPARED),
        ("create table made as execute p", OF_PREPARED),
        ("select * from pg_prepared_statements", OF_PREPARED),
        ("create temp table t ()", effects(Effect.TEMPORARY_OBJECT)),
        ("declare c cursor with hold for select 1", effects(Effect.HOLD_CURSOR)),
        ("declare c cursor for select pg_advisory_lock(1)", effects(Effect.ADVISORY_LOCK)),
        ("select pg_try_advisory_lock(1)", effects(Effect.ADVISORY_LOCK)),
        ("listen news", effects(Effect.LISTEN, channels=frozenset({"news"}))),
        ('listen "News"; listen "a ""b"""', effects(Effect.LISTEN, 2, channels=frozenset({"News", 'a "b"'}))),
        ("load 'auto_explain'", effects(Effect.LIBRARY, reparses=True)),
        ("select pg_backup_start('a')", effects(Effect.SESSION_RESOURCE)),
        ("select pg_advisory_unlock(1)", effects(None, ends_pin=True)),
        ("unlisten news", effects(None, ends_pin=True)),
        ("close c", effects(None, ends_pin=True)),
        ("drop table t", effects(None, ends_pin=True)),
        ("drop owned by alice", effects(None, ends_pin=True)),
        ("discard temp", effects(None, ends_pin=True)),
        ("rollback", effects(None, begins=True)),
        # Sequences
        ("insert into t values (1)", WRITES),
        ("insert into t values (now())", WRITES),
        ("with x as (delete from t returning 1) select now() from x", WRITES),
        ("update t set a = now()", WRITES),
        ("merge into t using u on true when matched then do nothing", WRITES),
        ("copy t from stdin", WRITES),
        ("alter table t add column c serial", WRITES),
        ("select nextval('s')", WRITES),
        ("select setval('s', 1)", WRITES),
        ("select currval('s')", effects(None, reads=True)),
        ("select 1 + lastval()", effects(None, reads=True)),
        ("select nextval('s'), lastval()", effects(None, reads=True, touches=True)),
        ("prepare p as select lastval()", OF_PREPARED),
        # What can't be told
        ("do 'begin end'", may_do_all()),
        ("select f(1)", may_do_all()),
        ("select 1 <=> 2", may_do_all()),
        ("select 1 operator(s.+) 2", may_do_all()),
        ("select 1 operator(pg_catalog.+) 2", NONE),
        ("select 1 === any (select 1)", may_do_all()),
        ("select 1 = any (select 1)", NONE),
        ("select n from t order by n using ===", may_do_all()),
        ("select * from t tablesample system_rows(5)", may_do_all()),
        ("no SQL", OPAQUE),
        ("no SQL of app.tenant", replace(OPAQUE, settings=frozenset({"app.tenant"}))),
        ("select 1; no SQL", OPAQUE),
        ("select 1\0; set work_mem = '5MB'", OPAQUE),
    ],
)  # fmt: skip
def test_effects(sql: str, expected: SessionEffects) -> None:
    assert analyse(sql.encode()) == expected


def test_a_text_with_many_names_is_read_as_if_it_had_none() -> None:
    few, many = (";".join(f"set a.b{number} = 1" for number in range(count)) for count in (MAX_NAMES, MAX_NAMES + 1))
    assert len(analyse(few.encode()).settings) == MAX_NAMES
    assert analyse(many.encode()).settings == frozenset()


@pytest.mark.parametrize("sql", CHANGING.strip("\n").split("\n"))
def test_corpus_changing(sql: str) -> None:
    assert analyse(sql.encode()).effect not in (None, Effect.REDUCTION)


@pytest.mark.parametrize("sql", COUNTING.strip("\n").split("\n"))
def test_corpus_counting(sql: str) -> None:
    assert analyse(sql.encode()) == WRITES


@pytest.mark.parametrize("sql", HARMLESS.strip("\n").split("\n"))
def test_corpus_harmless(sql: str) -> None:
    assert analyse(sql.encode()).effect is None


@pytest.mark.parametrize("sql", READING.strip("\n").split("\n"))
def test_corpus_reading(sql: str) -> None:
    assert analyse(sql.encode()) == SessionEffects(None, 1, reads_sequence=True)


@pytest.mark.parametrize("sql", DOUBTED.strip("\n").split("\n"))
def test_corpus_doubted(sql: str) -> None:
    assert analyse(sql.encode()).effect is not None


def test_the_servers_version_decides_what_is_known() -> None:
    # On a server without it, uuidv7() is somebody's own function.
    sql = b"insert into t values (uuidv7())"
    assert analyse(sql, 170005).effect is Effect.OPAQUE
    assert analyse(sql, 180004) is WRITES


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
    assert analyse(f"INSERT INTO t (id, name) VALUES {rows}".encode()) is WRITES
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
        assert StatementCache(server_version=180004).effects(b"select uuidv7()").effect is None
        assert StatementCache().effects(b"select uuidv7()").effect is Effect.OPAQUE

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
        assert cache.effects(b"set a = 1", standard_lexing=False).effect is Effect.SETTING
