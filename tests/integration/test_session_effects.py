"""What the analysis says of a text, held against what the text does to the session of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import pq

from interceptor.catalogue import Snapshot
from interceptor.catalogue.judging import SessionJudge
from interceptor.catalogue.survey import Findings, survey
from interceptor.sql import functions
from interceptor.sql.analysis import analyse
from interceptor.sql.effects import Effect
from interceptor.testing.postgres import PostgresServer
from tests.integration import function_table
from tests.integration.catalogue_world import snapshot_of
from tests.integration.session_corpus import CHANGING, COUNTING, DOUBTED, HARMLESS, HIDDEN, READING, SETUP

# A setting that a library brings with it when it is first used is no change; plpgsql does that.
_PROBES = {
    "setting": "select name, setting from pg_settings where name not like 'plpgsql.%'",
    "custom setting": "select nullif(current_setting('app.tenant', true), '')",
    "user": "select session_user, current_user",
    "prepared statement": "select name from pg_prepared_statements",
    "cursor": "select name from pg_cursors where name <> ''",
    "temporary object": """
        select 'relation', oid::text from pg_class where relnamespace = pg_my_temp_schema()
        union all select 'type', oid::text from pg_type where typnamespace = pg_my_temp_schema()
        union all select 'function', oid::text from pg_proc where pronamespace = pg_my_temp_schema()""",
    "advisory lock": "select classid, objid, mode from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
    "channel": "select pg_listening_channels()",
    "slot": "select slot_name from pg_replication_slots where active_pid = pg_backend_pid()",
}
_PROBE = "select " + ", ".join(
    f"(select string_agg(p::text, ', ' order by p::text) from ({probe}) p)" for probe in _PROBES.values()
)
_SETTINGS = """
    select lower(name), setting from pg_settings where name not like 'plpgsql.%'
      and name not in ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
    union all select 'role', current_setting('role') union all select 'session_authorization', session_user
"""
_LAST_VALUES = ("select lastval()", "select currval('s')")


class Refused(Exception):
    """PostgreSQL answered with an error; ``sqlstate`` is its code."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Session:
    """A connection for one text, by the simple protocol."""

    pgconn: pq.abc.PGconn

    def run(self, sql: str) -> list[list[bytes | None]]:
        """Run the text and return the rows of its last statement. Raises Refused."""
        self.pgconn.send_query(sql.encode())
        rows: list[list[bytes | None]] = []
        refused: Refused | None = None
        while (result := self.pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                while self.pgconn.get_copy_data(0)[0] >= 0:
                    pass
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
                refused = Refused(result.error_message.decode(), code.decode())
            else:
                columns = range(result.nfields)
                rows = [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)]
        if refused is not None:
            raise refused
        return rows

    def run_in_transaction(self, sql: str) -> str:
        """Run the text between BEGIN and COMMIT, or alone if that is refused; return the SQLSTATE if it fails."""
        if not sql.startswith("begin"):
            self.run("begin")
        try:
            self.run(sql)
        except Refused as refused:
            self.run("rollback")
            if refused.sqlstate != "25001":
                return refused.sqlstate
            self.run(sql)
        self.run("commit")
        return ""

    def state(self) -> dict[str, object]:
        state: dict[str, object] = dict(zip(_PROBES, self.run(_PROBE)[0], strict=True))
        for sql in _LAST_VALUES:
            try:
                state[sql] = self.run(sql)
            except Refused as refused:
                state[sql] = refused.sqlstate
        return state


@dataclass(frozen=True, slots=True)
class World:
    """A database with the objects that the corpus names."""

    conninfo: str
    version: int
    server: PostgresServer

    def differences(self, sql: str) -> tuple[list[str], str]:
        """Run the text in a new session; return what of the session it changed, and the SQLSTATE if it failed."""
        pgconn = psycopg.pq.PGconn.connect(self.conninfo.encode())
        assert pgconn.status == pq.ConnStatus.OK, pgconn.error_message
        try:
            session = Session(pgconn)
            before = session.state()
            failed = session.run_in_transaction(sql)
            after = session.state()
            changed = [name for name in before if before[name] != after[name]]
            if "seed" in sql and session.run("select random()") == self._seeded(sql):
                changed.append("seed")
            return changed, failed
        finally:
            pgconn.finish()

    def settings(self, sql: str) -> set[str]:
        """Run the text in a new session; return the names of the settings that are others afterwards."""
        pgconn = psycopg.pq.PGconn.connect(self.conninfo.encode())
        try:
            session = Session(pgconn)
            before = {tuple(row) for row in session.run(_SETTINGS)}
            session.run_in_transaction(sql)
            return {(row[0] or b"").decode() for row in session.run(_SETTINGS) if tuple(row) not in before}
        finally:
            pgconn.finish()

    def _seeded(self, sql: str) -> list[list[bytes | None]]:
        """Return what random() says in yet another session after the text."""
        pgconn = psycopg.pq.PGconn.connect(self.conninfo.encode())
        try:
            session = Session(pgconn)
            session.run_in_transaction(sql)
            return session.run("select random()")
        finally:
            pgconn.finish()


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    # A server of its own: the corpus changes roles, databases and the server's configuration.
    with PostgresServer.start(request.param) as server:
        server.psql(SETUP)
        yield World(server.dsn(), request.param, server)


@pytest.fixture(scope="module", autouse=True)
def judge(world: World) -> SessionJudge:
    """One who knows the catalogue of the world as it was before any of the corpus ran there."""
    made = SessionJudge(lambda: None)
    made.see(_findings(snapshot_of(world.server, "postgres")))
    return made


def _findings(snapshot: Snapshot) -> Findings:
    pieces = survey(snapshot)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            findings: Findings = end.value
            return findings


def _texts(corpus: str, version: int = 18) -> Iterator[str]:
    for line in corpus.strip("\n").split("\n"):
        _, _, since = line.partition("-- since ")
        if not since or version >= int(since):
            yield line


def _effect(sql: str) -> Effect | None:
    return analyse(sql.encode()).effect


def test_corpus_is_large() -> None:
    assert sum(len(list(_texts(corpus))) for corpus in (CHANGING, COUNTING, HARMLESS, READING, DOUBTED, HIDDEN)) >= 300


@pytest.mark.slow
def test_whatever_changes_the_session_is_in_doubt(world: World) -> None:
    missed = []
    for sql in _texts(CHANGING, world.version):
        changed, failed = world.differences(sql)
        assert changed, f"the server sees no change, so this belongs to another list: {sql} {failed}"
        assert set(changed) - set(_LAST_VALUES), f"this belongs to COUNTING: {sql}"
        counted = set(changed) & set(_LAST_VALUES)
        if _effect(sql) in (None, Effect.REDUCTION) or (counted and not analyse(sql.encode()).touches_sequence):
            missed.append((sql, changed))
    assert missed == []


@pytest.mark.slow
def test_what_only_advances_a_sequence_says_that_and_no_more(world: World) -> None:
    for sql in _texts(COUNTING, world.version):
        changed, failed = world.differences(sql)
        assert changed, f"the server sees no change: {sql} {failed}"
        assert set(changed) <= set(_LAST_VALUES), f"{sql} changed {changed}"
        assert analyse(sql.encode()).touches_sequence
        assert _effect(sql) is None


@pytest.mark.slow
def test_settings_are_named(world: World) -> None:
    """What one statement sets is what the text names, so that no more needs to be asked for."""
    wrong = []
    for sql in _texts(CHANGING + HARMLESS + DOUBTED, world.version):
        effects = analyse(sql.encode())
        if effects.effect is Effect.SETTING and effects.statement_count == 1 and effects.settings:
            set_now = world.settings(sql)
            if not set_now <= effects.settings:
                wrong.append((sql, set_now, effects.settings))
    assert wrong == []


@pytest.mark.slow
def test_what_changes_nothing_is_not_in_doubt(world: World) -> None:
    wrong = []
    for sql in _texts(HARMLESS, world.version):
        changed, failed = world.differences(sql)
        if changed or failed or _effect(sql) is not None:
            wrong.append((sql, changed, failed, _effect(sql)))
    assert wrong == []


def test_what_asks_for_a_sequence_value_says_so(world: World) -> None:
    for sql in _texts(READING, world.version):
        changed, failed = world.differences(sql)
        assert (changed, failed) == ([], "55000")
        assert analyse(sql.encode()).reads_sequence
        assert _effect(sql) is None


@pytest.mark.slow
def test_doubts_without_need_are_known(world: World) -> None:
    texts = list(_texts(DOUBTED, world.version))
    for sql in texts:
        changed, _ = world.differences(sql)
        assert not changed, f"{sql} changed {changed}: it belongs to another list"
        assert _effect(sql) is not None, f"no doubt any more: {sql}"
    reductions = sum(_effect(sql) is Effect.REDUCTION for sql in texts)
    print(f"{len(texts)} of the corpus are in doubt without need; {reductions} only take something back")


def test_what_the_text_hides_the_catalogue_shows(world: World, judge: SessionJudge) -> None:
    for sql in _texts(HIDDEN, world.version):
        changed, _ = world.differences(sql)
        assert changed, f"the server sees no change: {sql}"
        assert _effect(sql) is None, f"the text shows it: {sql}"
        assert judge.texts.effects(sql.encode()).effect is Effect.OPAQUE, sql


@pytest.mark.slow
def test_the_catalogue_takes_away_no_doubt_that_is_needed(world: World, judge: SessionJudge) -> None:
    missed = []
    for sql in _texts(CHANGING + COUNTING + READING, world.version):
        judged, plain = judge.texts.effects(sql.encode()), analyse(sql.encode())
        changed, _ = world.differences(sql)
        counts = judged.effect is not None or judged.touches_sequence or judged.reads_sequence
        if (changed and not counts) or judged.reads_sequence < plain.reads_sequence:
            missed.append((sql, changed))
    assert missed == []


def test_the_catalogue_casts_doubt_on_definitions_alone(world: World, judge: SessionJudge) -> None:
    wrong = [
        sql
        for sql in _texts(HARMLESS, world.version)
        if judge.texts.effects(sql.encode()).effect is not None and not judge.texts.effects(sql.encode()).defines
    ]
    assert wrong == []


def test_the_catalogue_clears_functions(world: World, judge: SessionJudge) -> None:
    texts = ["select add_one(1)", "call nothing()", "select 1 where 1 === 1"]
    assert [analyse(sql.encode()).effect for sql in texts] == [Effect.OPAQUE] * 3
    assert [judge.texts.effects(sql.encode()).effect for sql in texts] == [None] * 3


def test_function_table_is_current(postgres16: PostgresServer, postgres18: PostgresServer) -> None:
    """``python -m tests.integration.function_table`` makes it so."""
    old, new = function_table.Catalogue.read(postgres16), function_table.Catalogue.read(postgres18)
    _, _, rest = function_table.SOURCE.read_text().partition(function_table.BEGIN)
    assert rest.startswith(function_table.render(old, new))


def test_judged_functions_exist(postgres16: PostgresServer, postgres18: PostgresServer) -> None:
    """A misspelt name would judge nothing, or worse, somebody's own function."""
    old, new = function_table.Catalogue.read(postgres16).quiet, function_table.Catalogue.read(postgres18).quiet
    assert [name for name in functions.HARMLESS_VOLATILE if old.get(name, True) or new.get(name, True)] == []
    judged = functions.PINNING.keys() | functions.SEQUENCE_READERS | functions.SEQUENCE_WRITERS | functions.UNLOCKS
    assert [name for name in judged if old.get(name, True) or new.get(name, True)] == []
    assert functions.RUN_SQL_IN_TEXT <= old.keys() & new.keys()
