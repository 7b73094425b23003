"""What functions and tables may leave behind in a session, held to what they leave behind in a real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from interceptor.catalogue import Action, Closures, SessionChange, SessionVerdict
from interceptor.testing.postgres import PostgresServer
from tests.integration.catalogue_world import relation_oid, scope, snapshot_of
from tests.integration.test_session_effects import World

HARMLESS, SEQUENCES, CHANGES, UNKNOWN = SessionChange

SETUP = """
create sequence s; select nextval('s');
create table t (id int primary key, a text);
create table serials (id serial primary key, a text);
create table identities (id int generated always as identity, a text);
create table big (id int default nextval('s'), a text, up text generated always as (upper(a)) stored);
create table log (a text);
insert into t values (1, 'x'); insert into serials (a) values ('x'); insert into big (a) values ('x');
create domain checked as int check (value > 0);
create domain "lo ud" as int check (set_config('work_mem', '9MB', false) <> '');
create table bears (x "lo ud");
"""

# Name, what comes after it in CREATE FUNCTION, what is expected. Each is called without arguments.
FUNCTIONS: list[tuple[str, str, SessionChange]] = [
    ("pure", "() returns int language sql as 'select 1'", HARMLESS),
    ("reads", "() returns bigint language sql as 'select count(*) from t where a like ''x%'''", HARMLESS),
    ("writes", "() returns void language sql as 'insert into log values (''x'')'", HARMLESS),
    ("loops", "() returns int language plpgsql as $$ declare n int := 0; r record; begin for r in select * from t loop "
     "n := n + length(r.a); end loop; if n > 5 then raise notice '%', n; end if; return n; end $$", HARMLESS),
    ("atomic", "() returns int begin atomic insert into log values ('x'); select 1; end", HARMLESS),
    ("own_setting", "() returns text language sql set work_mem = '5MB' as 'select current_setting(''work_mem'')'",
     HARMLESS),
    ("definer", "() returns int language sql security definer as 'select 1'", HARMLESS),
    ("local_setting", "() returns text language sql as $$ select set_config('work_mem', '5MB', true) $$", HARMLESS),
    ("local_set", "() returns void language plpgsql as $$ begin set local work_mem = '5MB'; end $$", HARMLESS),
    ("xact_lock", "() returns void language sql as 'select pg_advisory_xact_lock(1)'", HARMLESS),
    ("notifies", "() returns void language plpgsql as $$ begin notify c; perform pg_notify('c', ''); end $$", HARMLESS),
    ("raises", "() returns void language plpgsql as $$ begin perform 1 / 0; exception when others then null; end $$",
     HARMLESS),
    ("percentile", "() returns float language sql as "
     "'select percentile_cont(0.5) within group (order by id) from t'", HARMLESS),
    ("converts", "() returns int language sql as 'select 1::checked + 1'", HARMLESS),
    ("cursor_inside", "() returns void language plpgsql as $$ declare c cursor for select 1; begin open c; end $$",
     HARMLESS),
    ("defines", "() returns void language plpgsql as $$ begin create table made (a int); end $$", HARMLESS),
    ("declares", "() returns void language plpgsql as $$ declare n checked; begin n := 1; end $$", HARMLESS),
    ("takes_next", "() returns bigint language sql as $$ select nextval('s') $$", SEQUENCES),
    ("asks_last", "() returns bigint language sql as $$ select nextval('s'); select lastval() $$", SEQUENCES),
    ("asks_deep", "() returns bigint language plpgsql as $$ begin return asks_last(); end $$", SEQUENCES),
    ("inserts_serial", "() returns void language sql as 'insert into serials (a) values (''y'')'", SEQUENCES),
    ("inserts_deep", "() returns void language sql as 'select inserts_serial()'", SEQUENCES),
    ("atomic_identity", "() returns int begin atomic insert into identities (a) values ('x'); select 1; end",
     SEQUENCES),
    ("updates_serial", "() returns void language sql as 'update serials set a = ''z'''", HARMLESS),
    ("sets", "() returns text language sql as $$ select set_config('work_mem', '5MB', false) $$", CHANGES),
    ("sets_atomic", "() returns text return set_config('work_mem', '5MB', false)", CHANGES),
    ("sets_in_plpgsql", "() returns void language plpgsql as $$ begin set work_mem = '5MB'; end $$", CHANGES),
    ("sets_over_its_own", "() returns text language sql set work_mem = '4MB' as "
     "$$ select set_config('statement_timeout', '7s', false) $$", CHANGES),
    ("sets_computed", "(b bool default false) returns text language sql as "
     "$$ select set_config('work_mem', '5MB', b) $$", CHANGES),
    ("locks", "() returns void language sql as 'select pg_advisory_lock(7)'", CHANGES),
    ("locks_deep", "() returns void language plpgsql as $$ begin perform locks(); end $$", CHANGES),
    ("makes_temporary", "() returns void language plpgsql as $$ begin create temp table tt (a int); end $$", CHANGES),
    ("in_default", "(a text default set_config('work_mem', '5MB', false)) returns text language sql as 'select a'",
     CHANGES),
    ("declares_loud", "() returns void language plpgsql as $$ declare n \"lo ud\"; begin n := 1; end $$", CHANGES),
    ("declares_like", "() returns void language plpgsql as $$ declare n bears.x%type; begin n := 1; end $$", CHANGES),
    ("dynamic", "() returns void language plpgsql as $$ begin execute format('set work_mem = %L', '5MB'); end $$",
     UNKNOWN),
    ("dynamic_query", "() returns bigint language sql as "
     "$$ select count(*) "
     "from ts_stat('select to_tsvector(set_config(''work_mem'', ''5MB'', false))') $$", UNKNOWN),
    ("search_path_first", "() returns void language plpgsql as "
     "$$ begin perform set_config('search_path', 'public', true); perform pure(); end $$", UNKNOWN),
    ("calls_missing", "() returns void language plpgsql as $$ begin if false then perform missing(); end if; end $$",
     UNKNOWN),
    ("listens", "() returns void language plpgsql as $$ begin listen c; end $$", CHANGES),
]  # fmt: skip

# Setup, statement, relation, action, what is expected.
RELATIONS: list[tuple[str, str, str, Action, SessionChange]] = [
    ("", "select * from t", "t", Action.SELECT, HARMLESS),
    ("", "insert into t values (2)", "t", Action.INSERT, HARMLESS),
    ("", "insert into serials (a) values ('q')", "serials", Action.INSERT, SEQUENCES),
    ("", "insert into identities (a) values ('q')", "identities", Action.INSERT, SEQUENCES),
    ("", "insert into big (a) values ('q')", "big", Action.INSERT, SEQUENCES),
    ("", "update big set a = 'r'", "big", Action.UPDATE, HARMLESS),
    ("", "delete from serials", "serials", Action.DELETE, HARMLESS),
    ("create function sneaky() returns trigger language plpgsql as "
     "$$ begin perform set_config('work_mem', '6MB', false); return new; end $$;"
     "create table triggered (a int);"
     "create trigger g before insert on triggered for each row execute function sneaky()",
     "insert into triggered values (1)", "triggered", Action.INSERT, CHANGES),
    ("", "select * from triggered", "triggered", Action.SELECT, HARMLESS),
    ("create view setting_view as select set_config('work_mem', '7MB', false) from t", "select * from setting_view",
     "setting_view", Action.SELECT, CHANGES),
    ("create view over_it as select count(*) from setting_view", "select * from over_it", "over_it",
     Action.SELECT, CHANGES),
    ("create table ruled (a int); create rule r as on insert to ruled do also select pg_advisory_lock(id) from t",
     "insert into ruled values (1)", "ruled", Action.INSERT, CHANGES),
    ("create table secured (a int); alter table secured enable row level security;"
     "alter table secured force row level security;"
     "create policy p on secured using (set_config('work_mem', '8MB', false) <> ''); insert into secured values (1);"
     "create role somebody; grant select on secured to somebody;"
     "create function as_somebody() returns bigint language sql security definer as 'select count(*) from secured';"
     "alter function as_somebody() owner to somebody",
     "select as_somebody()", "secured", Action.SELECT, CHANGES),
    ("create domain loud as int check (set_config('work_mem', '9MB', false) <> ''); create table louds (a loud)",
     "insert into louds values (1)", "louds", Action.INSERT, CHANGES),
    ("create table checked_table (a int check (set_config('work_mem', '10MB', false) <> ''))",
     "insert into checked_table values (1)", "checked_table", Action.INSERT, CHANGES),
    ("create table up (id int primary key); create table down (id serial, up int references up on delete cascade);"
     "create trigger g after delete on down for each row execute function sneaky(); "
     "insert into up values (1); insert into down (up) values (1)",
     "delete from up", "up", Action.DELETE, CHANGES),
    ("create function indexed(int) returns int language plpgsql immutable as "
     "$$ begin perform set_config('work_mem', '11MB', false); return $1; end $$;"
     "create table with_index (a int); create index on with_index (indexed(a))",
     "insert into with_index values (1)", "with_index", Action.INSERT, CHANGES),
    ("create view into_serials as select a from serials", "insert into into_serials values ('x')", "into_serials",
     Action.INSERT, SEQUENCES),
    ("create table log_of (id bigserial, a text); create function logging() returns trigger language plpgsql as "
     "$$ begin insert into log_of (a) values (new.a); return null; end $$; create table logged (a text);"
     "create trigger l after update on logged for each row execute function logging(); insert into logged values ('x')",
     "update logged set a = 'y'", "logged", Action.UPDATE, SEQUENCES),
    ("", "update pg_settings set setting = '12MB' where name = 'work_mem'", "pg_catalog.pg_settings",
     Action.UPDATE, CHANGES),
    ("", "select * from pg_stat_activity, pg_locks", "pg_catalog.pg_stat_activity", Action.SELECT, HARMLESS),
    ("", "select * from information_schema.columns", "information_schema.columns", Action.SELECT, HARMLESS),
]  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Judged:
    world: World
    closures: Closures

    def function(self, name: str) -> SessionVerdict:
        snapshot = self.closures.snapshot
        (found,) = snapshot.functions_named(name)[snapshot.schemas_by_name["public"].oid]
        return self.closures.may_change_session(found.oid, scope())

    def relation(self, name: str, action: Action) -> SessionVerdict:
        schema, _, relation = name.rpartition(".")
        oid = relation_oid(self.closures.snapshot, relation, schema or "public")
        return self.closures.relation_may_change_session(oid, action, scope())


def actual(changed: list[str]) -> SessionChange:
    values = {"select lastval()", "select currval('s')"}
    return CHANGES if set(changed) - values else SEQUENCES if changed else HARMLESS


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def judged(request: pytest.FixtureRequest) -> Iterator[Judged]:
    with PostgresServer.start(request.param) as server:
        server.psql(SETUP)
        for name, definition, _ in FUNCTIONS:
            server.psql(f"create function {name}{definition}")
        for setup, *_ in RELATIONS:
            server.psql(setup)
        yield Judged(World(server.dsn(), request.param, server), Closures(snapshot_of(server, "postgres")))


@pytest.mark.parametrize(("name", "expected"), [(name, expected) for name, _, expected in FUNCTIONS])
def test_a_function_does_no_more_than_is_said_of_it(judged: Judged, name: str, expected: SessionChange) -> None:
    verdict = judged.function(name)
    assert verdict.change is expected, verdict.because
    assert bool(verdict.because) == (expected is not HARMLESS)
    changed, failed = judged.world.differences(f"select {name}()")
    assert not failed
    assert actual(changed) <= verdict.change
    if expected in (SEQUENCES, CHANGES):
        assert actual(changed) is expected, "the case shows nothing"


@pytest.mark.parametrize(("statement", "relation", "action", "expected"), [case[1:] for case in RELATIONS])
def test_a_relation_does_no_more_than_is_said_of_it(
    judged: Judged, statement: str, relation: str, action: Action, expected: SessionChange
) -> None:
    verdict = judged.relation(relation, action)
    assert verdict.change is expected, verdict.because
    changed, failed = judged.world.differences(statement)
    assert not failed
    assert actual(changed) <= verdict.change
    if expected in (SEQUENCES, CHANGES):
        assert actual(changed) is expected, "the case shows nothing"


def test_defaults_that_an_update_sets_count(judged: Judged) -> None:
    oid = relation_oid(judged.closures.snapshot, "serials")
    verdict = judged.closures.relation_may_change_session(oid, Action.UPDATE, scope(), sets_defaults=True)
    assert verdict.change is SEQUENCES
    changed, _ = judged.world.differences("update serials set id = default")
    assert actual(changed) is SEQUENCES


@pytest.mark.parametrize(
    ("name", "reads"),
    [("takes_next", False), ("inserts_deep", False), ("asks_last", True), ("asks_deep", True), ("pure", False)],
)
def test_it_is_told_whether_the_last_value_of_a_sequence_is_asked_for(judged: Judged, name: str, reads: bool) -> None:
    assert judged.function(name).reads_sequence is reads


def test_definitions_inside_functions_are_told(judged: Judged) -> None:
    snapshot = judged.closures.snapshot
    (made,) = snapshot.functions_named("defines")[snapshot.schemas_by_name["public"].oid]
    (pure,) = snapshot.functions_named("pure")[snapshot.schemas_by_name["public"].oid]
    assert judged.closures.function_touches(made.oid, scope()).defines
    assert not judged.closures.function_touches(pure.oid, scope()).defines
