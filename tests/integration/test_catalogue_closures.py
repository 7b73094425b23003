"""What views, triggers, rules, keys and functions lead to, compared with what PostgreSQL records or does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.catalogue import Action, Body, Closures, NameUse, Snapshot, TableUse, Touches
from interceptor.testing.postgres import PostgresServer
from tests.conftest import FreshDatabase
from tests.integration.catalogue_world import Described, oids, relation_oid, scope, snapshot_of
from tests.support.wire import Endpoint, WireClient

VIEWS = """
create table base (id int primary key, a text, b text, secret text);
create table other (id int, base_id int, at timestamptz);
create table part (id int, x int) partition by range (id);
create table part_1 partition of part for values from (0) to (10);
create table parent (id int); create table child (extra int) inherits (parent);
create function mine(text) returns text language sql immutable as 'select $1';
create function agg_step(int, int) returns int language sql immutable as 'select 1';
create aggregate my_sum(int) (sfunc = agg_step, stype = int);
create function op_fn(text, text) returns bool language sql immutable as 'select true';
create operator <~~> (leftarg = text, rightarg = text, function = op_fn);
create view plain as select id, a from base;
create view joined as select p.id, o.at from plain p join other o on o.base_id = p.id where o.at > now();
create view whole as select b.*::text as t from base b;
create view computed as select mine(a) as m, my_sum(id) over () as s from base where a <~~> b;
create view sub as select (select max(x) from part) as top, id from other
  where exists (select from base where base.id = other.id);
create view united as select id from parent union all select id from only child;
create view cte as with q as (select secret from base) select * from q;
create view lateral_one as select o.id, l.a from other o, lateral (select a from base where base.id = o.id) l;
create materialized view kept as select a from base;
create view over_kept as select a from kept;
create view evil as select a as " :funcid 12345 ", b as "{RTEPERMISSIONINFO :relid 1259 :inh true :requiredPerms 2",
  'x :opno 96 {NEXTVALUEEXPR ' as "}) :resulttype 9 ({" from base as ":relid 1 )";
"""


@pytest.fixture
def database(postgres: PostgresServer, fresh_database: FreshDatabase) -> str:
    return fresh_database(postgres)


@pytest.fixture
def client(postgres: PostgresServer, database: str) -> Iterator[WireClient]:
    with WireClient.connect(Endpoint(postgres.host, postgres.port, database)) as made:
        yield made


def closures(server: PostgresServer, database: str, **bodies: Body) -> Closures:
    return Closures(snapshot_of(server, database), Described(**bodies))


def function_oid(snapshot: Snapshot, name: str) -> int:
    (found,) = snapshot.functions_named(name)[snapshot.schemas_by_name["public"].oid]
    return found.oid


def names(snapshot: Snapshot, relations: frozenset[int]) -> set[str]:
    return {snapshot.relations[oid].name for oid in relations}


def test_a_view_names_what_pg_depend_says_of_it(postgres: PostgresServer, database: str, client: WireClient) -> None:
    client.query(VIEWS)
    snapshot = snapshot_of(postgres, database)
    recorded = client.query(
        "select r.ev_class, d.refclassid::regclass, d.refobjid, d.refobjsubid from pg_rewrite r join pg_depend d "
        "on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid "
        "where d.refobjid <> r.ev_class and r.ev_class >= 16384"
    )
    views = {int(str(view)) for view, *_ in recorded}
    assert len(views) == 11
    for view in views:
        (rule,) = snapshot.rules[view]
        found = rule.expression
        assert not found.unread
        depends = {
            kind: {
                (int(str(oid)), int(str(sub)))
                for one, what, oid, sub in recorded
                if int(str(one)) == view and what == kind
            }
            for kind in ("pg_class", "pg_proc", "pg_operator")
        }
        name = snapshot.relations[view].name
        assert {oid for oid, _ in found.relations} == {oid for oid, _ in depends["pg_class"]}, name
        if name == "whole":
            assert (relation_oid(snapshot, "base"), 0) in found.columns
        else:
            assert found.columns == {(oid, column) for oid, column in depends["pg_class"] if column}, name
        assert not found.sequences
        assert {oid for oid in found.functions if oid >= 16384} >= {oid for oid, _ in depends["pg_proc"]}, name
        assert {oid for oid in found.operators if oid >= 16384} == {oid for oid, _ in depends["pg_operator"]}, name


def test_views_lead_to_their_tables(postgres: PostgresServer, database: str, client: WireClient) -> None:
    client.query(VIEWS)
    found = closures(postgres, database, mine=Body(), agg_step=Body(), op_fn=Body())
    snapshot = found.snapshot

    def touched(view: str) -> Touches:
        return found.relations_touched(relation_oid(snapshot, view), Action.SELECT, scope())

    assert names(snapshot, touched("joined").read) == {"joined", "plain", "base", "other"}
    assert names(snapshot, touched("sub").read) == {"sub", "part", "part_1", "other", "base"}
    assert names(snapshot, touched("united").read) == {"united", "parent", "child"}
    assert names(snapshot, touched("over_kept").read) == {"over_kept", "kept"}
    assert (relation_oid(snapshot, "base"), 4) in touched("cte").columns
    called = {snapshot.functions[oid].name for oid in touched("computed").functions}
    assert called >= {"mine", "my_sum", "agg_step", "op_fn"}
    assert "now" in {snapshot.functions[oid].name for oid in touched("joined").functions}
    for view in ("joined", "sub", "united", "computed", "cte", "lateral_one"):
        assert touched(view).whole
        assert not touched(view).written


def test_every_view_of_postgresql_s_own_can_be_read(postgres: PostgresServer, database: str) -> None:
    snapshot = snapshot_of(postgres, database)
    rules = [rule for rules in snapshot.rules.values() for rule in rules]
    assert len(rules) > 130
    assert not [rule for rule in rules if rule.expression.unread]
    found = Closures(snapshot)
    settings = relation_oid(snapshot, "pg_settings", "pg_catalog")
    assert found.relations_touched(settings, Action.SELECT, scope()).whole
    updated = found.relations_touched(settings, Action.UPDATE, scope())
    assert "set_config" in {snapshot.functions[oid].name for oid in updated.functions}


KEYS = """
create table customer (id int primary key);
create table purchase (id int primary key, customer int references customer on delete cascade on update cascade);
create table line (id int primary key, purchase int references purchase on delete cascade);
create table note (id int, line int default 1 references line on delete set null);
create table favourite (customer int default 0 references customer on delete set default on update set default);
create table invoice (id int, purchase int references purchase on delete restrict);
create table own (id int primary key, up int references own on delete cascade);
create table audit (what text); create table counted (n int);
create function log_it() returns trigger language plpgsql
  as $$ begin insert into audit values (tg_table_name); return null; end $$;
create trigger logged after delete on line for each row execute function log_it();
create rule also as on insert to audit do also update counted set n = n + 1;
insert into customer values (0), (1); insert into purchase values (1, 1); insert into line values (1, 1);
insert into note values (1, 1); insert into favourite values (1); insert into own values (1, null), (2, 1);
insert into counted values (0);
"""
LOG_IT = Body(tables=frozenset([TableUse("audit", None, Action.INSERT)]))


@pytest.mark.parametrize(
    ("statement", "table", "action"),
    [
        ("delete from customer where id = 1", "customer", Action.DELETE),
        ("update customer set id = 2 where id = 1", "customer", Action.UPDATE),
        ("delete from purchase", "purchase", Action.DELETE),
        ("delete from own where id = 1", "own", Action.DELETE),
        ("delete from note", "note", Action.DELETE),
        ("truncate customer cascade", "customer", Action.TRUNCATE),
        ("insert into audit values ('x')", "audit", Action.INSERT),
    ],
)
def test_what_postgresql_changes_on_the_way_is_foreseen(
    postgres: PostgresServer, database: str, client: WireClient, statement: str, table: str, action: Action
) -> None:
    client.query(KEYS)
    found = closures(postgres, database, log_it=LOG_IT)
    touches = found.relations_touched(relation_oid(found.snapshot, table), action, scope())
    assert touches.whole
    with WireClient.connect(Endpoint(postgres.host, postgres.port, database)) as other:  # whose counters are at zero
        other.query("begin")
        other.query(statement)
        counters = other.query(
            "select relname from pg_stat_xact_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0"
            if action is not Action.TRUNCATE
            else "select relation::regclass::text from pg_locks where mode = 'AccessExclusiveLock' and "
            "relation in (select oid from pg_class where relkind = 'r')"
        )
    changed = {str(name) for (name,) in counters}
    assert changed == names(found.snapshot, touches.written)


def test_keys_read_the_tables_that_they_refer_to(postgres: PostgresServer, database: str, client: WireClient) -> None:
    client.query(KEYS)
    found = closures(postgres, database, log_it=LOG_IT)
    touches = found.relations_touched(relation_oid(found.snapshot, "line"), Action.INSERT, scope())
    assert names(found.snapshot, touches.read) == {"purchase"}
    assert names(found.snapshot, touches.written) == {"line"}


PARTITIONS = """
create table log (a text);
create function f() returns trigger language plpgsql as $$ begin return new; end $$;
create function g(int) returns int language plpgsql immutable as $$ begin return $1; end $$;
create function h(int) returns int language plpgsql immutable as $$ begin return $1; end $$;
create table top (id int, k int, check (g(id) > 0)) partition by list (h(k));
create table low partition of top for values in (1) partition by range (id);
create table lowest partition of low for values from (0) to (10);
create table elsewhere partition of top default;
create trigger inner_one before insert on lowest for each row execute function f();
create index on top (g(id));
create table secured (id int, tenant text); alter table secured enable row level security;
create function allowed(text) returns bool language plpgsql as $$ begin return true; end $$;
create policy p on secured for select using (allowed(tenant) and exists (select from log));
create view shown as select id from secured;
create function put() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger instead_one instead of insert on shown for each row execute function put();
create view simple as select id, tenant from secured where tenant = 'x';
create rule redirect as on delete to shown do instead delete from log where a = old.id::text;
create domain positive as int check (g(value) > 0);
create table typed (p positive, ps positive[]);
create type pair as (one positive);
create table paired (x pair);
"""


def test_partitions_policies_triggers_rules_and_domains_are_followed(
    postgres: PostgresServer, database: str, client: WireClient
) -> None:
    client.query(PARTITIONS)
    found = closures(postgres, database, f=Body(), g=Body(), h=Body(), allowed=Body(), put=Body())
    snapshot = found.snapshot

    def touched(table: str, action: Action) -> Touches:
        return found.relations_touched(relation_oid(snapshot, table), action, scope())

    def called(table: str, action: Action) -> set[str]:
        return {snapshot.functions[oid].name for oid in touched(table, action).functions if oid >= 16384}

    assert names(snapshot, touched("top", Action.SELECT).read) == {"top", "low", "lowest", "elsewhere"}
    assert called("top", Action.SELECT) == set()
    assert called("top", Action.INSERT) == {"f", "g", "h"}
    assert called("lowest", Action.INSERT) == {"f", "g", "h"}  # its ancestors' key decides whether a row belongs there
    assert called("elsewhere", Action.INSERT) == {"g", "h"}
    assert called("top", Action.UPDATE) == {"f", "g", "h"}  # a row may move, which is an insert
    assert called("low", Action.DELETE) == set()
    assert set(snapshot.descendants(relation_oid(snapshot, "top"))) == oids(snapshot, "low", "lowest", "elsewhere")
    assert set(snapshot.ancestors(relation_oid(snapshot, "lowest"))) == oids(snapshot, "low", "top")

    assert called("secured", Action.SELECT) == {"allowed"}
    assert names(snapshot, touched("shown", Action.SELECT).read) == {"shown", "secured", "log"}
    assert "put" in called("shown", Action.INSERT)
    assert names(snapshot, touched("shown", Action.DELETE).written) == {"shown", "log"}
    assert names(snapshot, touched("simple", Action.UPDATE).written) == {"simple", "secured"}
    assert called("typed", Action.INSERT) == {"g"}
    assert called("typed", Action.SELECT) == set()
    assert called("paired", Action.INSERT) == {"g"}


FUNCTIONS = """
create table a (id int); create table b (id int);
create schema s; create table s.a (id int);
create function once() returns int begin atomic insert into a values (1) returning id; select 1; end;
create function outer_one() returns int language plpgsql as $$ begin return inner_one(); end $$;
create function inner_one() returns int language plpgsql as $$ begin return outer_one(); end $$;
create function placed() returns int language plpgsql set search_path = s as $$ begin return 1; end $$;
create function unplaced() returns int language plpgsql as $$ begin return 1; end $$;
create function dynamic() returns int language plpgsql as $$ begin return 1; end $$;
create function lost() returns int language plpgsql as $$ begin return 1; end $$;
create function defaulted(x int default unplaced()) returns int language plpgsql as $$ begin return 1; end $$;
create function shadowed() returns int language plpgsql as $$ begin return 1; end $$;
create view v as select dynamic();
"""
READ_A = Body(tables=frozenset([TableUse("a", None, Action.SELECT)]))


def test_functions_are_followed_into_their_bodies(postgres: PostgresServer, database: str, client: WireClient) -> None:
    client.query(FUNCTIONS)
    found = closures(
        postgres,
        database,
        outer_one=Body(functions=frozenset([NameUse("inner_one", None, 0)])),
        inner_one=Body(
            functions=frozenset([NameUse("outer_one", None, 0)]),
            tables=frozenset([TableUse("b", None, Action.DELETE)]),
            columns=frozenset([("b", None, "id")]),
        ),
        placed=READ_A,
        unplaced=READ_A,
        defaulted=Body(),
        dynamic=Body(opaque="it runs SQL that it puts together"),
        lost=Body(tables=frozenset([TableUse("gone", None, Action.SELECT)])),
    )
    snapshot = found.snapshot

    def touched(name: str, path: str = "public") -> Touches:
        return found.function_touches(function_oid(snapshot, name), scope(path))

    assert touched("once").relations == {
        (relation_oid(snapshot, "a"), Action.INSERT),
        (relation_oid(snapshot, "a"), Action.SELECT),
    }
    for name in ("outer_one", "inner_one"):  # they call each other for ever
        assert touched(name).written == oids(snapshot, "b")
        assert touched(name).columns == {(relation_oid(snapshot, "b"), 1)}
        assert touched(name).whole
    assert touched("placed").read == {relation_oid(snapshot, "a", "s")}
    assert touched("unplaced").read == {relation_oid(snapshot, "a")}
    assert touched("unplaced", "s").read == {relation_oid(snapshot, "a", "s")}
    assert touched("defaulted").read == {relation_oid(snapshot, "a")}
    (opaque,) = touched("dynamic").opaque
    assert (opaque.kind, opaque.name) == ("function", "public.dynamic")
    assert opaque.because == "it runs SQL that it puts together"
    assert touched("lost").unresolved == ("gone: nothing of that name is where the name is looked for",)
    assert not touched("lost").whole
    assert not found.relations_touched(relation_oid(snapshot, "v"), Action.SELECT, scope()).whole
    # A temporary table of the session stands before a.
    temporary = found.function_touches(function_oid(snapshot, "unplaced"), scope(temporary=frozenset("a")))
    assert temporary.unresolved
    assert not temporary.relations


def test_a_source_beyond_the_limit_makes_its_function_opaque(
    postgres: PostgresServer, database: str, client: WireClient
) -> None:
    client.query("create function big() returns int language plpgsql as $$ begin return 1; end $$")
    snapshot = snapshot_of(postgres, database, source_limit=10)
    found = Closures(snapshot, Described(big=Body()))
    (opaque,) = found.function_touches(function_oid(snapshot, "big"), scope()).opaque
    assert opaque.because == "its body is too large to be kept"
