"""The first packet and what it asks for: encryption, versions, settings. Each client sees its own, always."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.conftest import FreshDatabase
from tests.support import frontend as f
from tests.support.backend import Reply
from tests.support.proxied import Clients, crowd, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity
from tests.support.wire import Endpoint, WireClient

DATABASE = "startup"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    tables: Tables = {
        "databases.one": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.two": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.session": {"primary": upstream(server, DATABASE), "pool_size": 1, "pool_mode": "session"},
        "databases.set_by_us": {
            "primary": upstream(server, DATABASE, timezone="Asia/Tokyo", options="-c work_mem=9MB"),
        },
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


@pytest.mark.parametrize(
    "requests",
    [[], [f.ssl_request()], [f.gssenc_request()], [f.gssenc_request(), f.ssl_request()]],
    ids=["none", "ssl", "gss", "gss_and_ssl"],
)
def test_requests_for_encryption_are_declined_and_plain_text_goes_on(
    clients: Clients, proxy: Proxy, requests: list[f.Frontend]
) -> None:
    """Trap 26."""
    client = clients.raw()
    for request in requests:
        assert client.ask_for_encryption(request) == b"N"
    client.log_in(Endpoint(proxy.host, proxy.port, "one"))
    assert client.query("select 1") == [("1",)]


@pytest.mark.parametrize("version", [f.PROTOCOL_3_0, 3 << 16 | 1, f.PROTOCOL_3_2, 3 << 16 | 9], ids=hex)
@pytest.mark.parametrize("options", [{}, {"_pq_.unheard_of": "x", "_pq_.another": ""}], ids=["plain", "options"])
def test_versions_and_protocol_options_are_negotiated_as_by_postgresql_18(
    clients: Clients, proxy: Proxy, postgres18: PostgresServer, version: int, options: dict[str, str]
) -> None:
    """Trap 26."""

    def negotiated(endpoint: Endpoint) -> tuple[list[Reply], int]:
        with WireClient.connect(endpoint, version=version, parameters=options) as client:
            return [reply for reply in client.replies if reply.tag == b"v"], len(client.key[1])

    direct = negotiated(Endpoint(postgres18.host, postgres18.port, DATABASE))
    assert negotiated(Endpoint(proxy.host, proxy.port, "one")) == direct


@pytest.mark.parametrize("version", [2 << 16, 4 << 16, 0], ids=hex)
def test_another_major_version_is_refused(clients: Clients, version: int) -> None:
    client = clients.raw()
    client.send(f.startup({"user": "postgres"}, version))
    client.read_to_end()
    assert [error["C"] for error in errors(client)] == ["0A000"]


def test_the_welcome_is_the_server_s_own(proxy: Proxy, postgres18: PostgresServer, clients: Clients) -> None:
    """Trap 21: the same ParameterStatus messages, for the same startup parameters."""
    parameters = {"application_name": "welcome", "TimeZone": "Europe/Rome", "datestyle": "German", "foo.bar": "baz"}

    def welcome(endpoint: Endpoint) -> set[Reply]:
        with WireClient.connect(endpoint, parameters=parameters) as client:
            return {reply for reply in client.replies if reply.tag == b"S"}

    direct = welcome(Endpoint(postgres18.host, postgres18.port, DATABASE))
    assert welcome(Endpoint(proxy.host, proxy.port, "one")) == direct


LOOK = (
    "select current_setting('TimeZone'), current_setting('client_encoding'), current_setting('application_name'),"
    " current_setting('DateStyle'), current_setting('search_path'), current_setting('work_mem'),"
    " current_setting('my.own', true)"
)
PLAIN = ("UTC", "UTF8", "", "ISO, MDY", '"$user", public', "4MB", None)
# What a client asks for, and what it then sees where that differs from PLAIN.
WISHES: list[tuple[dict[str, str], dict[int, str]]] = [
    ({}, {}),
    ({"TimeZone": "Asia/Kathmandu"}, {0: "Asia/Kathmandu"}),
    ({"client_encoding": "LATIN1"}, {1: "LATIN1"}),
    ({"application_name": "o'clock \"x\\"}, {2: "o'clock \"x\\"}),
    ({"DateStyle": "sql, dmy"}, {3: "SQL, DMY"}),
    ({"search_path": '"a, b", public'}, {4: '"a, b", public'}),
    ({"options": "-c work_mem=5MB"}, {5: "5MB"}),
    ({"options": "--work-mem=6MB -c my.own=a\\ b\\\\c"}, {5: "6MB", 6: "a b\\c"}),
    ({"my.own": "1", "work_mem": "7MB", "TimeZone": "CET"}, {0: "CET", 5: "7MB", 6: "1"}),
]


def seen_by(wish: dict[int, str]) -> tuple[str | None, ...]:
    return tuple(wish.get(number, plain) for number, plain in enumerate(PLAIN))


@pytest.mark.parametrize("database", ["one", "two"])
def test_clients_of_differing_startup_parameters_share_a_pool_and_each_sees_its_own(
    clients: Clients, database: str
) -> None:
    """Traps 20 and 21: a pool of one or two, and nine kinds of clients in turns."""
    members = [(clients.connect(database, parameters=wish), seen_by(seen)) for wish, seen in WISHES]
    for _ in range(2):
        for (client, expected), (other, other_expected) in itertools.pairwise(members):
            # Both are on their way at once.
            ready = client.ready_count
            client.send(f.query("select pg_sleep(0.001)"), f.query(LOOK))
            assert other.query(LOOK) == [other_expected]
            client.read_until_ready(ready + 2)
            assert client.query(LOOK) == [expected]
    # What the session returns to is what it began with.
    for client, expected in members:
        client.query("begin; set local work_mem = '70MB'; set local timezone = 'Asia/Tokyo'; commit")
        client.query("reset all")
        assert client.query(LOOK) == [expected]


def test_what_the_connection_string_sets_holds_unless_the_client_says_otherwise(clients: Clients) -> None:
    plain, own = clients.connect("set_by_us"), clients.connect("set_by_us", timezone="Asia/Seoul")
    assert plain.query("select current_setting('TimeZone'), current_setting('work_mem')") == [("Asia/Tokyo", "9MB")]
    assert own.query("select current_setting('TimeZone'), current_setting('work_mem')") == [("Asia/Seoul", "9MB")]


def test_a_crowd_of_one_kind_does_not_keep_another_kind_from_its_turn(proxy: Proxy, clients: Clients) -> None:
    other = clients.connect("one", TimeZone="Asia/Kathmandu")
    with crowd(proxy, "one", 4, "select pg_sleep(0.01)"):
        for _ in range(5):
            assert other.query("show timezone") == [("Asia/Kathmandu",)]


def told(client: WireClient) -> dict[str, str]:
    """What ParameterStatus messages have said last."""
    pairs = (reply.body.decode().split("\0")[:2] for reply in client.replies if reply.tag == b"S")
    return {name: value for name, value in pairs}


def test_a_setting_that_is_another_on_the_next_backend_is_reported_before_it_is_seen(
    postgres18: PostgresServer, fresh_database: FreshDatabase
) -> None:
    """Trap 21: somebody has changed the database's default since the client logged in."""
    database = fresh_database(postgres18)
    tables: Tables = {"databases.app": {"primary": upstream(postgres18, database), "pool_size": 1}}
    with run_proxy(tables) as running, Clients(running) as clients, Activity(postgres18, database) as activity:
        client = clients.connect("app")
        assert client.query("show timezone") == [("UTC",)]
        postgres18.psql(f"alter database {database} set timezone = 'Asia/Tokyo'")
        activity.terminate(activity.pids()[0])
        assert client.query("show timezone") == [(told(client)["TimeZone"],)]
        newcomer = clients.connect("app")
        assert newcomer.query("show timezone") == [(told(newcomer)["TimeZone"],)]


@pytest.mark.parametrize(
    ("parameters", "sqlstate"),
    [({"TimeZone": "Mars/Olympus"}, "22023"), ({"client_encoding": "EBCDIC"}, "22023"), ({"options": "-c"}, "42601")],
    ids=str,
)
def test_what_the_server_refuses_is_refused_with_its_words_and_nobody_else_is(
    clients: Clients, proxy: Proxy, postgres18: PostgresServer, parameters: dict[str, str], sqlstate: str
) -> None:
    bystander = clients.connect("one")
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": "one", **parameters}))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", sqlstate)
    assert bystander.query("select 1") == [("1",)]


def test_the_database_is_the_user_s_name_where_none_is_given(postgres18: PostgresServer) -> None:
    tables: Tables = {"databases.postgres": {"primary": upstream(postgres18, DATABASE)}}
    with run_proxy(tables) as running, Clients(running) as clients:
        client = clients.raw()
        client.send(f.startup({"user": "postgres"}))
        client.read_until_ready()
        assert client.query("select current_database()") == [(DATABASE,)]
        unknown = clients.raw()
        unknown.send(f.startup({"user": "postgres", "database": "elsewhere"}))
        unknown.read_to_end()
        assert [error["C"] for error in errors(unknown)] == ["3D000"]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x00\x00\x00\x07\x00\x03\x00",
        b"\x40\x00\x00\x00" + b"\x00\x03\x00\x00" + b"user\0",
        b"\x00\x00\x00\x0c\x00\x03\x00\x00user",
        f.startup({"database": "one"}).data,
        f.startup({"user": ""}).data,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        f.ssl_request().data[:4] + b"\x00" * 4,
    ],
    ids=["short", "one_gb", "unterminated", "no_user", "empty_user", "http", "tls", "version_0"],
)
def test_a_first_packet_that_is_none_ends_its_connection_alone(clients: Clients, packet: bytes) -> None:
    bystander = clients.connect("one")
    client = clients.raw()
    client.write(packet)
    client.read_to_end()
    assert tags(client) == b"E"
    assert errors(client)[0]["V"] == "FATAL"
    assert bystander.query("select 1") == [("1",)]


def test_psycopg_s_options_and_application_name_reach_the_server(proxy: Proxy) -> None:
    dsn = proxy.dsn("one") + "?application_name=conn%20info&options=-c%20geqo%3Doff%20-c%20my.own%3Da%5C%20b"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select current_setting('application_name'), current_setting('geqo'), current_setting('my.own')"
        ).fetchone()
        assert row == ("conn info", "off", "a b")
        assert connection.info.parameter_status("application_name") == "conn info"
