"""What the facts say of a statement, held against what the server records of it.

Of queries a view, of writes a function with a BEGIN ATOMIC body: the server records on which relations, columns,
functions, operators and types they depend. Of writes also the plan, which says what they write. Of definitions an event
trigger: what was made, altered, dropped. And of everything the command tag.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg import sql as quoting

from interceptor.sql.facts import ColumnUse, MessageFacts, OpaqueReason, QualifiedName, StatementFacts
from interceptor.sql.statements import analyse_facts
from interceptor.testing.postgres import PostgresServer

CORPUS = Path(__file__).with_name("facts_corpus.sql")

_EVENT_TRIGGERS = """
create table ddl_log (classid oid, objid oid, type text, identity text);
create table drop_log (classid oid, objid oid, type text, identity text);
create function log_ddl() returns event_trigger language plpgsql as $$ begin
  insert into public.ddl_log select classid, objid, object_type, object_identity from pg_event_trigger_ddl_commands();
end $$;
create function log_drop() returns event_trigger language plpgsql as $$ begin
  insert into public.drop_log select classid, objid, object_type, object_identity
    from pg_event_trigger_dropped_objects() where original;
end $$;
create event trigger log_ddl on ddl_command_end execute function log_ddl();
create event trigger log_drop on sql_drop execute function log_drop();
"""

# Of a rule or of a function, what it depends on: kind, schema, name, column.
_DEPENDENCIES = """
select 'relation', n.nspname, c.relname, coalesce(a.attname, '')
  from pg_depend d join pg_class c on d.refobjid = c.oid join pg_namespace n on n.oid = c.relnamespace
  left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid and d.refobjsubid <> 0
  where d.refclassid = 'pg_class'::regclass and d.classid = %(class)s::regclass and d.objid = %(object)s
    and d.deptype = 'n' and c.relname <> 'corpus_view' and c.relkind <> 'c'
union all
select 'function', n.nspname, p.proname, ''
  from pg_depend d join pg_proc p on d.refobjid = p.oid join pg_namespace n on n.oid = p.pronamespace
  where d.refclassid = 'pg_proc'::regclass and d.classid = %(class)s::regclass and d.objid = %(object)s
union all
select 'operator', n.nspname, o.oprname, ''
  from pg_depend d join pg_operator o on d.refobjid = o.oid join pg_namespace n on n.oid = o.oprnamespace
  where d.refclassid = 'pg_operator'::regclass and d.classid = %(class)s::regclass and d.objid = %(object)s
union all
select 'type', n.nspname, t.typname, ''
  from pg_depend d join pg_type t on d.refobjid = t.oid join pg_namespace n on n.oid = t.typnamespace
  where d.refclassid = 'pg_type'::regclass and d.classid = %(class)s::regclass and d.objid = %(object)s
"""

# The table of an index, trigger, rule, policy, constraint, default or statistics object; the owner of a sequence.
_PARENTS = """
select indrelid from pg_index where indexrelid = any(%(oids)s)
union select tgrelid from pg_trigger where oid = any(%(oids)s)
union select ev_class from pg_rewrite where oid = any(%(oids)s)
union select polrelid from pg_policy where oid = any(%(oids)s)
union select conrelid from pg_constraint where oid = any(%(oids)s)
union select stxrelid from pg_statistic_ext where oid = any(%(oids)s)
"""

_RELATION_TYPES = ("table", "view", "materialized view", "index", "sequence", "foreign table", "table column")


@dataclass(frozen=True, slots=True)
class Line:
    """One statement of the corpus."""

    text: str
    fails: bool


def corpus(section: str, version: int = 18) -> list[Line]:
    found: list[Line] = []
    name = ""
    for line in CORPUS.read_text().splitlines():
        if line.startswith("-- =="):
            name = line.removeprefix("-- ==").strip()
        elif name == section and line and not line.startswith("--"):
            text, _, remark = line.partition(" -- ")
            since = int(remark.removeprefix("since ")) if remark.startswith("since") else 0
            if version >= since:
                found.append(Line(text, remark == "fails"))
    return found


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the server recorded."""

    relations: set[tuple[str, str]] = field(default_factory=set)
    columns: set[tuple[str, str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    types: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class World:
    """A database with the objects that the corpus names."""

    connection: psycopg.Connection[tuple[Any, ...]]
    version: int

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    def recorded(self, class_name: str, object_query: str) -> Recorded:
        ((oid,),) = self.rows(object_query)
        found = Recorded()
        for kind, schema, name, column in self.rows(_DEPENDENCIES, {"class": class_name, "object": oid}):
            if kind == "relation":
                found.relations.add((schema, name))
                if column:
                    found.columns.add((schema, name, column))
            else:
                getattr(found, f"{kind}s").add((schema, name))
        return found

    def oid(self, name: QualifiedName) -> int | None:
        parts = [part for part in (name.schema, name.name) if part is not None]
        quoted = quoting.Identifier(*parts).as_string(self.connection)
        ((found,),) = self.rows("select to_regclass(%(name)s)::oid::int8", {"name": quoted})
        return cast("int | None", found)

    def resolved(self, names: Iterable[QualifiedName]) -> set[tuple[str, str]]:
        """The names with their schemas; those of pg_catalog, which the server doesn't record, left out."""
        found = set()
        for name in names:
            oid = self.oid(name)
            assert oid is not None, f"{name} names no relation"
            ((schema, relation),) = self.rows(
                "select relnamespace::regnamespace::text, relname from pg_class where oid = %(oid)s", {"oid": oid}
            )
            if schema != "pg_catalog":
                found.add((schema, relation))
        return found


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    # A server of its own: the corpus changes roles, databases and the server's configuration.
    with PostgresServer.start(request.param) as server:
        _, _, rest = CORPUS.read_text().partition("-- == setup\n")
        server.psql(rest.partition("-- ==")[0])
        with psycopg.connect(server.dsn(), prepare_threshold=None) as connection:
            yield World(connection, request.param)


def facts_of(line: Line) -> MessageFacts:
    facts = analyse_facts(line.text)
    for opaque in facts.opaque:
        expected = opaque.reason in (OpaqueReason.CALL, OpaqueReason.EXECUTE, OpaqueReason.EXTENSION)
        assert expected, f"{line.text}: {opaque}"
    return facts


def covers(world: World, use: ColumnUse, column: tuple[str, str, str]) -> bool:
    """Say whether a use of a column may be one of this column."""
    if not (use.star or use.whole_row or use.name == column[2]):
        return False
    return column[:2] in world.resolved(use.relations)


def misses(world: World, facts: MessageFacts, recorded: Recorded) -> Iterator[str]:
    """What the server recorded and the facts don't say, and what the facts say and the server didn't record."""
    named = world.resolved([*facts.reads, *facts.writes])
    if named != recorded.relations:
        yield f"relations {sorted(named ^ recorded.relations)}"
    uses = [use for one in facts.all for use in one.columns]
    # Of the target of ON CONFLICT DO UPDATE the server records every column, as excluded has them all.
    excluded = [name for one in facts.all if "on conflict" in one.words for name in one.writes]
    for column in recorded.columns:
        if column[:2] not in world.resolved(excluded) and not any(covers(world, use, column) for use in uses):
            yield f"column {column}"
    for kind, said in (
        ("function", [call.name for one in facts.all for call in one.functions]),
        ("operator", [name for one in facts.all for name in one.operators]),
        ("type", [name for one in facts.all for name in one.types]),
    ):
        known: set[tuple[str, str]] = getattr(recorded, f"{kind}s")
        if kind != "type":  # which values have without a word of it in the text
            for schema, name in known:
                if not any(one.name == name and one.schema in (None, schema) for one in said):
                    yield f"{kind} {schema}.{name}"
        for one in said:
            own = one.schema not in ("pg_catalog", "information_schema")
            if own and not any(name == one.name for _, name in known) and not is_built_in(world, kind, one):
                yield f"{kind} {one} that the server doesn't record"


def is_built_in(world: World, kind: str, name: QualifiedName) -> bool:
    table, column = {
        "function": ("pg_proc", "proname"), "operator": ("pg_operator", "oprname"), "type": ("pg_type", "typname"),
    }[kind]  # fmt: skip
    namespace = column.replace("name", "namespace")
    query = f"select 1 from {table} where {column} = %(name)s and {namespace} = 'pg_catalog'::regnamespace limit 1"
    return bool(world.rows(query, {"name": name.name}))


@contextlib.contextmanager
def refused(found: set[tuple[str, str]], line: Line) -> Iterator[None]:
    """A line that the server doesn't take proves nothing."""
    try:
        yield
    except psycopg.Error as error:
        if not line.fails:
            found.add((line.text, str(error)))
    else:
        if line.fails:
            found.add((line.text, "does not fail"))


def listed(found: Iterable[tuple[str, str]]) -> str:
    return "".join(f"\n{text}: {miss}" for text, miss in sorted(found))


# What the text alone can't tell, by text and finding. docs/design/facts.md says why.
KNOWN = {
    ("select nextval('seq')", "relations [('public', 'seq')]"),  # the name is in a constant
    ("select nextval('seq'::regclass), 'a'::regclass", "relations [('public', 'a'), ('public', 'seq')]"),
    ("select 'f(int)'::regprocedure", "function public.f"),
    ("select a.of_a from a", "function public.of_a"),  # a function, written as a column
    ("select x(a) from a", "function x that the server doesn't record"),  # a column, written as a function
}


def test_corpus_is_large() -> None:
    assert sum(len(corpus(section)) for section in ("queries", "writes", "definitions", "others")) >= 500


@pytest.mark.slow
def test_queries(world: World) -> None:
    found: set[tuple[str, str]] = set()
    for line in corpus("queries", world.version):
        with refused(found, line), world.connection.transaction(force_rollback=True):
            world.rows(f"create view corpus_view as select 1 as one from ({line.text}) query")
            rule = "select oid from pg_rewrite where ev_class = 'corpus_view'::regclass"
            recorded = world.recorded("pg_rewrite", rule)
            found |= {(line.text, miss) for miss in misses(world, facts_of(line), recorded)}
    assert not found ^ KNOWN, listed(found ^ KNOWN)


@pytest.mark.slow
def test_writes(world: World) -> None:
    found: set[tuple[str, str]] = set()
    for line in corpus("writes", world.version):
        with refused(found, line), world.connection.transaction(force_rollback=True):
            world.rows(f"create function corpus_function() returns void begin atomic {line.text}; end")
            recorded = world.recorded("pg_proc", "select 'corpus_function'::regproc::oid")
            facts = facts_of(line)
            found |= {(line.text, miss) for miss in misses(world, facts, recorded)}
            ((plan,),) = world.rows(f"explain (verbose, format json) {line.text}")
            written = set(modified(plan[0]["Plan"]))
            # The planner has put its tables in the place of an updatable view.
            said = {("public", "a") if name == ("public", "v") else name for name in world.resolved(facts.writes)}
            if written != said:
                found.add((line.text, f"writes {written ^ said}"))
    assert not found, listed(found)


def modified(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if plan["Node Type"] == "ModifyTable":
        yield plan["Schema"], plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from modified(part)


def all_names(facts: MessageFacts) -> list[QualifiedName]:
    return [*facts.defines, *facts.mentions, *facts.writes, *facts.reads]


@pytest.mark.slow
def test_definitions(world: World) -> None:
    found = []
    with world.connection.transaction(force_rollback=True):
        world.connection.execute(_EVENT_TRIGGERS)
        for line in corpus("definitions", world.version):
            facts = facts_of(line)
            before = {name: world.oid(name) for name in all_names(facts)}
            try:
                with world.connection.transaction() as nested:
                    cursor = world.connection.execute(line.text)
                    tag = (cursor.statusmessage or "").split()[0].lower()
                    if line.fails:
                        found.append((line.text, "does not fail"))
                    found += [(line.text, miss) for miss in definition_misses(world, facts, before)]
                    if tag != facts.statements[0].kind and (tag, facts.statements[0].kind) != ("select", "create"):
                        found.append((line.text, f"its tag is {tag}"))
                    raise psycopg.Rollback(nested)
            except psycopg.Error as error:
                if not line.fails:
                    found.append((line.text, str(error)))
    assert not found, listed(found)


# What a table brings along without a word of it in the text: of a constraint, a serial or identity column.
_IMPLICIT = ("index", "sequence", "default value", "table constraint", "default acl")


def definition_misses(world: World, facts: MessageFacts, before: dict[QualifiedName, int | None]) -> Iterator[str]:
    reported = [
        (class_name, oid, kind, identity.lower())
        for log in ("ddl_log", "drop_log")
        for class_name, oid, kind, identity in world.rows(
            f"select classid::regclass::text, objid::int8, type, identity from {log} where identity is not null"
        )
    ]
    objects = {one.name.name.lower() for statement in facts.all for one in statement.objects}
    said = {name: before.get(name) or world.oid(name) for name in all_names(facts)}
    reported_oids = {oid for _, oid, _, _ in reported}
    for class_name, oid, kind, identity in reported:
        if class_name == "pg_class" and oid in said.values():
            continue
        if kind in _IMPLICIT and facts.statements[0].kind != "drop":
            continue
        for written, replacement in (("pg_catalog.", ""), ("public.", ""), ("integer", "int4")):
            identity = identity.replace(written, replacement)
        # After a renaming the server has the new name only.
        if not any(name in identity for name in objects) and not renames(facts):
            yield f"{kind} {identity}"
    parents = {oid for (oid,) in world.rows(_PARENTS, {"oids": list(reported_oids)})}
    if reported and facts.statements[0].kind != "drop":
        for name in facts.defines:
            if said[name] not in reported_oids | parents:
                yield f"{name} is not what was defined"
    if facts.statements[0].kind == "drop":
        dropped = {oid for class_name, oid, _, _ in reported if class_name == "pg_class"}
        if dropped and dropped != {before[name] for name in facts.defines if before[name]}:
            yield f"dropped {dropped}, not {facts.defines}"


def renames(facts: MessageFacts) -> bool:
    return facts.statements[0].kind == "alter" and bool(facts.statements[0].objects)


def test_others(world: World) -> None:
    """Their kind is the first word of the command tag."""
    found = []
    for line in corpus("others", world.version):
        facts = facts_of(line)
        statement: StatementFacts = facts.statements[0]
        with psycopg.connect(world.connection.info.dsn, autocommit=True) as connection:
            pgconn = connection.pgconn
            result = pgconn.exec_(b"begin; set local lock_timeout = '1s'")
            result = pgconn.exec_(line.text.encode())
            if result.error_field(67) == b"25001":  # not within a transaction
                pgconn.exec_(b"rollback")
                result = pgconn.exec_(line.text.encode())
            if result.status == psycopg.pq.ExecStatus.COPY_OUT:
                while pgconn.get_copy_data(0)[0] >= 0:
                    pass
                result = pgconn.get_result() or result
            tag = result.command_status
            if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                if not line.fails:
                    found.append((line.text, result.error_message.decode()))
            elif line.fails:
                found.append((line.text, "does not fail"))
            elif tag and tag.split()[0].decode().lower() not in (statement.kind, _OTHER_TAGS.get(statement.kind)):
                found.append((line.text, f"its tag is {tag.decode()}"))
            pgconn.exec_(b"rollback")
    assert not found, listed(found)


_OTHER_TAGS = {"begin": "start"}
