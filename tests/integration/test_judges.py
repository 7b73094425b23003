"""What the catalogue says decides which backends are asked: counted in the server's log, where each question stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "judged"
WORKER = "judged_worker"

SETUP = f"""
create role {WORKER} login superuser;
alter role {WORKER} set log_statement = 'all';
"""
WORLD = """
create table items (id int primary key, name text);
insert into items values (1, 'one');
create table audited (id int, name text);
create table chained (id int);
create function plain_sql(int) returns text language sql as 'select name from items where id = $1';
create function plain_plpgsql(a int) returns int language plpgsql as
  $$ declare n int; begin select count(*) into n from items where id <> a; return n + length(plain_sql(a)); end $$;
create function takes_next() returns int language plpgsql as $$ begin return 1; end $$;
create procedure tidy() language sql as 'delete from items where id < 0';
create function set_it() returns text language sql as $$ select set_config('work_mem', '5MB', false) $$;
create function on_audit() returns trigger language plpgsql as $$ begin perform set_it(); return new; end $$;
create trigger audit before insert on audited for each row execute function on_audit();
create function on_chain() returns trigger language plpgsql as
  $$ begin insert into audited values (new.id); return new; end $$;
create trigger chain after update on chained for each row execute function on_chain();
insert into chained values (1);
create view shows as select set_it() as it;
create function same(int, int) returns boolean language sql as 'select $1 = $2';
create operator === (function = same, leftarg = int, rightarg = int);
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    postgres18.psql(SETUP)
    postgres18.psql(WORLD, dbname=DATABASE)
    primary = upstream(postgres18, DATABASE, WORKER)
    tables: Tables = {
        "databases.one": {"primary": primary, "pool_size": 1},
        "databases.blind": {"primary": primary, "pool_size": 1, "catalogue": False},
    }
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database(DATABASE)
    postgres18.psql(f"drop role {WORKER}")


Questions = Callable[[], int]


@pytest.fixture
def questions(postgres18: PostgresServer) -> Questions:
    """How many questions backends of the pools have been asked since the last call."""
    start = len(postgres18.log_path.read_bytes())

    def count() -> int:
        nonlocal start
        text = postgres18.log_path.read_bytes()[start:]
        start += len(text)
        mark = f"{WORKER}@{DATABASE} LOG:  statement: WITH g AS MATERIALIZED".encode()
        return text.count(mark)

    return count


@pytest.fixture
def client(clients: Clients, questions: Questions) -> WireClient:
    """A client of a database that is known."""
    made = clients.connect("one")
    wait_until_known(made, questions)
    return made


def wait_until_known(client: WireClient, questions: Questions) -> None:
    def costs_nothing() -> bool:
        questions()
        client.query("select plain_sql(1)")
        client.query("select 1")  # the backend has been asked before it does this
        return questions() == 0

    wait_until(costs_nothing, "the catalogue is known", timeout=60)


HARMLESS = [
    "select plain_sql(1)",
    "select plain_plpgsql(1), takes_next()",
    "select public.plain_plpgsql(id) from items",
    "select 1 where 1 === 1",
    "select 1 operator(public.===) 1",
    "call tidy()",
    "insert into items values (2, 'two') on conflict do nothing",
    "select * from audited",
    "update audited set id = 2",
    "delete from audited",
    "insert into chained values (1)",
    "begin; select plain_sql(1); commit",
]


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_is_harmless_costs_no_question(client: WireClient, questions: Questions, sql: str) -> None:
    for _ in range(3):
        client.query(sql)
    client.query("select 1")
    assert questions() == 0


DANGEROUS = [
    "insert into audited values (1)",
    "INSERT INTO Public.Audited VALUES (1)",
    'insert into "audited" values (1)',
    "with w as (insert into audited values (1)) select 1",
    "update chained set id = 1",
    "select set_it()",
    "select it from shows",
    "copy (select * from shows) to stdout",
    "explain analyze insert into audited values (1)",
]


@pytest.mark.parametrize("sql", DANGEROUS)
def test_what_sets_is_asked_about_and_follows_its_client(
    client: WireClient, clients: Clients, questions: Questions, sql: str
) -> None:
    other = clients.connect("one")
    client.query(sql)
    assert other.query("show work_mem") == [("4MB",)]
    assert questions() == 1
    assert client.query("show work_mem") == [("5MB",)]


def test_without_the_catalogue_functions_are_asked_about(clients: Clients, questions: Questions) -> None:
    client = clients.connect("blind")
    questions()
    for _ in range(3):
        client.query("select plain_sql(1)")
    client.query("select 1")
    assert questions() == 3


def test_prepared_statements_are_judged_by_what_is_known_when_they_run(
    client: WireClient, clients: Clients, questions: Questions
) -> None:
    client.send(f.parse("select takes_next()", "s"), f.sync())
    client.read_until_ready(client.ready_count + 1)

    def run() -> None:
        ready = client.ready_count
        client.send(f.bind(statement="s"), f.execute(), f.sync())
        client.read_until_ready(ready + 1)

    run()
    client.query("select 1")
    assert questions() == 0
    other = clients.connect("one")
    other.query(
        "create or replace function takes_next() returns int language plpgsql as "
        "$$ begin perform set_it(); return 1; end $$"
    )
    run()
    assert other.query("show work_mem") == [("4MB",)]
    wait_until_known(other, questions)
    client.query("reset work_mem")
    run()
    assert other.query("show work_mem") == [("4MB",)]
    other.query("create or replace function takes_next() returns int language plpgsql as $$ begin return 1; end $$")
    wait_until_known(other, questions)
    questions()
    run()
    client.query("select 1")
    assert questions() == 0


def test_what_is_defined_here_holds_at_once(client: WireClient, clients: Clients, questions: Questions) -> None:
    other = clients.connect("one")
    for number in range(3):
        other.query(f"create table made_{number} (v text default set_config('work_mem', '6MB', false))")
        client.query(f"insert into made_{number} default values")
        assert other.query("show work_mem") == [("4MB",)]
        assert client.query("show work_mem") == [("6MB",)]
        client.query("reset work_mem")
    wait_until_known(other, questions)
    client.query("insert into made_1 default values")
    assert other.query("show work_mem") == [("4MB",)]


def test_what_is_defined_and_used_in_one_transaction(client: WireClient, clients: Clients) -> None:
    other = clients.connect("one")
    client.query("begin")
    client.query("create table within (v text default set_config('work_mem', '6MB', false))")
    client.query("insert into within default values")
    client.query("commit")
    assert other.query("show work_mem") == [("4MB",)]
    assert client.query("show work_mem") == [("6MB",)]


def test_what_is_defined_elsewhere_is_found_out(
    client: WireClient, clients: Clients, questions: Questions, postgres18: PostgresServer
) -> None:
    """A poll does, after 5 s or a little more."""
    postgres18.psql("create function elsewhere() returns int language sql as 'select 1'", dbname=DATABASE)

    def is_known() -> bool:
        questions()
        client.query("select elsewhere()")
        client.query("select 1")
        return questions() == 0

    wait_until(is_known, "the new function is known", timeout=30)
    postgres18.psql(
        "create or replace function elsewhere() returns int language sql as "
        "$$ select length(set_config('work_mem', '7MB', false)) $$",
        dbname=DATABASE,
    )
    wait_until(lambda: not is_known(), "it is known to set something", timeout=30)
    other = clients.connect("one")
    other.query("reset all")
    client.query("reset all")
    client.query("select elsewhere()")
    assert other.query("show work_mem") == [("4MB",)]
    assert client.query("show work_mem") == [("7MB",)]


def test_what_defines_nothing_costs_no_reading(client: WireClient, questions: Questions) -> None:
    client.query("create table if not exists items (id int)")
    wait_until_known(client, questions)
    client.query("begin; create table gone (id int); rollback")
    wait_until_known(client, questions)
