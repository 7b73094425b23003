"""Names resolve as PostgreSQL resolves them, under many search paths, for roles with and without privileges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.catalogue import Names, Scope, Snapshot, Unresolved, parse_search_path
from interceptor.testing.postgres import PostgresServer
from tests.integration.catalogue_world import snapshot_of
from tests.support.wire import Endpoint, WireClient, WireError

SCHEMAS = ["one", "two", "Three", "closed", "alice", "bob", "granted", "public", 'we"ird', "with space"]
TABLES = ["a", "b", "c", "pg_class", "pg_views", "Mixed", "b_index", "b_sequence", "b_view", "pair"]
FUNCTIONS = ["f", "g", "lower"]
SIGNATURES = ["integer", "text", "integer, text", "text, text", ""]
OPERATORS = ["+", "<+>"]
ROLES = ["postgres", "alice", "bob", "carol", "dave"]
TYPES = ["a", "pair", "int4", "text", "mood", "name"]

SETUP = """
create role alice; create role bob; create role carol; create role dave noinherit; create role group_of_carol;
grant group_of_carol to carol;
grant group_of_carol to dave;
"""


def build_schemas() -> str:
    lines = []
    for number, schema in enumerate(SCHEMAS):
        quoted = '"' + schema.replace('"', '""') + '"'
        if schema != "public":
            lines.append(f"create schema {quoted};")
        # Each object exists in some of the schemas only, in another selection each.
        for place, table in enumerate(["a", "b", "c", "pg_class", "pg_views", "Mixed"]):
            if (number + place) % 3 != 0:
                lines.append(f'create table {quoted}."{table}" (id int);')
        if number % 2:
            lines.append(f"create sequence {quoted}.b_sequence; create view {quoted}.b_view as select 1 as x;")
            lines.append(f"create type {quoted}.pair as (x int); create type {quoted}.mood as enum ('sad');")
        if (number + 1) % 3 != 0:
            lines.append(f"create index b_index on {quoted}.b (id);")
        lines += [
            f"create function {quoted}.{function}({signature}) returns int language sql as 'select 1';"
            for place, signature in enumerate(SIGNATURES)
            for function in FUNCTIONS
            if (number + place + len(function)) % 4
        ]
        if number % 2 == 0:
            lines.append(f"create function {quoted}.op(text, text) returns text language sql as 'select $1';")
            lines += [
                f"create operator {quoted}.{operator} (leftarg = text, rightarg = text, function = {quoted}.op);"
                for operator in OPERATORS
            ]
    return "\n".join(lines)


GRANTS = """
grant usage on schema one, two, "Three", "we""ird", "with space" to public;
grant usage on schema alice to alice; alter schema bob owner to bob; grant usage on schema granted to group_of_carol;
revoke usage on schema "we""ird" from public;
"""


class World:
    """A server with many things of the same names."""

    def __init__(self, client: WireClient, snapshot: Snapshot) -> None:
        self.client = client
        self.snapshot = snapshot
        self.names = Names(snapshot)
        self.temporary = client.query("select oid from pg_class where relpersistence = 't'")[0][0]

    def search(self) -> list[str]:
        """What is searched now, the session's own temporary schema as pg_temp."""
        names = self.client.query("select unnest(current_schemas(true))")
        return ["pg_temp" if name is None or name.startswith("pg_temp") else name for (name,) in names]

    def path(self, scope: Scope) -> list[str]:
        """The same, as the catalogue has it."""
        found = self.names.path(scope)
        assert not isinstance(found, Unresolved)
        return ["pg_temp" if oid == -1 else self.snapshot.schemas[oid].name for oid in found]

    def ask(self, path: str, role: str, questions: list[str]) -> list[str | None]:
        """Answers under this search_path, as this role."""
        text = path.replace("'", "''")
        self.client.query(f"reset role; select set_config('search_path', '{text}', false); set role {role}")
        return [self._one(question) for question in questions]

    def _one(self, question: str) -> str | None:
        try:
            return self.client.query(question)[0][0]
        except WireError as error:
            return f"error: {error}"


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with PostgresServer.start(request.param) as server:  # roles are the whole server's
        server.psql(SETUP + build_schemas() + GRANTS)
        snapshot = snapshot_of(server, "postgres")
        with WireClient.connect(Endpoint(server.host, server.port, "postgres")) as client:
            client.query("create temporary table c (id int)")
            yield World(client, snapshot)


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


entries = st.one_of(
    st.sampled_from([quote(schema) for schema in SCHEMAS]),
    st.sampled_from(["one", "TWO", '"$user"', "pg_catalog", "pg_temp", "missing", "Three", "information_schema"]),
)
paths = st.lists(entries, max_size=6).map(", ".join)


@given(path=paths, role=st.sampled_from(ROLES))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_relations_types_and_functions_are_found_where_postgresql_finds_them(
    world: World, path: str, role: str
) -> None:
    scope = Scope(parse_search_path(path), role, frozenset("c"))
    questions = [f"select to_regclass('{quote(name)}')::oid" for name in TABLES]
    questions += [f"select to_regtype('{quote(name)}')::oid" for name in TYPES]
    questions += [
        f"select to_regprocedure('{name}({signature})')::oid" for name in FUNCTIONS for signature in SIGNATURES
    ]
    questions += [f"select to_regoperator('{name}(text, text)')::oid" for name in OPERATORS]
    answers = world.ask(path, role, questions)

    mine: list[str | None] = []
    for name in TABLES:
        relation = world.names.relation(scope, name)
        if relation is Unresolved.TEMPORARY:
            mine.append(world.temporary)
        else:
            mine.append(None if isinstance(relation, Unresolved) else str(relation.oid))
    for name in TYPES:
        one = world.names.type(scope, name)
        mine.append(None if isinstance(one, Unresolved) else str(one.oid))
    for name in FUNCTIONS:
        for signature in SIGNATURES:
            types = [{"integer": 23, "text": 25}[word] for word in signature.split(", ") if word]
            function = world.names.function(scope, name, types)
            mine.append(None if isinstance(function, Unresolved) else str(function.oid))
            candidates = world.names.functions(scope, name, argument_count=len(types))
            if not isinstance(function, Unresolved):
                assert not isinstance(candidates, Unresolved)
                assert function in candidates
    for name in OPERATORS:
        operators = world.names.operators(scope, name)
        fitting = [] if isinstance(operators, Unresolved) else [o for o in operators if (o.left, o.right) == (25, 25)]
        mine.append(str(fitting[0].oid) if fitting else None)
    assert dict(zip(questions, mine, strict=True)) == dict(zip(questions, answers, strict=True))

    assert world.path(scope) == world.search()


@given(st.text(alphabet="ab\"$, \t\nA.'ä", max_size=12))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_path_is_read_as_postgresql_reads_it(world: World, text: str) -> None:
    quoted = text.replace("'", "''")
    try:
        world.client.query(f"reset role; select set_config('search_path', '{quoted}', false)")
    except WireError:
        assert parse_search_path(text) is None
        return
    mine = parse_search_path(text)
    assert mine is not None
    # What it means is told by where a relation is looked for.
    assert world.path(Scope(mine, "postgres")) == world.search()


def test_a_session_s_temporary_names_come_first_unless_its_path_says_otherwise(world: World) -> None:
    names = world.names
    for temporary in (frozenset(["b"]), None):
        scope = Scope(("one",), "postgres", temporary)
        assert names.relation(scope, "b") is Unresolved.TEMPORARY
        last = Scope(("one", "pg_temp"), "postgres", temporary)
        relation = names.relation(last, "b")
        assert not isinstance(relation, Unresolved)
        assert world.snapshot.qualified_name(relation) == ("one", "b")
    unknown = Scope(("one", "pg_temp"), "postgres", None)
    assert names.relation(unknown, "no_such") is Unresolved.TEMPORARY
    assert names.relation(unknown, "b", "pg_temp") is Unresolved.TEMPORARY
    assert names.functions(Scope(("pg_temp", "one"), "postgres", None), "f") != Unresolved.TEMPORARY


def test_nothing_resolves_where_it_can_t_be_told(world: World) -> None:
    names = world.names
    after = Scope(("one",), "postgres", frozenset(), after_ddl=True)
    assert names.relation(after, "b") is Unresolved.AFTER_DDL
    assert names.relation(after, "b", "one") is Unresolved.AFTER_DDL
    assert names.functions(after, "f") is Unresolved.AFTER_DDL
    assert names.operators(after, "+") is Unresolved.AFTER_DDL
    assert names.type(after, "pair") is Unresolved.AFTER_DDL
    assert names.relation(Scope(("one",), "nobody"), "b") is Unresolved.UNKNOWN_ROLE
    assert names.relation(Scope(None, "postgres"), "b") is Unresolved.UNKNOWN_PATH
    assert not isinstance(names.relation(Scope(None, "postgres"), "b", "one"), Unresolved)
    assert names.relation(Scope(("one",), "postgres"), "b", "no_such") is Unresolved.ABSENT
