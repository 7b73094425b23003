"""What a session makes its names mean, message by message, and whether the rules follow: in both pool modes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CANARY, CORPUS
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Tables, run_proxy

SECRET = "select value from secret where id = 1"
PATH = "set search_path = vault"
MANY = ["select " + ", ".join([f"set_config('x.a{row}_{n}', '1', false)" for n in range(50)]) for row in range(30)]
HIDDEN = r"select 'a\', ' || (select value from vault.secret where id = 1) || ' -- '"
SHIFTED = b"select '\x81', ' || (select value from vault.secret where id = 1) || '\x81' -- '"
SETS_PATH = """language plpgsql as $$ begin perform set_config('search_path', 'vault', false); return new; end $$"""


def said(*messages: str | bytes) -> list[list[Frontend]]:
    return [[f.query(one)] for one in messages]


def run(sql: str | bytes, name: str = "") -> list[Frontend]:
    return [f.parse(sql, name), f.bind(statement=name), f.execute()]


def bound(name: str) -> list[list[Frontend]]:
    return [[f.bind(statement=name), f.execute(), f.sync()]]


def parsed(sql: str, name: str) -> list[list[Frontend]]:
    return [[f.parse(sql, name), f.sync()]]


NEWER_SYNTAX = {
    "json_value": ("(text, text)", "select json_value('{}', '$')"),
    "json_query": ("(text, text)", "select json_query('{}', '$')"),
    "json_exists": ("(text, text)", "select json_exists('{}', '$')"),
    "json_scalar": ("(text)", "select json_scalar('1'::text)"),
    "json_serialize": ("(text)", "select id, json_serialize('1'::text) from orders where id = 1"),
    "json": ("(text)", "select json('1'::text)"),
    "merge_action": ("()", "select merge_action()"),
}
"""What PostgreSQL 16 takes for calls: functions by their names and arguments, and their use."""

PORTAL = [f.parse("select set_config('search_path', 'vault', true)", "c"), f.bind(statement="c", portal="p"), f.sync()]
ATTEMPTS: dict[str, list[list[Frontend]]] = {
    "a path": said(PATH, SECRET),
    "a path of the transaction": said("begin", "set local search_path = vault", SECRET),
    "a path after what keeps the backend for ever": said("select setseed(0.5)", PATH, SECRET),
    "a path after a temporary table": said("create temp table zz (a int)", PATH, SECRET),
    "a path beside more settings than follow a client": said("begin", *MANY, PATH, "commit", SECRET),
    "a path in a pipeline": [[*run(PATH), *run(SECRET), f.sync()]],
    "a path, and a Flush": [[*run(PATH), f.flush(), *run(SECRET), f.sync()]],
    "a path that a savepoint brings back": said(
        "begin", PATH, "savepoint a", "set search_path = public", "rollback to a", SECRET
    ),
    "a path by a cursor": said(
        "begin", "declare c cursor for select set_config('search_path', 'vault', true)", "fetch c", SECRET
    ),
    "a path by a portal of an earlier batch": [
        *said("begin"), PORTAL, [f.execute("p"), *run(SECRET), f.sync()],
    ],
    "a path by a portal, and then": [*said("begin"), PORTAL, [f.execute("p"), f.sync()], *said(SECRET)],
    "a path by a trigger of this transaction": said(
        "begin", f"create function public.sets() returns trigger {SETS_PATH}",
        "create trigger sets before insert on people for each row execute function sets()",
        "insert into people (id) values (77)", SECRET,
    ),
    "a path by a trigger that is there": said("insert into pathfinder values (1)", SECRET),
    "bound, though SQL prepared it": [*said(f"prepare p as {SECRET}", PATH), *bound("p")],
    "bound, on a backend for ever": [*said("select setseed(0)", f"prepare p as {SECRET}", PATH), *bound("p")],
    "bound, though SQL took the name": [
        *parsed("select 1", "s"), *said("deallocate s", f"prepare s as {SECRET}", PATH), *bound("s"),
    ],
    "bound, though SQL took all names": [
        *parsed("select 1", "s"), *said(f"deallocate all; prepare s as {SECRET}", PATH), *bound("s"),
    ],
    "bound, though SQL prepared it in the same pipeline": [
        [*run(f"prepare p as {SECRET}"), *run(PATH), *bound("p")[0]],
    ],
    "bound, though SQL prepared it in the same transaction": [
        *said("begin"), [*run(f"prepare p as {SECRET}"), *run(PATH), f.sync()], *bound("p"),
    ],
    "bound, though SQL prepared it behind other things": [
        [f.query(f"select setseed(0.5); prepare p as {SECRET}; {PATH}")], *bound("p"),
    ],
    "bound, though SQL took the name in the same pipeline": [
        [*run("select 1", "s"), *run("deallocate s"), *run(f"prepare s as {SECRET}"), *run(PATH), *bound("s")[0]],
    ],
    "bound, though SQL took all names in the same pipeline": [
        *parsed("select 1", "s"), *said("discard all"),
        [*run("deallocate all"), *run(f"prepare s as {SECRET}"), *run(PATH),
         *bound("s")[0]],
    ],
    "executed in the pipeline that prepared it": [
        [*run(f"prepare p as {SECRET}"), *run(PATH), *run("execute p"), f.sync()],
    ],
    "parsed under another path": [*parsed(SECRET, "s"), *said(PATH), *bound("s")],
    "parsed, and forgotten by a message that was skipped": [
        *parsed(SECRET, "s"), [*run("select 1/0"), *run("deallocate s"), f.sync()], *said(PATH), *bound("s"),
    ],
    "backslashes": said("set standard_conforming_strings = off", HIDDEN),
    "backslashes in a pipeline": [[*run("set standard_conforming_strings = off"), *run(HIDDEN), f.sync()]],
    "backslashes of the transaction": said("begin", "set local standard_conforming_strings = off", HIDDEN),
    "an encoding": said("set client_encoding = 'SJIS'", SHIFTED),
    "an encoding in a pipeline": [[*run("set client_encoding = 'SJIS'"), *run(SHIFTED), f.sync()]],
}  # fmt: skip


@pytest.fixture(scope="module")
def clients(postgres16: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    file = tmp_path_factory.mktemp("sessions") / "rules.toml"
    file.write_text((CORPUS / "rules.toml").read_text())
    roles = ("analyst_jo", "payroll", "reader")
    for role in roles:
        postgres16.psql(f"drop role if exists {role}")
    postgres16.create_database("sessions")
    postgres16.psql((CORPUS / "world.sql").read_text(), dbname="sessions")
    postgres16.psql(f"create function public.finds() returns trigger {SETS_PATH}", dbname="sessions")
    postgres16.psql(
        "create table public.pathfinder (id int); create trigger finds before insert on public.pathfinder "
        "for each row execute function public.finds()", dbname="sessions",
    )  # fmt: skip
    for name, (arguments, _) in NEWER_SYNTAX.items():
        tells = f"create function public.{name}{arguments} returns text language sql as 'select max(value) from "
        postgres16.psql(f"{tells} vault.secret'", dbname="sessions")
    postgres16.psql(
        "create function public.tells_all() returns text language sql as $$ select json_value('{}', '$') $$",
        dbname="sessions",
    )
    tables: Tables = {
        "databases.transaction": {"primary": upstream(postgres16, "sessions")},
        "databases.session": {"primary": upstream(postgres16, "sessions"), "pool_mode": "session"},
        "plugins.rules": {"file": str(file)},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as made:
        yield made
    postgres16.drop_database("sessions")
    for role in roles:
        postgres16.psql(f"drop role {role}")


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_names_mean_is_never_taken_for_what_they_meant(clients: Clients, mode: str, attempt: str) -> None:
    client = clients.connect(mode)
    for batch in ATTEMPTS[attempt]:
        ready = client.ready_count
        client.send(*batch)
        client.read_until_ready(ready + 1)
    told = [one for one in client.replies if one.tag in b"DE"]
    assert CANARY not in b"".join(one.body for one in told)
    refusals = [decode_error(one.body)["C"] for one in told if one.tag == b"E"]
    assert "42501" in refusals
    client.close()


def test_what_is_a_call_to_an_older_server_is_a_call(clients: Clients, postgres16: PostgresServer) -> None:
    attempts = [one for _, one in NEWER_SYNTAX.values()] + ["select tells_all()", "explain analyze select json('1')"]
    client = clients.connect("transaction")
    for sql in attempts:
        assert CANARY.decode() in postgres16.psql(sql, dbname="sessions") or sql.startswith("explain"), sql
        ready = client.ready_count
        client.send(f.query(sql), *run(sql), f.sync())
        client.read_until_ready(ready + 2)
    assert [error["C"] for error in errors(client)] == ["42501"] * 2 * len(attempts)
    assert CANARY not in b"".join(one.body for one in client.replies)
    client.query("select json_object('{a,1}'), json_agg(id) from orders")
    client.close()


@pytest.mark.parametrize("kind", ["database", "true"])
def test_a_replication_connection_whose_sql_nobody_would_see_is_refused(clients: Clients, kind: str) -> None:
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": "session", "replication": kind}))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", "42501")
    assert "replication" in error["M"]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_an_honest_path_refuses_nothing(clients: Clients, mode: str) -> None:
    client = clients.connect(mode)
    client.query("begin")
    client.query("set local search_path = app, public")
    client.query("select * from latest")
    client.query("select id from orders")
    client.query("commit")
    assert client.query("select value from secret") == [("decoy",)]
    client.query("set lock_timeout = '5s'")
    client.query("begin")
    client.query("create table made_here (id int primary key, a text default 'x')")
    client.query("create index on made_here (a)")
    client.query("alter table made_here add column b int references orders (id)")
    client.query("create table made_too (id serial)")
    client.query("insert into made_here values (1)")
    assert client.query("select a from made_here") == [("x",)]
    client.query("rollback")
    client.send_goodbye()
