"""Who may come in: rules, name maps, certificates, peers, auth_query, the PROXY protocol and bans, all at one proxy."""

from __future__ import annotations

import getpass
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.certificates import Authority
from tests.support.login import LoginFailed
from tests.support.middle import Middle
from tests.support.proxied import Clients, pid_of, upstream
from tests.support.proxy import Proxy, Tables, Value, run_proxy
from tests.support.watch import wait_until

PASSWORD = "an ordinary secret"
BALANCER = "127.0.0.5"
RULES = """
local   all     postgres    peer map=system
local   all     stranger    peer
hostssl all     alice       all          cert map=staff
hostssl all     dn          all          cert map=staff clientname=DN
hostssl all     bob         all          cert
hostssl all     careful     all          trust clientcert=verify-full
host    all     outsider    192.0.2.0/24 trust
host    all     outsider    all          reject
host    all     hidden      127.0.0.1/32 trust
host    pgbouncer all       all          trust
host      mixed   asked     192.0.2.0/24 trust
hostssl   methods known     127.0.0.1/32 password
hostnossl methods known     127.0.0.1/32 md5
host      methods known     ::1/128      reject
host    all     @guessed    all          scram-sha-256
"""
GUESSED = "known, old, asked, expired, nologin, unknown, passwordless\n"
QUERY = (
    "select name, password from (select rolname as name, case when rolvaliduntil < now() then null else rolpassword end"
    " as password from pg_authid where rolname = $1 and rolcanlogin) as found"
)


@dataclass(frozen=True)
class World:
    """A server with roles that have passwords, and files of certificates."""

    server: PostgresServer
    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("access")
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    authority.issue("localhost", hosts=["localhost"]).write(folder, "server")
    for name, common_name in (("alice", "alice@shop.example"), ("bob", "bob"), ("careful", "careful")):
        authority.issue(common_name, organization="shop, inc").write(folder, name)
    hba = [f"host all {role} 127.0.0.1/32 scram-sha-256" for role in ("asked", "known", "old", "lookup")]
    hba += [f"host all {role} 127.0.0.1/32 md5" for role in ("forced", "verified")]
    with PostgresServer.start(18, hba=hba) as server:
        server.psql(
            f"create role asked login password '{PASSWORD}'; create role known login password '{PASSWORD}';"
            f"create database home; create role old login password '{PASSWORD}';"
            f"create role expired login password '{PASSWORD}' valid until '2001-01-01';"
            f"create role nologin password '{PASSWORD}'; create role passwordless login;"
            f"create role lookup superuser login password '{PASSWORD}';"
            f"create role verified login password '{PASSWORD}';"
            "set password_encryption = 'md5'; create role forced login password 'its own';"
            "create function public.now() returns timestamptz language sql return timestamptz '1999-01-01'"
        )
        yield World(server, folder)


@pytest.fixture(scope="module")
def proxy(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    maps = f'staff "alice@shop.example" alice\nstaff "CN=bob,O=shop\\, inc" dn\nsystem {getpass.getuser()} postgres\n'
    sockets = tmp_path_factory.mktemp("s")
    settings: dict[str, Value] = {
        "auth_type": "hba",
        "auth_hba_file": "hba.conf",
        "auth_ident_file": "ident.conf",
        "auth_file": "users.txt",
        "auth_user": "lookup",
        "auth_dbname": "home",
        "client_tls_sslmode": "prefer",
        "client_tls_cert_file": world.path("server.crt"),
        "client_tls_key_file": world.path("server.key"),
        "client_tls_ca_file": world.path("ca.crt"),
        "unix_socket_dir": str(sockets),
        "proxy_protocol_from": [f"{BALANCER}/32"],
        "ban_failures": 10,
        "admin_users": ["postgres"],
        "log_connections": True,
    }
    trusted = [*("postgres", "stranger", "alice", "dn", "bob", "careful", "outsider", "hidden")]
    users = "".join(f'"{user}" ""\n' for user in trusted) + f'"lookup" "{PASSWORD}"\n"known" "{PASSWORD}"\n'
    tables: Tables = {
        "server": settings,
        "databases.app": {"primary": upstream(world.server, "postgres")},
        "databases.forced": {"primary": upstream(world.server, "postgres", user="forced")},
        "databases.verified": {"primary": upstream(world.server, "postgres", user="verified")},
        "databases.methods": {"primary": upstream(world.server, "postgres")},
        "databases.own": {"primary": upstream(world.server, "postgres", user="")},
        "databases.mixed": {"primary": upstream(world.server, "postgres", user="")},
        "databases.home": {"primary": upstream(world.server, "home", user="")},
        "databases.searched": {
            "primary": upstream(world.server, "postgres", user=""),
            "auth_query": QUERY,
            "auth_dbname": "searched",
        },
    }
    files = {"hba.conf": RULES, "ident.conf": maps, "users.txt": users, "guessed": GUESSED}
    with run_proxy(tables, files) as running:
        yield running


def connect(proxy: Proxy, user: str, **options: str) -> psycopg.Connection[tuple[object, ...]]:
    place = {"host": "localhost", "port": str(proxy.port), "dbname": "app", "sslrootcert": "/none", "sslcert": "/none"}
    place |= {"sslkey": "/none", "connect_timeout": "10", "user": user, **options}
    return psycopg.connect(make_conninfo("", **place), autocommit=True)


def shown(world: World, name: str) -> dict[str, str]:
    return {"sslmode": "require", "sslcert": world.path(f"{name}.crt"), "sslkey": world.path(f"{name}.key")}


# --- Certificates and peers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "certificate"), [("alice", "alice"), ("dn", "bob"), ("bob", "bob"), ("careful", "careful")]
)
def test_a_certificate_lets_in_whom_it_names(world: World, proxy: Proxy, user: str, certificate: str) -> None:
    with connect(proxy, user, **shown(world, certificate)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("user", "certificate", "why"),
    [
        ("alice", "bob", 'certificate authentication failed for user "alice"'),
        ("bob", "alice", 'certificate authentication failed for user "bob"'),
        ("careful", "bob", 'certificate authentication failed for user "careful"'),
        ("alice", "", "connection requires a valid client certificate"),
    ],
)
def test_a_certificate_of_somebody_else_does_not(
    world: World, proxy: Proxy, user: str, certificate: str, why: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=why):
        connect(proxy, user, **(shown(world, certificate) if certificate else {"sslmode": "require"}))


def test_a_rule_for_tls_does_not_fit_without(proxy: Proxy) -> None:
    with pytest.raises(psycopg.OperationalError, match=r'\(hba_rejected\) there is no entry .* user "alice", .*no TLS'):
        connect(proxy, "alice", sslmode="disable")


def test_the_type_of_a_connection_chooses_its_method(proxy: Proxy) -> None:
    for sslmode, method in (("require", "password"), ("disable", "md5")):
        with connect(proxy, "known", dbname="methods", password=PASSWORD, sslmode=sslmode, require_auth=method) as one:
            assert one.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(proxy, "known", dbname="methods", password="wrong", sslmode=sslmode)


def test_the_operating_system_says_who_is_at_a_unix_socket(proxy: Proxy) -> None:
    sockets = next(line for line in (proxy.directory / "interceptor.toml").read_text().splitlines() if "unix_" in line)
    folder = sockets.split('"')[1]
    with connect(proxy, "postgres", host=folder) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match='Peer authentication failed for user "stranger"'):
        connect(proxy, "stranger", host=folder)


# --- auth_query ------------------------------------------------------------------------------------------------------


def test_a_user_of_the_database_logs_in_with_the_password_it_has_there(proxy: Proxy) -> None:
    with Clients(proxy) as clients:
        for user in ("asked", "old", "known"):
            client = clients.connect("own", user, PASSWORD)
            assert client.query("select current_user") == [(user,)]


def test_the_question_is_put_in_the_database_that_is_named(world: World, proxy: Proxy) -> None:
    with Clients(proxy) as clients:
        clients.connect("own", "asked", PASSWORD)
        homes = "select distinct datname from pg_stat_activity where application_name = 'interceptor auth_query'"
        assert "home" in world.server.psql(homes).split()


@pytest.mark.parametrize("user", ["expired", "nologin", "unknown", "passwordless"])
def test_others_are_asked_for_a_password_and_refused(proxy: Proxy, user: str) -> None:
    with (
        Clients(proxy) as clients,
        pytest.raises(LoginFailed, match=f'^password authentication failed for user "{user}"'),
    ):
        clients.connect("own", user, PASSWORD)


def test_a_changed_password_counts_at_once(world: World, proxy: Proxy) -> None:
    with Clients(proxy) as clients:
        clients.connect("own", "old", PASSWORD)
        world.server.psql("alter role old password 'the new one'")
        try:
            with pytest.raises(LoginFailed):
                clients.connect("own", "old", PASSWORD)
        finally:
            world.server.psql(f"alter role old password '{PASSWORD}'")


def test_a_search_path_of_the_client_s_has_no_part_in_the_question(proxy: Proxy) -> None:
    """CVE-2025-12819: with public before pg_catalog, now() would be another function, and nobody's time would be up."""
    with Clients(proxy) as clients:
        for name, value in (("search_path", "public, pg_catalog"), ("options", "-c search_path=public,pg_catalog")):
            with pytest.raises(LoginFailed, match="password authentication failed"):
                clients.connect("searched", "expired", PASSWORD, parameters={name: value})
            clients.connect("searched", "asked", PASSWORD, parameters={name: value})


def test_clients_that_hang_up_while_they_are_looked_up_cost_no_connection(world: World, proxy: Proxy) -> None:
    """The question goes on without them; closing its connection would have the next one log in again."""
    with Clients(proxy) as clients:
        clients.connect("own", "asked", PASSWORD)
        helpers = "select pid from pg_stat_activity where application_name = 'interceptor auth_query'"
        pid = world.server.psql(helpers)
        for number in range(200):
            with socket.create_connection((proxy.host, proxy.port), 10) as stream:
                stream.sendall(startup("unknown" if number % 2 else "asked", "own"))
        clients.connect("own", "asked", PASSWORD)
        assert world.server.psql(helpers) == pid != ""


def test_a_role_without_a_password_in_the_connection_string_is_looked_up_too(world: World, proxy: Proxy) -> None:
    with Clients(proxy) as clients:
        for user in ("asked", "known"):
            assert clients.connect("forced", user, PASSWORD).query("select current_user") == [("forced",)]
        world.server.psql("set password_encryption = 'md5'; alter role forced password 'another'")
        # What was found is believed until the server refuses it.
        with pytest.raises(LoginFailed, match="cannot log in to the server"):
            clients.connect("forced", "known", PASSWORD, application_name="new")
        another = clients.connect("forced", "asked", PASSWORD, application_name="other")
        assert another.query("select current_user") == [("forced",)]


def test_a_verifier_does_not_log_a_role_in(proxy: Proxy) -> None:
    with Clients(proxy) as clients, pytest.raises(LoginFailed, match="cannot log in to the server"):
        clients.connect("verified", "known", PASSWORD)
    assert 'the role "verified" of database "verified" can\'t log in with what auth_query has found' in proxy.log


# --- Channel binding -------------------------------------------------------------------------------------------------


def test_a_client_binds_its_login_to_our_certificate(world: World, proxy: Proxy) -> None:
    tls = {"sslmode": "verify-full", "sslrootcert": world.path("ca.crt")}
    for user in ("known", "asked"):  # a plain password of the file, and a verifier of the server
        with connect(proxy, user, dbname="own", password=PASSWORD, channel_binding="require", **tls) as connection:
            assert connection.execute("select current_user").fetchone() == (user,)
    with connect(proxy, "known", password=PASSWORD, channel_binding="disable", **tls) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(proxy, "known", password="wrong", channel_binding="require", **tls)


def test_a_login_that_was_relayed_is_noticed(world: World, proxy: Proxy) -> None:
    """Somebody in the middle, with a certificate that the client trusts: its channel binding is to that one."""
    with Middle((proxy.host, proxy.port), world.path("bob.crt"), world.path("bob.key")) as middle:
        place = {"host": "localhost", "port": str(middle.port), "sslmode": "require", "password": PASSWORD}
        with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding check failed"):
            connect(proxy, "known", channel_binding="require", **place)
        with connect(proxy, "known", channel_binding="disable", **place) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


# --- The PROXY protocol ----------------------------------------------------------------------------------------------


def from_balancer(proxy: Proxy, data: bytes, piece_size: int = 1000) -> bytes:
    """What comes back until the proxy hangs up, or has let us in."""
    with socket.create_connection((proxy.host, proxy.port), 10, source_address=(BALANCER, 0)) as stream:
        for start in range(0, len(data), piece_size):
            stream.sendall(data[start : start + piece_size])
        answer = b""
        while piece := stream.recv(1 << 16):
            answer += piece
            if answer.endswith(b"Z\0\0\0\x05I"):
                break
        return answer


def startup(user: str, database: str = "app") -> bytes:
    return f.startup({"user": user, "database": database}).data


V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 9, 10, 0, 0, 1, 0, 80, 25, 32])


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.9 10.0.0.1 80 6432\r\n", V2], ids=["v1", "v2"])
def test_rules_and_the_log_see_the_client_behind_a_balancer(proxy: Proxy, header: bytes) -> None:
    assert from_balancer(proxy, header + startup("outsider"), piece_size=7).endswith(b"Z\0\0\0\x05I")
    assert b'rejects connections for host "198.51.100.1"' in from_balancer(
        proxy, b"PROXY TCP4 198.51.100.1 10.0.0.1 80 6432\r\n" + startup("outsider")
    )
    wait_until(lambda: "192.0.2.9:80" in proxy.log, "the log has the client's address")


def test_who_is_trusted_takes_nobody_s_password_away(proxy: Proxy) -> None:
    """The keys of a login serve the whole pool, and a client that was let in without one brings no others."""
    with Clients(proxy) as clients:
        client = clients.connect("mixed", "asked", PASSWORD)
        trusted = b"PROXY TCP4 192.0.2.9 10.0.0.1 80 6432\r\n" + startup("asked", "mixed")
        assert from_balancer(proxy, trusted).endswith(b"Z\0\0\0\x05I")
        pid = pid_of(client)
        clients.connect("pgbouncer").query("RECONNECT mixed")
        wait_until(lambda: pid_of(client) != pid, "it has another backend, which had to log in")


def test_a_balancer_has_to_send_the_header_and_others_must_not(proxy: Proxy) -> None:
    assert b"(proxy_header)" in from_balancer(proxy, startup("outsider"))
    assert b"(proxy_header)" in from_balancer(proxy, b"PROXY TCP4 nonsense\r\n")
    with Clients(proxy) as clients:
        client = clients.raw()
        client.write(b"PROXY TCP4 192.0.2.9 10.0.0.1 80 6432\r\n" + startup("outsider"))
        client.read_to_end()
        assert "invalid length of startup packet" in str(client.replies)


def test_tls_comes_behind_the_header(world: World, proxy: Proxy) -> None:
    context = ssl.create_default_context(cafile=world.path("ca.crt"))
    with socket.create_connection((proxy.host, proxy.port), 10, source_address=(BALANCER, 0)) as stream:
        stream.sendall(V2 + f.ssl_request().data)
        assert stream.recv(1) == b"S"
        with context.wrap_socket(stream, server_hostname="localhost") as encrypted:
            encrypted.sendall(startup("outsider"))
            assert b"R\0\0\0\x08\0\0\0\0" in encrypted.recv(1 << 16)


# --- Bans ------------------------------------------------------------------------------------------------------------


def refusal(proxy: Proxy, address: str, database: str) -> bytes:
    """A login that sends garbage for its proof, from an address that a balancer names."""
    header = f"PROXY TCP4 {address} 10.0.0.1 80 6432\r\n".encode()
    first = f.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abc").data
    with socket.create_connection((proxy.host, proxy.port), 10, source_address=(BALANCER, 0)) as stream:
        stream.sendall(header + startup("known", database) + first)
        answer = b""
        while b"r=abc" not in answer and b"SFATAL" not in answer:
            answer += stream.recv(1 << 16)
        if b"SFATAL" in answer:
            return answer
        nonce = answer[answer.index(b"r=abc") : answer.index(b",s=")]
        proof = b"c=biws," + nonce + b",p=" + b"A" * 43 + b"="
        stream.sendall(f.sasl_response(proof).data)
        return stream.makefile("rb").read()


def test_ten_failures_ban_an_address_from_that_database(proxy: Proxy) -> None:
    for _ in range(10):
        assert b"password authentication failed" in refusal(proxy, "203.0.113.7", "app")
    assert b"(banned) too many logins from this address have failed" in refusal(proxy, "203.0.113.7", "app")
    assert b"password authentication failed" in refusal(proxy, "203.0.113.8", "app")
    assert b"password authentication failed" in refusal(proxy, "203.0.113.7", "own")
    assert proxy.log.count('address 203.0.113.7 is banned from database "app" for 120 s') == 1
    with Clients(proxy) as clients:
        assert clients.connect("app", "known", PASSWORD).query("select 1") == [("1",)]
