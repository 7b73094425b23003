"""The admin console as its users see it: psql's protocol and the drivers', under load."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from pooler.console.columns import COLUMNS, OLDER_COLUMNS
from tests.support import frontend
from tests.support.backend import Reply
from tests.support.frontend import Frontend
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, crowd, errors, pid_of, tags, upstream
from tests.support.proxy import Proxy, Value, run_proxy
from tests.support.watch import Gate, wait_until
from tests.support.wire import WireClient

DATABASE = "console"
POOL_SIZE = 3


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    tables: dict[str, dict[str, Value]] = {
        "server": {
            "admin_users": ["postgres"],
            "stats_users": ["viewer"],
            "default_pool_size": POOL_SIZE,
            "stats_period": 1,
            "max_client_conn": 60,
        },
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
        "databases.other": {"primary": upstream(postgres18, DATABASE)},
        "users.viewer": {"pool_mode": "session"},
    }
    with run_proxy(tables) as made:
        yield made
    postgres18.drop_database(DATABASE)


@pytest.fixture
def console(clients: Clients) -> WireClient:
    return clients.connect("pgbouncer")


Shown = list[dict[str, str | None]]


def show(console: WireClient, what: str) -> Shown:
    """The rows, by the columns' names as they came."""
    start = len(console.replies)
    rows = console.query(f"SHOW {what}")
    (description,) = [reply for reply in console.replies[start:] if reply.tag == b"T"]
    return [dict(zip(names_of(description), row, strict=True)) for row in rows]


def names_of(description: Reply) -> list[str]:
    body, position, names = description.body, 2, []
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(0, position)
        names.append(body[position:end].decode())
        position = end + 19
    return names


def ask(client: WireClient, *messages: Frontend) -> None:
    """Send this, and wait for one more ReadyForQuery."""
    ready = client.ready_count
    client.send(*messages)
    client.read_until_ready(ready + 1)


def row_of(rows: Shown, **wanted: str) -> dict[str, str | None]:
    (row,) = [row for row in rows if wanted.items() <= row.items()]
    return row


_OF_APP = {"DATABASES": {"name": "app"}, "STATS": {"database": "app"}}


@pytest.mark.parametrize("name", sorted(COLUMNS))
@pytest.mark.parametrize("database", ["pgbouncer", "interceptor"])
def test_every_show_command_has_its_columns(clients: Clients, database: str, name: str) -> None:
    console = clients.connect(database, client_encoding="UTF8")
    console.query(f"SHOW {name};")
    description = next(reply for reply in console.replies if reply.tag == b"T")
    assert names_of(description) == [column for column, _ in COLUMNS[name]]
    assert console.replies[-2].body == b"SHOW\0"


@pytest.mark.parametrize("name", sorted(OLDER_COLUMNS))
def test_who_tells_nothing_of_himself_is_shown_older_names_too(clients: Clients, name: str) -> None:
    """A monitor that maps both names to one metric fails where both are there."""
    clients.connect("app").query("select 1")
    named = row_of(show(clients.connect("pgbouncer", client_encoding="UTF8"), name), **_OF_APP[name])
    nameless = row_of(show(clients.connect("pgbouncer"), name), **_OF_APP[name])
    ((older, _),) = OLDER_COLUMNS[name]
    assert list(nameless) == [*named, older]
    assert (
        nameless[older] == nameless[{"reserve_pool": "reserve_pool_size", "total_requests": "total_query_count"}[older]]
    )


def test_pools_where_all_but_a_few_wait(clients: Clients, console: WireClient, postgres18: PostgresServer) -> None:
    def pool() -> dict[str, str | None]:
        return row_of(show(console, "POOLS"), database="app")

    members = [clients.connect("app") for _ in range(20)]
    with Gate(postgres18, DATABASE) as gate:
        for member in members:
            member.send(frontend.query(f"select {gate.sql}"))
        gate.wait_for(POOL_SIZE)
        wait_until(lambda: pool()["cl_waiting"] == str(20 - POOL_SIZE), "all but those at work wait")
        wait_until(
            lambda: int(pool()["maxwait_us"] or 0) + 1_000_000 * int(pool()["maxwait"] or 0) > 0, "the longest wait"
        )
        row = pool()
        assert (row["cl_active"], row["sv_active"], row["sv_idle"]) == (str(POOL_SIZE), str(POOL_SIZE), "0")
        assert row["pool_mode"] == "transaction"
        states = [one["state"] for one in show(console, "CLIENTS") if one["database"] == "app"]
        assert sorted(states, key=str) == ["active"] * POOL_SIZE + ["waiting"] * (20 - POOL_SIZE)
        servers = [row["database"] for row in show(console, "SERVERS")]
        assert servers.count("app") == POOL_SIZE
        lists = {row["list"]: row["items"] for row in show(console, "LISTS")}
        assert (lists["used_clients"], lists["used_servers"]) == ("21", str(len(servers)))
        assert row_of(show(console, "DATABASES"), name="app")["current_client_connections"] == "20"
        assert row_of(show(console, "USERS"), name="postgres")["current_connections"] == str(len(servers))
        gate.open()
        for member in members:
            member.read_until_ready(2)


def test_statistics_are_what_happened(clients: Clients, console: WireClient, postgres18: PostgresServer) -> None:
    def totals() -> dict[str, int]:
        row = row_of(show(console, "STATS_TOTALS"), database="other")
        return {name: int(value or 0) for name, value in row.items() if name != "database"}

    client = clients.connect("other")
    client.query("select 1")
    before = totals()
    # Not by pg_sleep, which goes by the time of day: where that is set forward it returns too early.
    with Gate(postgres18, DATABASE) as gate:
        texts = ["begin", f"select {gate.sql}", "commit"]
        client.query(texts[0])
        client.send(frontend.query(texts[1]))
        gate.wait_for()
        began = time.monotonic()
        totals()  # takes its time
        held = time.monotonic() - began
        gate.open()
        client.read_until_ready(4)
        client.query(texts[2])
    client.query("select 2")
    after = totals()
    grown = {name: after[name] - before[name] for name in after}
    assert (grown["query_count"], grown["xact_count"], grown["server_assignment_count"]) == (4, 2, 2)
    assert grown["query_time"] >= held * 1_000_000
    assert grown["xact_time"] >= grown["query_time"]
    assert grown["bytes_received"] == sum(len(frontend.query(sql).data) for sql in (*texts, "select 2"))
    assert grown["bytes_sent"] > 100


def test_rest_in_a_transaction_is_transaction_time_and_no_query_time(clients: Clients, console: WireClient) -> None:
    client = clients.connect("other", "viewer")
    client.query("begin")
    console.query("SHOW VERSION")
    before = row_of(show(console, "STATS"), database="other")
    wait_until(
        lambda: row_of(show(console, "CLIENTS"), user="viewer")["state"] == "active", "the client has its backend"
    )
    client.query("select 1")
    client.query("commit")
    after = row_of(show(console, "STATS"), database="other")
    transaction = int(after["total_xact_time"] or 0) - int(before["total_xact_time"] or 0)
    query = int(after["total_query_time"] or 0) - int(before["total_query_time"] or 0)
    assert 0 < query < transaction


def test_averages_are_of_the_last_period(proxy: Proxy, console: WireClient) -> None:
    with crowd(proxy, "app", 5, "select pg_sleep(0.01)"):
        wait_until(
            lambda: int(row_of(show(console, "STATS"), database="app")["avg_query_time"] or 0) >= 10_000,
            "the averages are of a period with load",
        )
        row = row_of(show(console, "STATS_AVERAGES"), database="app")
    assert int(row["xact_count"] or 0) > 0
    assert int(row["query_time"] or 0) >= 10_000


def test_prepared_statements_are_counted(clients: Clients, console: WireClient) -> None:
    client = clients.connect("other")
    before = row_of(show(console, "STATS_TOTALS"), database="other")
    ask(client, frontend.parse("select 1", "one"), frontend.sync())
    for _ in range(3):
        ask(client, frontend.bind(statement="one"), frontend.execute(), frontend.sync())
    after = row_of(show(console, "STATS_TOTALS"), database="other")
    names = ("client_parse_count", "server_parse_count", "bind_count")
    assert [int(after[name] or 0) - int(before[name] or 0) for name in names] == [1, 1, 3]
    assert row_of(show(console, "CLIENTS"), database="other", prepared_statements="1")["state"] == "idle"


def test_a_client_and_its_server_are_linked(clients: Clients, console: WireClient) -> None:
    client = clients.connect("app", application_name="linked")
    pid = pid_of(client)
    client.query("begin")
    seen = row_of(show(console, "CLIENTS"), application_name="linked")
    server = row_of(show(console, "SERVERS"), remote_pid=str(pid))
    assert (seen["link"], server["link"]) == (server["ptr"], seen["ptr"])
    assert (seen["addr"], seen["port"]) == (client.address[0], str(client.address[1]))
    assert (seen["state"], server["state"], server["application_name"]) == ("active", "active", "linked")


def test_pins_are_shown_by_reason(clients: Clients, console: WireClient) -> None:
    client = clients.connect("app")
    client.query("create temp table mine (id int)")
    wait_until(lambda: bool(show(console, "PINS")), "the backend has been asked what it was left with")
    row = row_of(show(console, "PINS"), database="app")
    assert row["clients"] == "1"
    assert int(row["oldest"] or 0) < 1000, "seconds, not microseconds"
    assert "temporary" in (row["reason"] or "")
    client.close()
    wait_until(lambda: not show(console, "PINS"), "nothing is pinned any more")


# --- Who may -----------------------------------------------------------------------------------------------------


def test_only_named_users_get_in(clients: Clients) -> None:
    with pytest.raises(LoginFailed, match='"stranger" may not use the admin console: not allowed'):
        clients.connect("pgbouncer", "stranger")


def test_a_stats_user_may_look_and_nothing_else(clients: Clients) -> None:
    console = clients.connect("interceptor", "viewer")
    assert console.query("SHOW POOLS")
    for command in ("PAUSE", "KILL app", "SHOW FDS"):
        ask(console, frontend.query(command))
        assert "admin access needed" in errors(console)[-1]["M"]
        assert errors(console)[-1]["C"] == "42501"
    assert console.query("SELECT 1") == [("1",)]


def test_the_console_has_room_where_clients_have_none(proxy: Proxy, clients: Clients) -> None:
    for _ in range(60):
        clients.connect("app")
    with pytest.raises(LoginFailed, match="too_many_clients"):
        clients.connect("app")
    assert len(show(clients.connect("pgbouncer"), "CLIENTS")) == 61


# --- Words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM t", "FOO", "SHOW", "SHOW NOTHING", "PAUSE a b", "KILL_CLIENT x", "DISABLE"]
)
def test_what_is_no_command_is_an_error_and_nothing_more(console: WireClient, sql: str) -> None:
    ask(console, frontend.query(sql))
    assert errors(console)[-1]["C"] == "42601"
    assert console.query("show version")


def test_several_statements_and_none(console: WireClient) -> None:
    start = len(console.replies)
    console.send(frontend.query("SHOW VERSION; SHOW STATE; -- end"), frontend.query("; "))
    console.read_until_ready(3)
    assert tags(console, start) == b"TDCTDDDCZIZ"


def test_help_is_a_notice(console: WireClient) -> None:
    start = len(console.replies)
    console.query("SHOW HELP")
    assert tags(console, start) == b"NCZ"
    assert b"WAIT_CLOSE" in console.replies[start].body


def test_transactions_of_drivers_are_humoured(console: WireClient) -> None:
    console.query("BEGIN")
    assert console.last_status == "T"
    ask(console, frontend.query("nonsense"))
    assert console.last_status == "E"
    ask(console, frontend.query("SHOW VERSION"))
    assert "ROLLBACK" in errors(console)[-1]["H"]
    console.query("ROLLBACK")
    assert console.last_status == "I"


def test_garbage_ends_the_console_alone(clients: Clients, console: WireClient) -> None:
    broken = clients.connect("pgbouncer")
    broken.send(frontend.copy_data(b"x"))
    broken.read_to_end()
    assert errors(broken)[-1]["C"] == "08P01"
    assert console.query("SHOW VERSION")


# --- Drivers -----------------------------------------------------------------------------------------------------


async def test_asyncpg(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.dsn("pgbouncer"))
    try:
        rows = await connection.fetch("SHOW DATABASES")
        assert {row["name"] for row in rows} >= {"app", "other", "pgbouncer"}
        assert next(row["pool_size"] for row in rows if row["name"] == "app") == POOL_SIZE
        statement = await connection.prepare("SHOW LISTS")
        assert [attribute.name for attribute in statement.get_attributes()] == ["list", "items"]
        async with connection.transaction():
            assert [row["list"] async for row in statement.cursor(prefetch=2)][:2] == ["databases", "users"]
        assert await connection.fetchval("SELECT 1") == 1
        assert await connection.execute("SHOW VERSION") == "SHOW"
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.fetch("SELECT * FROM t WHERE id = 1")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("nonsense")
        assert await connection.fetch("SHOW POOLS")
    finally:
        await connection.close()


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_psycopg(proxy: Proxy, autocommit: bool, binary: bool) -> None:
    with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=autocommit) as connection:
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SHOW STATS", prepare=True)
            assert [column.name for column in cursor.description or ()][:2] == [
                "database",
                "total_server_assignment_count",
            ]
            assert cursor.fetchall()
            cursor.execute("SHOW CLIENTS")
            assert any(row[2] == "pgbouncer" for row in cursor.fetchall())


def test_rows_come_in_portions_where_that_is_asked_for(console: WireClient) -> None:
    start = len(console.replies)
    console.send(frontend.parse("SHOW LISTS"), frontend.bind(), frontend.describe_portal())
    console.send(frontend.execute(rows=10), frontend.execute(rows=10), frontend.sync())
    console.read_until_ready(2)
    assert tags(console, start) == b"12T" + b"D" * 10 + b"s" + b"D" * 4 + b"CZ"


def test_an_error_skips_to_the_sync(console: WireClient) -> None:
    start = len(console.replies)
    console.send(frontend.parse("nonsense"), frontend.bind(), frontend.execute(), frontend.sync())
    console.send(frontend.parse(""), frontend.bind(), frontend.describe_portal(), frontend.execute())
    console.send(frontend.sync())
    console.read_until_ready(3)
    assert tags(console, start) == b"EZ12nIZ"


# --- Statements --------------------------------------------------------------------------------------------------


def test_queries_are_counted_once_that_is_asked_for(clients: Clients, console: WireClient) -> None:
    clients.connect("other").query("select 'before'")
    assert show(console, "QUERIES") == []
    console.query("SET query_statistics = 50")
    client = clients.connect("other")
    for number in range(3):
        assert client.query(f"select {number} from generate_series(1, 2)") == [(str(number),)] * 2
    ask(
        client,
        frontend.parse("select 7 from generate_series(1, 2)"),
        frontend.bind(),
        frontend.execute(),
        frontend.sync(),
    )
    ask(client, frontend.query("select 1 / 0"))
    rows = {row["query"]: row for row in show(console, "QUERIES")}
    row = rows["select $1 from generate_series ($2, $3)"]
    assert (row["database"], row["user"], row["calls"], row["rows"], row["errors"]) == (
        "other",
        "postgres",
        "4",
        "8",
        "0",
    )
    assert 0 < int(row["p50_us"] or 0) <= int(row["p99_us"] or 0) <= int(row["max_us"] or 0)
    assert rows["select $1 / $2"]["errors"] == "1"
    for behind in ([], [frontend.bind(), frontend.execute()]):
        ask(client, frontend.parse("select a from nowhere"), *behind, frontend.sync())
    rows = {row["query"]: row for row in show(console, "QUERIES")}
    assert (rows["select a from nowhere"]["calls"], rows["select a from nowhere"]["errors"]) == ("2", "2")
    assert "before" not in str(rows)
    console.query("reset queries")
    assert show(console, "QUERIES") == []
    console.query("SET query_statistics = 0")
    assert show(console, "QUERIES") == []
    assert client.query("select 1") == [("1",)]
