"""Those who guess and spy: bans that are gone round, users that are told apart, odd names, secrets that come out."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.hostile import Connection, HostileServer
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, upstream, wait_for_arrival, wait_for_departure
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import wait_until
from tests.support.wire import WireError

PASSWORD = "canary-of-the-file"
BALANCER = "127.0.0.5"
CANARIES = (PASSWORD, "canary-of-the-dsn", "canary-of-the-client", "canary-of-the-tokens-0123456789abcdef")
RULES = """
host pgbouncer   all all trust
host interceptor all all scram-sha-256
host replication all all trust
host md5       all all md5
host plain     all all password
host all       all all scram-sha-256
"""
BANNED = b"(banned) too many logins from this address have failed"
WRONG = b"password authentication failed"


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with PostgresServer.start(18) as server:
        server.psql(f"create role asked login password '{PASSWORD}'; create role known login; create database md5")
        tables: Tables = {
            "server": {
                "auth_type": "hba",
                "auth_hba_file": "hba.conf",
                "auth_file": "users.txt",
                "auth_user": "postgres",
                "admin_users": ["postgres"],
                "ban_failures": 10,
                "ban_exempt": ["198.51.100.0/24"],
                "proxy_protocol_from": [f"{BALANCER}/32"],
                "log_connections": True,
                "log_disconnections": True,
                "verbose": 2,
            },
            "databases.app": {"primary": upstream(server, "postgres"), "auth_user": ""},
            "databases.plain": {"primary": upstream(server, "postgres")},
            "databases.secret": {"primary": upstream(server, "postgres", user=f"known:{CANARIES[1]}")},
            'databases."*"': {"primary": upstream(server, "", user="")},
            "api": {"jwt_secret": CANARIES[3]},
        }
        users = f'"known" "{PASSWORD}"\n"postgres" ""\n'
        with run_proxy(tables, {"hba.conf": RULES, "users.txt": users}) as running:
            yield running


def header(address: str) -> bytes:
    family, own = ("TCP6", "::1") if ":" in address else ("TCP4", "10.0.0.1")
    return f"PROXY {family} {address} {own} 80 6432\r\n".encode()


def startup(user: str, database: str) -> bytes:
    return f.startup({"user": user, "database": database}).data


def guess(proxy: Proxy, address: str, database: str, user: str = "known", *, listens: bool = True) -> bytes:
    """What is said to a client from this address that proves something wrong; nothing if it does not listen."""
    with socket.create_connection((proxy.host, proxy.port), 10, source_address=(BALANCER, 0)) as stream:
        stream.sendall(header(address) + startup(user, database))
        stream.sendall(f.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abc").data)
        answer = b""
        while b"r=abc" not in answer and b"SFATAL" not in answer:
            piece = stream.recv(1 << 16)
            assert piece, answer
            answer += piece
        if b"SFATAL" in answer:
            return answer
        nonce = answer[answer.index(b"r=abc") : answer.index(b",s=")]
        stream.sendall(f.sasl_response(b"c=biws," + nonce + b",p=" + base64.b64encode(bytes(32))).data)
        return stream.makefile("rb").read() if listens else b""


SASL, MD5 = 10, 5


def method(proxy: Proxy, user: str, database: str, **parameters: str) -> int:
    """What a client is asked for; 0 if it is let in."""
    with socket.create_connection((proxy.host, proxy.port), 10) as stream:
        stream.sendall(f.startup({"user": user, "database": database, **parameters}).data)
        kind, _, code = struct.unpack("!cii", stream.recv(9, socket.MSG_WAITALL))
        assert kind == b"R"
        return int(code)


def let_in(proxy: Proxy) -> None:
    """Forget what clients without a balancer have failed at."""
    with Clients(proxy) as clients, contextlib.suppress(WireError):  # which says that none of them was banned
        clients.connect("pgbouncer", "postgres").query("UNBAN '127.0.0.1'")


# --- Bans ------------------------------------------------------------------------------------------------------------


def test_a_guess_counts_though_its_guesser_hangs_up(proxy: Proxy) -> None:
    """With the keys at hand a right guess is let in at once, so silence says that it was wrong."""
    with Clients(proxy) as clients:
        clients.connect("app", "known", PASSWORD)
    for _ in range(10):
        guess(proxy, "203.0.113.1", "app", listens=False)
    wait_until(lambda: 'address 203.0.113.1 is banned from database "app"' in proxy.log)
    assert BANNED in guess(proxy, "203.0.113.1", "app")


def test_names_that_are_made_up_give_no_more_tries(proxy: Proxy) -> None:
    for number in range(29):
        assert WRONG in guess(proxy, "203.0.113.2", f"made_up_{number}")
    assert WRONG in guess(proxy, "203.0.113.2", "made_up_again")
    assert BANNED in guess(proxy, "203.0.113.2", "made_up_another")
    assert WRONG in guess(proxy, "203.0.113.2", "app"), "it has a name of its own here"
    for _ in range(10):
        assert WRONG in guess(proxy, "203.0.113.3", "made_up")
    assert BANNED in guess(proxy, "203.0.113.3", "made_up")
    assert WRONG in guess(proxy, "203.0.113.3", "another")


def test_addresses_of_one_network_share_their_tries(proxy: Proxy) -> None:
    for number in range(10):
        assert WRONG in guess(proxy, f"2001:db8::{number + 1:x}", "app")
    assert BANNED in guess(proxy, "2001:db8::ffff", "app")
    assert WRONG in guess(proxy, "2001:db8:0:1::1", "app")
    with Clients(proxy) as clients:
        console = clients.connect("pgbouncer", "postgres")
        assert ["2001:db8::/64", "app"] in [list(row[:2]) for row in console.query("SHOW BANS")]
        console.query("UNBAN '2001:db8::5'")
    assert WRONG in guess(proxy, "2001:db8::ffff", "app")


def test_an_address_that_many_share_can_be_left_out_of_it(proxy: Proxy) -> None:
    for address in ("198.51.100.7", "::ffff:198.51.100.7"):
        for _ in range(11):
            assert WRONG in guess(proxy, address, "app")
    assert "198.51.100.7 is banned" not in proxy.log


def test_a_success_in_between_forgets_no_failure(proxy: Proxy) -> None:
    """Behind one address the one who knows a password must not give tries to the one who does not."""
    with Clients(proxy) as clients:
        for number in range(10):
            with pytest.raises(LoginFailed, match="password authentication failed"):
                clients.connect("plain", "known", "wrong")
            if number == 8:
                clients.connect("app", "known", PASSWORD)
        with pytest.raises(LoginFailed, match=r"\(banned\)"):
            clients.connect("plain", "known", PASSWORD)
    let_in(proxy)


def test_databases_that_are_made_up_count_though_nobody_can_be_asked_there(proxy: Proxy) -> None:
    """A user that no file has is asked for in the database, which is a login at the server for each name."""
    answers = [guess(proxy, "203.0.113.4", f"made_up_{number}", "stranger") for number in range(31)]
    assert all(b"the user could not be looked up" in answer for answer in answers[:30])
    assert BANNED in answers[30]


def test_made_up_databases_cost_the_server_few_logins_at_once() -> None:
    def behave(connection: Connection) -> None:
        connection.read_packet()
        connection.hang()

    with HostileServer(behave) as hostile, contextlib.ExitStack() as stack:
        primary = f"postgresql://{hostile.host}:{hostile.port}/?sslmode=disable"
        tables: Tables = {
            "server": {
                "auth_type": "scram-sha-256",
                "auth_user": "lookup",
                "auth_file": "users.txt",
                # Nor does a login that is under way keep the proxy from its end.
                "server_connect_timeout": "5min",
            },
            'databases."*"': {"primary": primary},
        }
        proxy = stack.enter_context(run_proxy(tables, {"users.txt": '"lookup" ""\n'}))
        clients = stack.enter_context(Clients(proxy))
        diagnosis = stack.enter_context(contextlib.closing(SocketDiagnosis()))
        crowd = [clients.raw() for _ in range(40)]
        for number, client in enumerate(crowd):
            client.write(startup("stranger", f"made_up_{number}"))
        for client in crowd:
            wait_for_arrival(client, diagnosis)
        wait_until(lambda: hostile.connections == 8, "as many as may log in at once do")
        # Whoever hangs up leaves a login behind that goes on, and the next one waits for it all the same.
        for client in crowd[:8]:
            wait_for_departure(client, diagnosis)
        late = clients.raw()
        late.write(startup("stranger", "made_up_late"))
        wait_for_arrival(late, diagnosis)
        assert hostile.connections == 8


# --- Who there is ----------------------------------------------------------------------------------------------------


def test_unknown_users_are_asked_as_those_that_the_database_knows(proxy: Proxy) -> None:
    """The file has few users, all with plain passwords; the database has verifiers, as nearly all databases have."""

    assert method(proxy, "asked", "md5") == SASL
    assert method(proxy, "known", "md5") == MD5
    assert [method(proxy, f"nobody{number}", "md5") for number in range(20)].count(SASL) > 10


# --- Rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "on", "1", "TRUE", "database"])
def test_a_rule_for_replication_does_not_open_the_console(proxy: Proxy, value: str) -> None:
    """Such a client may be trusted to have the whole server, and the console is none of it."""
    assert method(proxy, "postgres", "interceptor", replication=value) == SASL


# --- Odd names -------------------------------------------------------------------------------------------------------

ODD = [
    "a\nERROR forged",
    "a\r\x1b[31m",
    'q"uote',
    "'; drop table x --",
    "al\u202el",
    "all",
    "@users",
    "+staff",
    "%s %d",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_strangers_and_forge_no_line(proxy: Proxy, name: str) -> None:
    with Clients(proxy) as clients, pytest.raises(LoginFailed, match="authentication failed"):
        clients.connect("plain", name, "wrong")
    with Clients(proxy) as clients:
        with pytest.raises(LoginFailed):
            clients.connect(name, "known", "wrong")
    let_in(proxy)
    assert "\nERROR forged" not in proxy.log
    assert "\x1b" not in proxy.log


# --- Secrets ---------------------------------------------------------------------------------------------------------

SHOWS = [
    *("CLIENTS", "SERVERS", "POOLS", "DATABASES", "USERS", "CONFIG", "HELP", "STATS", "SOCKETS", "BANS", "QUERIES"),
    *("MEM", "DNS_HOSTS", "ACTIVE_SOCKETS", "PINS", "PLUGINS", "HOOKS", "STATE", "VERSION", "LISTENERS"),
]


def test_no_secret_comes_out(proxy: Proxy) -> None:
    """Passwords of the file, of a connection string and of a client, after logins that fail in every way."""
    heard: list[str] = []
    with Clients(proxy) as clients:
        for database, user, password in (
            ("plain", "known", CANARIES[2]),
            ("md5", "known", CANARIES[2]),
            ("app", "known", CANARIES[2]),
            ("secret", "known", PASSWORD),  # the server refuses nobody, or the connection string's
            ("nowhere", "asked", PASSWORD),
            ("nowhere", "known", PASSWORD),
        ):
            try:
                clients.connect(database, user, password)
            except LoginFailed as failed:
                heard.append(str(failed))
        for raw in (f"\0\3\0\0{CANARIES[2]}".encode(), CANARIES[2].encode() * 10):
            client = clients.raw()
            client.write(struct.pack("!i", len(raw) + 4) + raw)
            client.read_to_end()
            heard.append(str(client.replies))
        console = clients.connect("pgbouncer", "postgres")
        heard += [str(console.query(f"SHOW {what}")) for what in SHOWS]
    let_in(proxy)
    shown = "\n".join(heard) + proxy.log
    for canary in CANARIES:
        assert canary not in shown
        assert base64.b64encode(canary.encode()).decode() not in shown
