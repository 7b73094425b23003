"""Settings and roles follow their client, also where backends die, roles go, and settings hinder who follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import psutil
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import row_values
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient

DATABASE = "session_settings"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql(
        "create role ss_worker login; create role ss_reader; create role ss_writer;"
        "grant ss_reader, ss_writer to ss_worker;"
        "create table secrets (owner text default current_user, v text); alter table secrets enable row level security;"
        "create policy own on secrets using (owner = current_user and v = current_setting('app.tenant', true));"
        "grant all on secrets to ss_reader, ss_writer;"
        "insert into secrets select r, t from unnest(array['ss_reader', 'ss_writer']) r, unnest(array['a', 'b']) t",
        dbname=DATABASE,
    )
    tables: Tables = {
        # Backends are counted and watched here: one that is asked what a statement did is not free yet.
        "server": {"catalogue": False},
        "databases.one": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.two": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.worker": {"primary": upstream(server, DATABASE, "ss_worker"), "pool_size": 1},
        "databases.crowd": {"primary": upstream(server, DATABASE, "ss_worker"), "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)
    server.psql("drop role ss_worker, ss_reader, ss_writer")


@pytest.fixture
def kill_backends(proxy: Proxy, activity: Activity, postgres18: PostgresServer) -> Callable[[], None]:
    """Call it to end all backends of the database, as an administrator does, and to wait until the proxy knows."""

    def has_backends() -> bool:
        connections = psutil.Process(proxy.pid).net_connections("tcp")
        return any(bool(each.raddr) and each.raddr.port == postgres18.port for each in connections)

    def kill() -> None:
        for pid in activity.pids():
            activity.terminate(pid)
        wait_until(lambda: not has_backends(), "the proxy has closed its ends")

    return kill


def status(client: WireClient, name: str) -> str:
    """What the client was told of this setting last."""
    told = [reply.fields()[0].split("=", 1) for reply in client.replies if reply.tag == b"S"]
    return [value for known, value in told if known == name][-1].strip("'")


def test_roles_and_settings_of_an_ordinary_user_cross_in_no_protocol(clients: Clients) -> None:
    """The first milestone: SET, a named prepared statement and SET ROLE of two clients over a pool of one."""
    wanted = {}
    for role, tenant in (("ss_reader", "a"), ("ss_writer", "b")):
        client = clients.connect("worker")
        client.query(f"set role {role}")
        client.query(f"set app.tenant = '{tenant}'")
        client.send(f.parse("select owner || v from secrets", "s"), f.sync())
        client.read_until_ready(client.ready_count + 1)
        wanted[client] = role + tenant
    for _ in range(3):
        for client, row in wanted.items():
            assert client.query("select owner || v from secrets") == [(row,)]
            seen, ready = len(client.replies), client.ready_count
            client.send(f.bind(statement="s"), f.execute(), f.sync())
            client.read_until_ready(ready + 1)
            rows = [row_values(reply) for reply in client.replies[seen:] if reply.tag == b"D"]
            assert rows == [(row.encode(),)]


def test_settings_come_along_to_a_backend_that_is_new(clients: Clients, kill_backends: Callable[[], None]) -> None:
    client, other = [clients.connect("one", TimeZone="Europe/Warsaw") for _ in range(2)]
    client.query("set work_mem = '5MB'; set app.tenant = 'it''s mine'; set role ss_reader; set datestyle = german")
    look = "select current_setting('work_mem'), current_setting('app.tenant'), current_user, date '2020-02-01'::text"
    for _ in range(2):
        # Once another has had the backend, it has been asked what the client left there.
        other.query("select 1")
        kill_backends()
        assert client.query(look) == [("5MB", "it's mine", "ss_reader", "01.02.2020")]
        assert client.query("show timezone") == [("Europe/Warsaw",)]
    client.query("reset all; reset role")
    other.query("select 1")
    kill_backends()
    assert client.query("select current_setting('work_mem'), current_user") == [("4MB", "postgres")]
    assert client.query("show timezone") == [("Europe/Warsaw",)]


def test_prepared_statements_come_along_to_a_backend_that_is_new(
    clients: Clients, kill_backends: Callable[[], None]
) -> None:
    client = clients.connect("one")
    client.query("set timezone = 'Asia/Tokyo'")
    client.send(f.parse("select timestamptz '2020-01-01 12:00'", "s"), f.sync())
    client.read_until_ready(client.ready_count + 1)
    client.query("set timezone = 'UTC'")
    for _ in range(2):
        clients.connect("one").query("select 1")
        kill_backends()
        seen, ready = len(client.replies), client.ready_count
        client.send(f.bind(statement="s"), f.execute(), f.sync())
        client.read_until_ready(ready + 1)
        rows = [row_values(reply) for reply in client.replies[seen:] if reply.tag == b"D"]
        # What PostgreSQL answers: the literal was read in Tokyo.
        assert rows == [(b"2020-01-01 03:00:00+00",)]


def test_each_client_is_told_of_its_own_settings(clients: Clients) -> None:
    """Trap 21."""
    zones = ["Asia/Tokyo", "Europe/Warsaw", "America/Lima", "UTC"]
    members = [clients.connect("two") for _ in zones]
    for client, zone in zip(members, zones, strict=True):
        client.query(f"set timezone = '{zone}'; set application_name = 'in {zone}'")
    for _ in range(3):
        for client, zone in zip(members, zones, strict=True):
            before = len(client.replies)
            assert client.query("select current_setting('timezone')") == [(zone,)]
            assert status(client, "TimeZone") == zone
            assert status(client, "application_name") == f"in {zone}"
            # What has not changed for it, it is not told again.
            assert not [reply for reply in client.replies[before:] if reply.tag == b"S"]


def test_a_role_that_was_dropped_meanwhile(clients: Clients, postgres18: PostgresServer) -> None:
    postgres18.psql("create role ss_fleeting")
    client, other = clients.connect("one"), clients.connect("one")
    client.query("set role ss_fleeting")
    assert other.query("select current_user") == [("postgres",)]
    postgres18.psql("drop role ss_fleeting")
    client.send(f.query("select current_user"))
    client.read_until(lambda: bool(errors(client)))
    # The role can't be taken on any more. To go on as somebody else would be wrong, perhaps with more rights even.
    assert errors(client)[0]["C"] in ("08006", "22023", "42704")
    assert not [reply for reply in client.replies if reply.tag == b"D"]
    for _ in range(3):
        assert other.query("select current_user") == [("postgres",)]


def test_a_role_that_was_revoked_meanwhile(clients: Clients, postgres18: PostgresServer) -> None:
    postgres18.psql("create role ss_lent; grant ss_lent to ss_worker")
    try:
        client, other = clients.connect("worker"), clients.connect("worker")
        client.query("set role ss_lent")
        assert other.query("select current_user") == [("ss_worker",)]
        postgres18.psql("revoke ss_lent from ss_worker")
        client.send(f.query("select current_user"))
        client.read_until(lambda: bool(errors(client)))
        assert not [reply for reply in client.replies if reply.tag == b"D"]
        assert other.query("select current_user") == [("ss_worker",)]
    finally:
        postgres18.psql("drop role ss_lent")


def test_defaults_of_the_role_that_change_are_those_of_new_sessions(
    clients: Clients, kill_backends: Callable[[], None], postgres18: PostgresServer
) -> None:
    client, other = clients.connect("worker"), clients.connect("worker")
    client.query("set work_mem = '5MB'")
    try:
        postgres18.psql("alter role ss_worker set work_mem = '9MB'; alter role ss_worker set datestyle = 'German'")
        assert other.query("show work_mem") == [("4MB",)]
        assert client.query("show work_mem") == [("5MB",)]
        assert client.query("show datestyle") == [("ISO, MDY",)]
        kill_backends()
        # Its own value has not changed, whatever a session starts with now.
        assert client.query("show work_mem") == [("5MB",)]
        late = clients.connect("worker")
        assert late.query("show work_mem") == [("9MB",)]
        assert status(late, "DateStyle") == late.query("show datestyle")[0][0]
        # What a client was told of a reported setting holds, or it is told anew.
        for each in (client, other, late):
            assert each.query("show datestyle") == [(status(each, "DateStyle"),)]
    finally:
        postgres18.psql("alter role ss_worker reset all")
        kill_backends()


@pytest.mark.parametrize("how", ["set statement_timeout = '1ms'", "do $$ begin set statement_timeout = '1ms'; end $$"])
def test_a_short_timeout_of_one_client_ends_nothing_of_others(clients: Clients, how: str) -> None:
    hasty, other = clients.connect("one"), clients.connect("one")
    hasty.query(how)
    for _ in range(5):
        assert other.query("select 1 from pg_sleep(0.05)") == [("1",)]
        # Its own statement may take too long, though it hardly will; its connection stays.
        hasty.send(f.query("do $$ begin end $$"))
        hasty.read_until_ready(hasty.ready_count + 1)
        assert not hasty.closed
        assert {error["C"] for error in errors(hasty)} <= {"57014"}
    hasty.query("set statement_timeout = 0")
    assert hasty.query("select 1 from pg_sleep(0.05)") == [("1",)]


@pytest.mark.parametrize(
    "setting",
    [
        # Longer than what its own client needs here, however busy the machine is.
        "idle_session_timeout = '50s'",
        "idle_in_transaction_session_timeout = '50s'",
        "transaction_timeout = '50s'",
        "lock_timeout = '1ms'",
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "session_replication_role = replica",
        "row_security = off",
        "check_function_bodies = off",
        "enable_seqscan = off",
        "plan_cache_mode = force_generic_plan",
        "jit = on",
        "search_path = nowhere",
        "search_path = ''",
        "standard_conforming_strings = off",
        "client_encoding = sjis",
        "transform_null_equals = on",
        "quote_all_identifiers = on",
        "escape_string_warning = off",
        "backslash_quote = off",
        "xmloption = document",
        "array_nulls = off",
        "log_statement = 'all'",
        "temp_buffers = '1MB'",
        "constraint_exclusion = on",
        "debug_print_parse = on",
        "client_min_messages = debug5",
        "client_min_messages = error",
        "bytea_output = escape",
        "datestyle = 'sql, dmy'",
        "lc_messages = 'C'",
        "lc_numeric = 'C'",
        "max_stack_depth = '100kB'",
        "allow_system_table_mods = on",
        "zero_damaged_pages = on",
        "synchronous_commit = off",
        "default_tablespace = 'pg_default'",
        "default_text_search_config = 'pg_catalog.german'",
        "log_min_messages = debug5",
        "track_activities = off",
        "trace_notify = on",
        "default_toast_compression = 'pglz'",
        "geqo = off",
        "session_authorization = ss_worker",
        "role = ss_reader",
    ],
)
def test_whatever_one_client_sets_is_its_own(clients: Clients, setting: str) -> None:
    """And does not hinder who has to find out what it set: by its text, and where the text doesn't tell."""
    name = setting.split(" ")[0]
    owner, other = clients.connect("two"), clients.connect("two")
    look = f"select current_setting('{name}')"
    plain = other.query(look)
    for change in (f"set {setting}", f"do $do$ begin set {setting}; end $do$"):
        owner.query(change)
        seen = owner.query(look)
        for _ in range(3):
            before = len(other.replies)
            assert other.query(look) == plain
            assert not [reply for reply in other.replies[before:] if reply.tag == b"N"]
            assert owner.query(look) == seen
        owner.query("reset session authorization; reset role; reset all")
        assert owner.query(look) == plain


def test_an_idle_session_timeout_ends_at_most_its_own_client(clients: Clients, activity: Activity) -> None:
    hasty, other = clients.connect("one"), clients.connect("one")
    hasty.query("set idle_session_timeout = '20ms'")
    wait_until(lambda: not activity.pids("AND state = 'idle' AND query ~ 'idle_session_timeout'"))
    for _ in range(3):
        assert other.query("select 1") == [("1",)]


def test_a_custom_setting_of_a_megabyte(clients: Clients) -> None:
    owner, other = clients.connect("two"), clients.connect("two")
    owner.query(f"set app.tenant = '{'x' * 1_000_000}'")
    for _ in range(2):
        assert owner.query("select length(current_setting('app.tenant'))") == [("1000000",)]
        assert other.query("select coalesce(current_setting('app.tenant', true), '')") == [("",)]


def test_thousands_of_custom_settings(clients: Clients) -> None:
    owner, other = clients.connect("two"), clients.connect("two")
    for start in range(0, 3000, 100):
        owner.query("; ".join(f"set app.n{number} = '{number}'" for number in range(start, start + 100)))
    for number in (0, 1, 999, 1500, 2999):
        assert owner.query(f"select current_setting('app.n{number}', true)") == [(str(number),)]
        assert other.query(f"select coalesce(current_setting('app.n{number}', true), '')") == [("",)]


def test_drivers_keep_what_they_set(proxy: Proxy) -> None:
    """psycopg and asyncpg read dates and times by what they are told of the settings."""
    dsn = proxy.dsn("one")

    async def with_asyncpg() -> None:
        first = await asyncpg.connect(dsn, server_settings={"timezone": "Asia/Tokyo"})
        second = await asyncpg.connect(dsn)
        await second.execute("set timezone = 'America/Lima'")
        for _ in range(3):
            assert await first.fetchval("select timestamptz '2020-01-01 12:00' at time zone 'UTC'::text") is not None
            assert first.get_settings().TimeZone == await first.fetchval("show timezone") == "Asia/Tokyo"
            assert second.get_settings().TimeZone == await second.fetchval("show timezone") == "America/Lima"
        await first.close()
        await second.close()

    asyncio.run(with_asyncpg())
    with psycopg.connect(dsn, autocommit=True) as first, psycopg.connect(dsn, autocommit=True) as second:
        first.execute("set timezone = 'Asia/Tokyo'")
        second.execute("set timezone = 'America/Lima'")
        for _ in range(8):
            for connection, zone in ((first, "Asia/Tokyo"), (second, "America/Lima")):
                row = connection.execute(
                    "select timestamptz '2020-01-01 12:00', current_setting('timezone')"
                ).fetchone()
                assert row is not None
                assert str(row[0].tzinfo) == row[1] == zone
                assert (row[0].hour, str(connection.info.timezone)) == (12, zone)
