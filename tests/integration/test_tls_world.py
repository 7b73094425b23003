"""TLS on a whole way: a proxy behind a proxy, a network that is listened to, renewed certificates, and floods."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.certificates import Authority
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.tap import Tap
from tests.support.watch import wait_until

MARK = "nobody-else-may-read-this"
MOST_CLIENTS = 20
CANCEL_REQUEST = (80877102).to_bytes(4, "big")
SLEEP = "select pg_sleep(60)"
RULES = """
on_opaque = "allow"
on_unparsable = "allow"
[[rule]]
name = "plain"
tls = false
tables = ["pg_authid"]
action = "block"
message = "not without TLS"
"""


@dataclass(frozen=True)
class World:
    """A proxy (``inner``) behind another (``outer``), and taps on the networks before each."""

    folder: Path
    authority: Authority
    inner: Proxy
    outer: Proxy
    before_inner: Tap
    before_outer: Tap

    def connect(self, tap: Tap, ca: str = "ca.crt", **options: str) -> psycopg.Connection[tuple[object, ...]]:
        place = {"host": "localhost", "port": str(tap.port), "user": "postgres", "dbname": "app", "sslcert": "/none"}
        place |= {"sslmode": "verify-full", "sslrootcert": str(self.folder / ca), "sslkey": "/none", **options}
        return psycopg.connect(make_conninfo("", **place), autocommit=True, connect_timeout=10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgres18: PostgresServer) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    authority.issue("localhost", hosts=["localhost"], with_rsa=True).write(folder, "server")
    tls = {
        "client_tls_sslmode": "prefer",
        "client_tls_cert_file": str(folder / "server.crt"),
        "client_tls_key_file": str(folder / "server.key"),
    }
    inner_tables: Tables = {"server": tls, "databases.app": {"primary": upstream(postgres18, "postgres")}}
    with run_proxy(inner_tables) as inner, Tap(inner.host, inner.port) as before_inner:
        ca = folder / "ca.crt"
        primary = f"postgresql://postgres@localhost:{before_inner.port}/app?sslmode=verify-full&sslrootcert={ca}"
        outer_tables: Tables = {
            "server": {**tls, "max_client_conn": MOST_CLIENTS},
            "databases.app": {"primary": f"{primary}&sslnegotiation=direct"},
            "plugins.rules": {"file": "rules.toml"},
        }
        with run_proxy(outer_tables, {"rules.toml": RULES}) as outer, Tap(outer.host, outer.port) as before_outer:
            yield World(folder, authority, inner, outer, before_inner, before_outer)


def test_nothing_is_read_on_either_network(world: World) -> None:
    """A writer that went round the encryption would be seen here."""
    with world.connect(world.before_outer) as connection:
        assert connection.execute("select %s || repeat('x', 200000)", (MARK,)).fetchone() == (MARK + "x" * 200000,)
        with connection.pipeline():
            for number in range(100):
                connection.execute("select %s, %s", (MARK, number), prepare=True)
        with connection.cursor().copy(
            "copy (select repeat('x', 1000) from generate_series(1, 1000)) to stdout"
        ) as copy:
            assert sum(len(piece) for piece in copy) == 1001 * 1000
        connection.execute("create temporary table t (a text)")
        with connection.cursor().copy("copy t from stdin") as copy_in:
            for _ in range(1000):
                copy_in.write(f"{MARK * 20}\n")
        assert connection.execute("select count(*) from t").fetchone() == (1000,)
    for tap in (world.before_outer, world.before_inner):
        assert len(tap.heard) > 1_000_000
        assert MARK.encode() not in tap.heard


def test_a_cancel_request_finds_its_way_through_both(world: World) -> None:
    with (
        world.connect(world.before_outer) as connection,
        world.connect(world.before_outer) as other,
        ThreadPoolExecutor(1) as executor,
    ):
        before = [len(tap.heard) for tap in (world.before_outer, world.before_inner)]
        running = executor.submit(connection.execute, SLEEP)
        wait_until(
            lambda: other.execute("select 1 from pg_stat_activity where query = %s", (SLEEP,)).rowcount > 0,
            "the query runs",
        )
        connection.cancel_safe(timeout=10)
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result(10)
    for tap, begun in zip((world.before_outer, world.before_inner), before, strict=True):
        heard = tap.heard[begun:]
        assert heard.count(b"\x16\x03\x01"), "it made a connection of its own, with TLS"
        assert CANCEL_REQUEST not in heard


def test_new_certificates_are_used_after_a_reload(world: World) -> None:
    """Connections that there are go on, and a broken file changes nothing."""
    folder = world.folder
    old = world.connect(world.before_outer)
    other = Authority("The Next One")
    (folder / "next-ca.crt").write_bytes(other.certificate)
    certificate, key = (folder / "server.crt").read_bytes(), (folder / "server.key").read_bytes()
    try:
        (folder / "server.key").write_bytes(b"no key\n")
        world.outer.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "holds no private key" in world.outer.log, "the reload is refused")
        world.connect(world.before_outer).close()
        other.issue("localhost", hosts=["localhost"]).write(folder, "server")
        world.outer.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the configuration was reloaded" in world.outer.log, "the files are read again")
        assert old.execute("select 1").fetchone() == (1,)
        with world.connect(world.before_outer, "next-ca.crt") as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            world.connect(world.before_outer)
    finally:
        old.close()
        (folder / "server.crt").write_bytes(certificate)
        (folder / "server.key").write_bytes(key)
        count = world.outer.log.count("the configuration was reloaded")
        world.outer.process.send_signal(signal.SIGHUP)
        wait_until(lambda: world.outer.log.count("the configuration was reloaded") > count, "the first ones are back")


def test_a_flood_of_those_who_say_nothing_keeps_nobody_out(world: World) -> None:
    """Half of them begin a handshake. As many as there may be clients are kept; then the oldest have to go."""
    crowd = []
    try:
        with world.connect(world.before_outer) as at_work:
            for number in range(4 * MOST_CLIENTS):
                stream = socket.create_connection((world.outer.host, world.outer.port), 10)
                crowd.append(stream)
                if number % 2:
                    stream.sendall(f.ssl_request().data)
                    assert stream.recv(1) == b"S"
                    stream.sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello
            assert at_work.execute("select 1").fetchone() == (1,)
            with world.connect(world.before_outer) as another:
                assert another.execute("select 1").fetchone() == (1,)
            gone = [stream for stream in crowd if is_closed(stream)]
            assert len(gone) >= 3 * MOST_CLIENTS
            assert gone == crowd[: len(gone)], "those that came first"
    finally:
        for stream in crowd:
            stream.close()


def is_closed(stream: socket.socket) -> bool:
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_flood_of_cancel_requests_reaches_nobody(world: World) -> None:
    with world.connect(world.before_outer) as at_work, Clients(world.outer) as clients:
        for number in range(200):
            clients.cancel((number, b"1234"))
        assert at_work.execute("select 1").fetchone() == (1,)


def test_plugins_see_whether_a_session_has_tls(world: World) -> None:
    with world.connect(world.before_outer) as connection:
        assert connection.execute("select count(*) > 0 from pg_authid").fetchone() == (True,)
    with world.connect(world.before_outer, sslmode="disable") as connection:
        with pytest.raises(psycopg.Error, match="not without TLS"):
            connection.execute("select count(*) from pg_authid")
