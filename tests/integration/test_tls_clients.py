"""TLS towards clients: every sslmode of theirs against every one of ours, with good and bad certificates."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from pooler.auth import BackendLogin, KeyCache, PlainPassword, Work
from pooler.config.tls import ChannelBinding
from pooler.tls import server_end_point
from tests.support import frontend as f
from tests.support.certificates import Authority
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, run_proxy
from tests.support.watch import wait_until

PASSWORD = "an ordinary secret"


@dataclass(frozen=True)
class World:
    """Files of an authority, of a server's certificate that it signed, and of clients' certificates."""

    folder: Path
    authority: Authority

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    authority, other = Authority(), Authority("Somebody Else")
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "other-ca.crt").write_bytes(other.certificate)
    authority.issue("localhost", hosts=["localhost", "127.0.0.1"]).write(folder, "server")
    authority.issue("postgres", organization="shop").write(folder, "client")
    authority.issue("postgres", days=-1).write(folder, "expired")
    other.issue("postgres").write(folder, "stranger")
    return World(folder, authority)


@contextmanager
def tls_proxy(world: World, server: PostgresServer, sslmode: str, **settings: str) -> Iterator[Proxy]:
    """A proxy with TLS towards clients, whose log holds no mishap of ours."""
    files = {"client_tls_cert_file": world.path("server.crt"), "client_tls_key_file": world.path("server.key")}
    tables: Mapping[str, Mapping[str, str]] = {
        "server": {"client_tls_sslmode": sslmode, **files, **settings},
        "databases.app": {"primary": upstream(server, "postgres")},
    }
    with run_proxy(tables) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def prefer(world: World, postgres18: PostgresServer) -> Iterator[Proxy]:
    with tls_proxy(world, postgres18, "prefer", client_tls_ca_file=world.path("ca.crt")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def verify(world: World, postgres18: PostgresServer) -> Iterator[Proxy]:
    with tls_proxy(world, postgres18, "verify-full", client_tls_ca_file=world.path("ca.crt")) as proxy:
        yield proxy


def connect(proxy: Proxy, host: str = "localhost", **parameters: str) -> psycopg.Connection[tuple[object, ...]]:
    parameters = {"sslcert": "/none", "sslkey": "/none", "sslrootcert": "/none", **parameters}
    place = {"host": host, "port": str(proxy.port), "dbname": "app", "user": "postgres", "connect_timeout": "10"}
    return psycopg.connect(psycopg.conninfo.make_conninfo("", **{**place, **parameters}), autocommit=True)


def encrypted(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    assert connection.execute("select repeat('x', 100000)").fetchone() == ("x" * 100000,)
    return connection.pgconn.ssl_in_use


@pytest.mark.parametrize(
    ("sslmode", "expected"),
    [
        ("disable", False),
        ("allow", False),
        ("prefer", True),
        ("require", True),
        ("verify-ca", True),
        ("verify-full", True),
    ],
)
def test_a_client_gets_the_tls_that_it_asks_for(world: World, prefer: Proxy, sslmode: str, expected: bool) -> None:
    with connect(prefer, sslmode=sslmode, sslrootcert=world.path("ca.crt")) as connection:
        assert encrypted(connection) is expected


def test_a_client_that_checks_refuses_another_authority_and_another_host(world: World, prefer: Proxy) -> None:
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(prefer, sslmode="verify-ca", sslrootcert=world.path("other-ca.crt"))
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        connect(
            prefer,
            "localhost.localdomain",
            hostaddr="127.0.0.1",
            sslmode="verify-full",
            sslrootcert=world.path("ca.crt"),
        )


@pytest.mark.parametrize("sslmode", ["require", "verify-ca"])
def test_a_client_without_tls_is_refused_where_it_is_required(
    world: World, postgres18: PostgresServer, sslmode: str
) -> None:
    with tls_proxy(world, postgres18, sslmode, client_tls_ca_file=world.path("ca.crt")) as proxy:
        with pytest.raises(psycopg.OperationalError, match=r"\(tls_required\) connections without TLS"):
            connect(proxy, sslmode="disable")


def test_a_client_shows_a_certificate_that_our_authority_signed(world: World, verify: Proxy) -> None:
    def with_certificate(name: str) -> dict[str, str]:
        return {"sslmode": "require", "sslcert": world.path(f"{name}.crt"), "sslkey": world.path(f"{name}.key")}

    with connect(verify, **with_certificate("client")) as connection:
        assert encrypted(connection)
    for name in ("stranger", "expired"):
        with pytest.raises(psycopg.OperationalError, match=r"alert|closed"):
            connect(verify, **with_certificate(name))
    with pytest.raises(psycopg.OperationalError, match=r"alert|closed"):
        connect(verify, sslmode="require")
    reasons = ("certificate has expired", "unable to get local issuer", "has shown no certificate")
    wait_until(lambda: all(reason in verify.log for reason in reasons), "the log says what is wrong with each")


async def test_asyncpg_and_its_cancel_requests(world: World, prefer: Proxy) -> None:
    context = ssl.create_default_context(cafile=world.path("ca.crt"))
    connection = await asyncpg.connect(
        host="localhost", port=prefer.port, user="postgres", database="app", ssl=context, statement_cache_size=0
    )
    try:
        assert await connection.fetchval("select $1::text || 'b'", "a" * 40000) == "a" * 40000 + "b"
        with pytest.raises(TimeoutError):
            await connection.execute("select pg_sleep(60)", timeout=0.2)
        assert await connection.fetchval("select 1") == 1
    finally:
        await connection.close()


@pytest.mark.needs_psql
def test_psql_says_that_it_is_encrypted(world: World, prefer: Proxy) -> None:
    psql = shutil.which("psql")
    assert psql is not None
    done = subprocess.run(
        [psql, "-X", f"host=localhost port={prefer.port} dbname=app user=postgres sslmode=require", "-c", r"\conninfo"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": "/none"},
    )
    assert "SSL connection (protocol: TLSv1.3" in done.stdout


@pytest.mark.needs_psql
def test_psql_binds_its_login_to_our_certificate(world: World, bound: Proxy) -> None:
    """Debian's libpq, by itself: an older one than that of psycopg."""
    psql = shutil.which("psql")
    assert psql is not None

    def ask(sslmode: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        place = f"host=localhost port={bound.port} dbname=app user=alice sslmode={sslmode} channel_binding=require"
        environment = {**os.environ, "HOME": "/none", "PGPASSWORD": password}
        return subprocess.run(
            [psql, "-XAtw", place, "-c", "select current_user"], capture_output=True, text=True, env=environment
        )

    assert ask("require").stdout == "postgres\n"
    assert "password authentication failed" in ask("require", "wrong").stderr
    assert "channel binding required, but SSL not in use" in ask("disable").stderr


@pytest.fixture(scope="module")
def bound(world: World, postgres18: PostgresServer) -> Iterator[Proxy]:
    """Passwords, and TLS for those who want it."""
    tables: Mapping[str, Mapping[str, str]] = {
        "server": {
            "auth_type": "scram-sha-256",
            "auth_file": "users.txt",
            "client_tls_sslmode": "allow",
            "client_tls_cert_file": "own.crt",
            "client_tls_key_file": "own.key",
        },
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    files = {f"own.{kind}": (world.folder / f"server.{kind}").read_text() for kind in ("crt", "key")}
    with run_proxy(tables, {**files, "users.txt": f'"alice" "{PASSWORD}"\n'}) as proxy:
        yield proxy


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_who_may_have_tls_may_do_without(bound: Proxy, sslmode: str) -> None:
    with connect(bound, sslmode=sslmode, user="alice", password=PASSWORD) as connection:
        assert encrypted(connection) is (sslmode == "require")


def test_a_client_can_not_be_talked_out_of_its_binding(world: World, bound: Proxy) -> None:
    """Somebody in the middle takes SCRAM-SHA-256-PLUS out of our offer: the client says that it could ("y")."""
    with direct(bound, world, "postgresql") as stream:
        stream.sendall(f.startup({"user": "alice", "database": "app"}).data)
        assert b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0" in stream.recv(1000)
        stream.sendall(f.sasl_initial_response("SCRAM-SHA-256", b"y,,n=,r=abc").data)
        assert b"SCRAM channel binding negotiation error" in stream.makefile("rb").read()


def test_a_login_is_bound_to_the_certificate_that_it_was_shown(world: World, bound: Proxy) -> None:
    """Another one is there by the time it comes to the password."""
    with direct(bound, world, "postgresql") as stream:
        shown = stream.getpeercert(binary_form=True)
        assert shown is not None
        count = bound.log.count("the configuration was reloaded")
        world.authority.issue("localhost", hosts=["localhost"]).write(bound.directory, "own")
        bound.process.send_signal(signal.SIGHUP)
        wait_until(lambda: bound.log.count("the configuration was reloaded") > count)
        with direct(bound, world, "postgresql") as another:
            assert another.getpeercert(binary_form=True) != shown
        login = BackendLogin(
            "alice", PlainPassword(PASSWORD.encode()), KeyCache(), server_end_point(shown), ChannelBinding.REQUIRE
        )
        stream.sendall(f.startup({"user": "alice", "database": "app"}).data)
        reader = stream.makefile("rb")
        while not login.done:
            header = reader.read(5)
            body = reader.read(int.from_bytes(header[1:], "big") - 4)
            assert header[:1] == b"R", body
            step = login.receive(body)
            if isinstance(step, Work):
                step = login.resume(step.function())
            if step is not None:
                stream.sendall(step.data)


def test_direct_tls_begins_with_the_first_byte(world: World, prefer: Proxy) -> None:
    with connect(prefer, sslmode="require", sslnegotiation="direct") as connection:
        assert encrypted(connection)


def direct(proxy: Proxy, world: World, *protocols: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=world.path("ca.crt"))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(socket.create_connection((proxy.host, proxy.port), 10), server_hostname="localhost")


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)], ids=["none", "another"])
def test_direct_tls_for_another_protocol_is_refused(world: World, prefer: Proxy, protocols: tuple[str, ...]) -> None:
    with direct(prefer, world, *protocols) as stream:
        answer = stream.recv(1000)
        assert answer.startswith(b"E")
        assert b'has to ask for the protocol "postgresql"' in answer
        assert stream.recv(1000) == b""


def test_what_came_before_the_handshake_is_refused(prefer: Proxy) -> None:
    """CVE-2021-23214: a StartupMessage that somebody in the middle put behind the client's SSLRequest."""
    with socket.create_connection((prefer.host, prefer.port), 10) as stream:
        stream.sendall(f.ssl_request().data + f.startup({"user": "postgres", "database": "app"}).data)
        answer = stream.makefile("rb").read()
    assert answer.startswith(b"SE")
    assert b"received unencrypted data after SSL request" in answer


@pytest.mark.parametrize("again", [f.ssl_request(), f.gssenc_request()], ids=["ssl", "gssenc"])
def test_encryption_is_not_asked_for_inside_of_tls(world: World, prefer: Proxy, again: f.Frontend) -> None:
    with direct(prefer, world, "postgresql") as stream:
        stream.sendall(again.data)
        assert b"unsupported frontend protocol 1234.56" in stream.makefile("rb").read()


def test_gssapi_encryption_is_refused_and_tls_follows(world: World, prefer: Proxy) -> None:
    with Clients(prefer) as clients:
        client = clients.raw()
        assert client.ask_for_encryption(f.gssenc_request()) == b"N"
        assert client.ask_for_encryption(f.ssl_request()) == b"S"


def test_a_plain_client_gets_what_is_no_tls(world: World, postgres18: PostgresServer) -> None:
    """TLS is off by default, and a TLS client hears so."""
    with run_proxy({"databases.app": {"primary": upstream(postgres18, "postgres")}}) as proxy:
        with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
            connect(proxy, sslmode="require")
        with connect(proxy, sslmode="prefer") as connection:
            assert not encrypted(connection)
