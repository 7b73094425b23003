"""Logins end to end: from clients to the proxy, and from the proxy to the server with what the client's login gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

import asyncpg
import psycopg
import pytest
from psycopg import sql

from interceptor.protocol.md5 import md5_hash
from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.login import Authenticator, LoginFailed
from tests.support.proxied import Clients, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_until

PASSWORD = "an ordinary secret"
FORCED_PASSWORD = "known to the proxy alone"
# The method that the server asks each role for.
METHODS = {"ask_password": "password", "ask_md5": "md5", "ask_scram": "scram-sha-256", "forced": "scram-sha-256"}


@dataclass(frozen=True)
class World:
    """A server that asks for passwords, and what it stores of them."""

    server: PostgresServer
    stored: dict[str, str]

    def users(self, how: str) -> str:
        """A users.txt with each role's password in this form: plain, md5, or the server's own verifier."""
        lines = []
        for role in METHODS:
            password = FORCED_PASSWORD if role == "forced" else PASSWORD
            entry = {
                "plain": password,
                "md5": md5_hash(password.encode(), role.encode()).decode(),
                "verifier": self.stored[role],
            }[how]
            lines.append(f'"{role}" "{entry}"')
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def worlds() -> Iterator[Callable[[int], World]]:
    """The world of a version, made when it is first asked for.

    A fixture with the version as its parameter would be made anew for each position that this has in a list of others.
    """
    with ExitStack() as stack:
        yield cache(lambda version: stack.enter_context(make_world(version)))


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def world(request: pytest.FixtureRequest, worlds: Callable[[int], World]) -> World:
    """Each version in turn."""
    return worlds(request.param)


@contextmanager
def make_world(version: int) -> Iterator[World]:
    hba = [f"host all {role} 127.0.0.1/32 {method}" for role, method in METHODS.items()]
    hba += [f"host all {role} 127.0.0.1/32 scram-sha-256" for role in ("rotated", "only_here")]
    with PostgresServer.start(version, hba=hba) as server:
        stored = {}
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for role, method in METHODS.items():
                encryption = "md5" if method == "md5" else "scram-sha-256"
                connection.execute(f"set password_encryption = '{encryption}'")
                password = FORCED_PASSWORD if role == "forced" else PASSWORD
                connection.execute(
                    sql.SQL("create role {} login password {}").format(sql.Identifier(role), sql.Literal(password))
                )
                row = connection.execute("select rolpassword from pg_authid where rolname = %s", [role]).fetchone()
                assert row is not None
                stored[role] = str(row[0])
        yield World(server, stored)


def tables(server: PostgresServer, auth_type: str) -> Tables:
    return {
        # A backend that is asked what a statement did isn't idle when it dies.
        "server": {
            "auth_type": auth_type,
            "auth_file": "users.txt",
            "server_login_retry": "100ms",
            "catalogue": False,
        },
        "databases.own": {"primary": upstream(server, "postgres", "")},
        "databases.forced": {
            "primary": f"postgresql://forced:{FORCED_PASSWORD.replace(' ', '%20')}@{server.host}:{server.port}/postgres"
        },
        "databases.forced_by_file": {"primary": upstream(server, "postgres", "forced")},
    }


# What clients are asked for, what the file holds, and the roles whose backends can log in with what that gives.
EVERYBODY = ("ask_password", "ask_md5", "ask_scram")
LOGINS = [
    ("trust", "plain", EVERYBODY),
    ("trust", "md5", ("ask_md5",)),
    ("password", "plain", EVERYBODY),
    ("password", "md5", EVERYBODY),  # the client has shown the password itself
    ("password", "verifier", EVERYBODY),
    ("md5", "plain", EVERYBODY),
    ("md5", "md5", ("ask_md5",)),
    ("md5", "verifier", ("ask_scram",)),  # whoever has a verifier is asked by SCRAM
    ("scram-sha-256", "plain", EVERYBODY),
    ("scram-sha-256", "verifier", ("ask_scram",)),
]


# What the proxy does for clients does not depend on the server's version; what it does towards the server is in these.
LOGINS_OF_16 = [one for one in LOGINS if one[:2] in (("trust", "plain"), ("md5", "md5"), ("scram-sha-256", "verifier"))]


@pytest.mark.parametrize(
    ("version", "auth_type", "how", "roles"),
    [(version, *login) for version, logins in ((18, LOGINS), (16, LOGINS_OF_16)) for login in logins],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_clients_log_in_and_their_backends_do(
    worlds: Callable[[int], World], version: int, auth_type: str, how: str, roles: tuple[str, ...]
) -> None:
    """Traps 30 and 31, with three implementations of a client: our own, libpq and asyncpg."""
    world = worlds(version)
    with (
        run_proxy(tables(world.server, auth_type), {"users.txt": world.users(how)}) as proxy,
        Clients(proxy) as clients,
    ):
        for role in roles:
            if auth_type == "md5" and how == "verifier" and role == "ask_md5":
                continue
            assert clients.connect("own", role, PASSWORD).query("select current_user") == [(role,)]
            with psycopg.connect(proxy.dsn("own", role), password=PASSWORD) as connection:
                assert connection.execute("select current_user").fetchone() == (role,)
            driver = await asyncpg.connect(proxy.dsn("own", role), password=PASSWORD)
            assert await driver.fetchval("select current_user") == role
            await driver.close()
            if auth_type != "trust":
                with pytest.raises(LoginFailed, match="password authentication failed"):
                    clients.connect("own", role, "wrong")
        for database in ("forced", *(["forced_by_file"] if how == "plain" else [])):
            client = clients.connect(database, roles[0], PASSWORD)
            assert client.query("select current_user, session_user") == [("forced", "forced")]
        assert not any(secret in proxy.log for secret in (PASSWORD, FORCED_PASSWORD, *world.stored.values()))


@pytest.fixture(scope="module")
def scram(world: World) -> Iterator[Proxy]:
    """Verifiers of the server in the file, so that no password is stored anywhere."""
    users = world.users("verifier") + f'"only_here" "{world.stored["ask_scram"]}"\n'
    with run_proxy(tables(world.server, "scram-sha-256"), {"users.txt": users}) as running:
        yield running


def test_keys_of_a_client_s_login_do_not_overwrite_a_forced_user_s_own(scram: Proxy, world: World) -> None:
    """Trap 31."""
    with Clients(scram) as clients, Activity(world.server, "postgres") as activity:
        for role in ("ask_scram", "only_here"):
            assert clients.connect("forced", role, PASSWORD).query("select current_user") == [("forced",)]
        for pid in activity.pids("AND usename = 'forced'"):
            activity.terminate(pid)
        # The next backend logs in as the first one did.
        assert clients.connect("forced", "ask_scram", PASSWORD).query("select current_user") == [("forced",)]


def test_a_backend_lost_is_replaced_by_the_keys_of_the_login_long_ago(scram: Proxy, world: World) -> None:
    """Trap 31."""
    with Clients(scram) as clients, Activity(world.server, "postgres") as activity:
        client = clients.connect("own", "ask_scram", PASSWORD)
        for _ in range(3):
            (pid,) = client.query("select pg_backend_pid()")[0]
            activity.terminate(int(pid or 0))
            wait_until(lambda: client.query("select 1") == [("1",)], "another backend serves")


def test_a_verifier_that_is_not_the_server_s_own_is_named_and_other_roles_go_on(scram: Proxy, world: World) -> None:
    with Clients(scram) as clients:
        client = clients.connect("own", "ask_scram", PASSWORD)
        with pytest.raises(LoginFailed, match='"only_here" failed: the SCRAM verifier'):
            clients.connect("own", "only_here", PASSWORD)
        assert client.query("select 1") == [("1",)]


def conversation(clients: Clients, user: str, password: str) -> list[tuple[bytes, str]]:
    """What a login is told, with what differs between any two logins left out."""
    client = clients.raw()
    client.send(f.startup({"user": user, "database": "own"}))
    authenticator = Authenticator(user, password)
    heard: list[tuple[bytes, str]] = []
    while not client.closed:
        client.read_count(len(heard) + 1)
        for reply in client.replies[len(heard) :]:
            told = str(errors(client)[0]).replace(user, "USER") if reply.tag == b"E" else ""
            if reply.tag == b"R" and reply.body[3] == 11:
                challenge = dict(part.split("=", 1) for part in reply.body[4:].decode().split(","))
                told = f"{len(challenge['r'])} {len(challenge['s'])} {challenge['i']}"
            elif reply.tag == b"R":
                told = str(reply.body[3])
            heard.append((reply.tag, told))
            if reply.tag == b"R" and (answer := authenticator.answer(reply)):
                client.send(answer)
    return heard


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
def test_an_unknown_user_and_a_wrong_password_get_the_same_replies(
    worlds: Callable[[int], World], auth_type: str
) -> None:
    """Trap 30."""
    world = worlds(18)
    how = "md5" if auth_type == "md5" else "plain"
    with (
        run_proxy(tables(world.server, auth_type), {"users.txt": world.users(how)}) as proxy,
        Clients(proxy) as clients,
    ):
        wrong = conversation(clients, "ask_scram", "wrong")
        unknown = conversation(clients, "no_such_user", "wrong")
        assert unknown == wrong
        assert wrong[-1][0] == b"E"
        assert "28P01" in wrong[-1][1]
        # Nor does a database that does not exist tell anything to who is not let in.
        elsewhere = clients.raw()
        elsewhere.send(f.startup({"user": "ask_scram", "database": "no_such_database"}))
        elsewhere.read_count(1)
        assert tags(elsewhere) == b"R"


def test_under_trust_the_file_lists_who_may_come_in(worlds: Callable[[int], World]) -> None:
    world = worlds(18)
    with run_proxy(tables(world.server, "trust"), {"users.txt": world.users("plain")}) as proxy:
        with Clients(proxy) as clients, pytest.raises(LoginFailed, match="stranger"):
            clients.connect("own", "stranger")


def test_a_password_that_is_changed_on_the_server_fails_new_backends_until_the_file_has_it_too(world: World) -> None:
    """Trap 31: what is logged in goes on; what is new is refused in words that say who refused."""
    server = world.server
    server.psql(f"create role rotated login password '{PASSWORD}'")
    with Activity(server, "postgres") as activity:
        with run_proxy(tables(server, "password"), {"users.txt": f'"rotated" "{PASSWORD}"\n'}) as proxy:
            with Clients(proxy) as clients:
                first = clients.connect("own", "rotated", PASSWORD)
                server.psql("alter role rotated password 'the new one'")
                assert first.query("select 1") == [("1",)]
                second = clients.connect("own", "rotated", PASSWORD)
                first.query("begin")
                second.send(f.query("select 1"))
                second.read_to_end()
                (error,) = errors(second)
                assert (error["V"], error["C"]) == ("FATAL", "28P01")
                assert 'password authentication failed for user "rotated"' in error["M"]
                assert first.query("select 1") == [("1",)]
        with run_proxy(tables(server, "password"), {"users.txt": '"rotated" "the new one"\n'}) as proxy:
            with Clients(proxy) as clients:
                assert clients.connect("own", "rotated", "the new one").query("select 1") == [("1",)]
                assert activity.count("AND usename = 'rotated'") == 1
