"""``lastval()`` and ``currval()`` outside of the transaction that set them: one's own value or error 55000."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import row_values
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity
from tests.support.wire import Endpoint, WireClient

DATABASE = "sequences"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql(
        "create table item (id serial primary key, v text); create table other (id int generated always as identity);"
        "create table logged (v text); create sequence s;"
        "create function log() returns trigger language plpgsql as $$begin insert into item (v) values (new.v);"
        " return new; end$$;"
        "create trigger log after insert on logged for each row execute function log();"
        "create function take() returns bigint language sql as $$select nextval('s')$$;"
        "create function last() returns bigint language sql as $$select lastval()$$",
        dbname=DATABASE,
    )
    tables: Tables = {
        "databases.one": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.two": {"primary": upstream(server, DATABASE), "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


def ask(client: WireClient, sql: str, protocol: str = "simple") -> str:
    """The first value, or the SQLSTATE in brackets."""
    seen, ready = len(client.replies), client.ready_count
    if protocol == "simple":
        client.send(f.query(sql))
    elif protocol == "extended":
        client.send(f.parse(sql), f.bind(), f.execute(), f.sync())
    else:
        client.send(f.close_statement("q"), f.parse(sql, "q"), f.bind(statement="q"), f.execute(), f.sync())
    client.read_until_ready(ready + 1)
    if failed := errors(client, seen):
        return f"({failed[0]['C']})"
    values = [row_values(reply)[0] for reply in client.replies[seen:] if reply.tag == b"D"]
    return (values[0] or b"").decode() if values else ""


WRITES = {
    "serial column": ("insert into item (v) values ('x')", "select currval('item_id_seq')"),
    "identity column": ("insert into other default values", "select currval(pg_get_serial_sequence('other', 'id'))"),
    "trigger": ("insert into logged values ('x')", "select currval('item_id_seq')"),
    "nextval": ("select nextval('s')", "select currval('s')"),
    "setval": ("select setval('s', 1000)", "select currval('s')"),
    "function": ("select take()", "select currval('s')"),
    "DO": ("do $$ begin perform nextval('s'); end $$", "select currval('s')"),
    "copy": (
        "with i as (insert into item (v) select 'y' from generate_series(1, 3) returning 1) select count(*) from i",
        "select currval('item_id_seq')",
    ),
}
READS = (
    "select lastval()",
    "select last()",
    "do $$ begin perform lastval(); end $$",
    "select lastval() from item limit 1",
)


@pytest.mark.parametrize("protocol", ["simple", "extended", "named"])
@pytest.mark.parametrize("write", WRITES)
def test_nobody_sees_the_value_of_another(clients: Clients, write: str, protocol: str) -> None:
    statement, current = WRITES[write]
    for _ in range(2):
        writer, reader = clients.connect("one"), clients.connect("one")
        assert not ask(writer, statement, protocol).startswith("(")
        for read in (*READS, current):
            assert ask(reader, read, protocol) == "(55000)"


@pytest.mark.parametrize("protocol", ["simple", "extended", "named"])
@pytest.mark.parametrize("write", WRITES)
def test_one_sees_its_own_value_or_none(clients: Clients, write: str, protocol: str) -> None:
    statement, current = WRITES[write]
    first, second = clients.connect("one"), clients.connect("one")
    ask(first, statement, protocol)
    # setval() leaves nothing for lastval() (sequence.c, do_setval).
    for read in (current,) if write == "setval" else ("select lastval()", current):
        ask(first, "begin", protocol)
        ask(first, statement, protocol)
        mine = ask(first, read, protocol)
        assert mine.isdigit()
        ask(first, "commit", protocol)
        assert ask(first, read, protocol) in (mine, "(55000)")
        ask(second, statement, protocol)
        assert ask(first, read, protocol) in (mine, "(55000)")


def test_in_its_transaction_one_sees_its_own_value(clients: Clients) -> None:
    first, second = clients.connect("one"), clients.connect("one")
    for _ in range(3):
        for client in (first, second):
            seen, ready = len(client.replies), client.ready_count
            client.send(
                *(f.parse("insert into item (v) values ('x') returning id"), f.bind(), f.execute()),
                *(f.parse("select lastval()"), f.bind(), f.execute(), f.sync()),
            )
            client.read_until_ready(ready + 1)
            inserted, last = [row_values(reply)[0] for reply in client.replies[seen:] if reply.tag == b"D"]
            assert inserted == last
            one, two = client.query("insert into item (v) values ('x') returning id; select lastval()")
            assert one == two
            client.query("begin")
            [inserted_again] = client.query("insert into item (v) values ('x') returning id")
            assert client.query("select lastval()") == [inserted_again]
            client.query("rollback")


def test_a_batch_that_asks_behind_something_harmless(clients: Clients) -> None:
    writer, reader = clients.connect("one"), clients.connect("one")
    for first in (
        "select 1",
        "select v from item limit 1",
        "show timezone",
        "insert into logged select 'x' where false",
    ):
        ask(writer, "insert into item (v) values ('x')")
        seen, ready = len(reader.replies), reader.ready_count
        reader.send(*(f.parse(first), f.bind(), f.execute()), *(f.parse("select lastval()"), f.bind(), f.execute()))
        reader.send(f.sync())
        reader.read_until_ready(ready + 1)
        assert [error["C"] for error in errors(reader, seen)] == ["55000"]
        assert ask(writer, "insert into item (v) values ('x'); select 1; select lastval()").isdigit()
        assert ask(reader, f"{first}; select lastval()") == "(55000)"


def test_a_value_of_ones_own_that_is_out_of_date(
    clients: Clients, activity: Activity, postgres18: PostgresServer
) -> None:
    """A backend that the client comes back to has a value of its own, but not its last."""
    client, holder, other = clients.connect("two"), clients.connect("two"), clients.connect("two")
    with WireClient.connect(Endpoint(postgres18.host, postgres18.port, DATABASE)) as lock:
        lock.query("select pg_advisory_lock(1), pg_advisory_lock(2)")
        ask(client, "insert into item (v) values ('old')")
        # Each keeps a backend at work, without a transaction block and with nothing that could touch a sequence.
        holder.send(f.query("select pg_advisory_xact_lock(1)"))
        activity.wait_for_query("pg_advisory_xact_lock(1)")
        new = ask(client, "insert into item (v) values ('new') returning id")
        other.send(f.query("select pg_advisory_xact_lock(2)"))
        activity.wait_for_query("pg_advisory_xact_lock(2)")
        lock.query("select pg_advisory_unlock(1)")
        holder.read_until_ready(2)
        assert ask(client, "select lastval()") in (new, "(55000)")
        lock.query("select pg_advisory_unlock(2)")
        other.read_until_ready(2)


def test_a_backend_that_changes_hands_between_the_insert_and_the_question(clients: Clients) -> None:
    """The client comes back to a backend that another has used: nothing there is its own any more."""
    first, second, holder = clients.connect("two"), clients.connect("two"), clients.connect("two")
    for _ in range(2):
        mine = ask(first, "insert into item (v) values ('mine') returning id")
        holder.query("begin")
        theirs = ask(second, "insert into item (v) values ('theirs') returning id")
        assert mine != theirs
        assert ask(first, "select lastval()") in (mine, "(55000)")
        assert ask(second, "select lastval()") in (theirs, "(55000)")
        holder.query("rollback")
        assert ask(holder, "select lastval()") == "(55000)"


def test_many_who_insert_and_ask_at_once(proxy: Proxy) -> None:
    """Each asks in a transaction of its own, and is told its own value or none."""
    wrong: list[str] = []

    def work(number: int) -> None:
        with Clients(proxy) as clients:
            client = clients.connect("two")
            mine = {"(55000)"}
            for _ in range(60):
                inserted = ask(client, f"insert into item (v) values ('{number}') returning id")
                mine = {inserted, "(55000)"}
                told = ask(client, "select lastval()")
                if told not in mine:
                    wrong.append(f"{number} inserted {inserted} and was told {told}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
