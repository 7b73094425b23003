"""Closures that stop where somebody vouched for a function, that leave foreign keys out, and that begin at a type."""

from __future__ import annotations

from interceptor.catalogue import Action, Closures, Snapshot, read_body
from interceptor.testing.postgres import PostgresServer
from tests.conftest import FreshDatabase
from tests.integration.catalogue_world import relation_oid, scope, snapshot_of
from tests.support.wire import Endpoint, WireClient

WORLD = """
create table parent (id int primary key);
create table child (id int, parent_id int references parent);
create table log (at timestamptz);
create function noted() returns trigger language plpgsql as
  $$ begin insert into log values (now()); return new; end $$;
create trigger noted before insert on child for each row execute function noted();
create function positive(int) returns bool language sql as 'select $1 > (select count(*) from log)';
create domain counted as int check (positive(value));
"""


def made(server: PostgresServer, fresh_database: FreshDatabase) -> Snapshot:
    database = fresh_database(server)
    with WireClient.connect(Endpoint(server.host, server.port, database)) as client:
        client.query(WORLD)
    return snapshot_of(server, database)


def read(closures: Closures, action: Action = Action.INSERT) -> set[str]:
    snapshot = closures.snapshot
    touches = closures.relations_touched(relation_oid(snapshot, "child"), action, scope())
    return {snapshot.relations[oid].name for oid, _ in touches.relations}


def test_trust_and_keys(postgres18: PostgresServer, fresh_database: FreshDatabase) -> None:
    snapshot = made(postgres18, fresh_database)
    assert read(Closures(snapshot)) == {"child", "parent", "log"}
    assert read(Closures(snapshot, trusted=lambda function: function.name == "noted")) == {"child", "parent"}
    assert read(Closures(snapshot, key_checks=False)) == {"child", "log"}


def test_what_a_domain_checks(postgres18: PostgresServer, fresh_database: FreshDatabase) -> None:
    snapshot = made(postgres18, fresh_database)
    closures = Closures(snapshot)
    found = closures.names.type(scope(), "counted", "public")
    touches = closures.type_touches(getattr(found, "oid"), scope())  # noqa: B009
    assert touches.read == {relation_oid(snapshot, "log")}


def test_the_facts_of_a_body(postgres18: PostgresServer, fresh_database: FreshDatabase) -> None:
    snapshot = made(postgres18, fresh_database)
    (function,) = snapshot.functions_named("noted")[snapshot.schemas_by_name["public"].oid]
    source = snapshot.source(function.oid)
    assert source is not None
    assert [one.kind for one in read_body(function, source, snapshot).statements] == ["insert"]
