"""TLS towards servers: every sslmode against a PostgreSQL with TLS, one without, and good and bad certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, Setting
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.certificates import Authority, debian_postgres
from tests.support.hostile import WELCOME, Behaviour, Connection, HostileServer
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, errors
from tests.support.proxy import Proxy, Value, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireError

pytestmark = pytest.mark.needs_postgres_tls

MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SLEEPING = (
    "select pid from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active' and pid <> pg_backend_pid()"
)
HBA = [
    "hostssl all only_tls 127.0.0.1/32 trust",
    "host all only_tls 127.0.0.1/32 reject",
    "hostnossl all only_plain 127.0.0.1/32 trust",
    "host all only_plain 127.0.0.1/32 reject",
    "hostssl all certified 127.0.0.1/32 cert",
    "host all certified 127.0.0.1/32 reject",
    "host all scrammed 127.0.0.1/32 scram-sha-256",
]


@dataclass(frozen=True)
class World:
    """A server with TLS, and files of certificates."""

    server: PostgresServer
    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def dsn(self, login: str, **options: str) -> str:
        place = {"host": "localhost", "port": str(self.server.port)}
        query = "&".join(f"{name}={value}" for name, value in {**place, **options}.items())
        return f"postgresql://{login}@/postgres?{query}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tls")
    authority, other = Authority(), Authority("Somebody Else")
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "other-ca.crt").write_bytes(other.certificate)
    identity = authority.issue("localhost", hosts=["localhost"])
    authority.issue("certified").write(folder, "certified")
    other.issue("certified").write(folder, "stranger")
    files = {"server.crt": identity.certificate, "server.key": identity.key, "ca.crt": authority.certificate}
    settings: dict[str, Setting] = {
        "ssl": True,
        "ssl_ca_file": "ca.crt",
        "wal_level": "replica",
        "password_encryption": "scram-sha-256",
    }
    with PostgresServer.start(15, programs=debian_postgres(), settings=settings, hba=HBA, files=files) as server:
        server.psql(
            "create role only_tls login; create role only_plain login; create role certified login;"
            "create role scrammed login password 'secret'"
        )
        yield World(server, folder)


@pytest.fixture(scope="module")
def network(world: World) -> Iterator[CutRelay]:
    """Between the proxy and the server: it can read what is not encrypted."""
    with CutRelay(world.server.host, world.server.port) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(world: World, network: CutRelay) -> Iterator[Proxy]:
    """A database for each mode and each of some certificates."""
    ca, other = {"sslrootcert": world.path("ca.crt")}, {"sslrootcert": world.path("other-ca.crt")}
    certificate = {"sslcert": world.path("certified.crt"), "sslkey": world.path("certified.key")}
    stranger = {"sslcert": world.path("stranger.crt"), "sslkey": world.path("stranger.key")}
    databases = {
        **{mode: world.dsn("postgres", sslmode=mode, **ca) for mode in MODES},
        **{f"tls-{mode}": world.dsn("only_tls", sslmode=mode, **ca) for mode in MODES},
        **{f"plain-{mode}": world.dsn("only_plain", sslmode=mode, **ca) for mode in MODES},
        **{f"other-{mode}": world.dsn("postgres", sslmode=mode, **other) for mode in MODES},
        **{f"address-{mode}": world.dsn("postgres", host="127.0.0.1", sslmode=mode, **ca) for mode in MODES},
        "certified": world.dsn("certified", sslmode="verify-full", **ca, **certificate),
        "uncertified": world.dsn("certified", sslmode="verify-full", **ca),
        "stranger": world.dsn("certified", sslmode="require", **stranger),
        **{
            f"relay-{mode}": world.dsn("postgres", host="127.0.0.1", port=str(network.port), sslmode=mode)
            for mode in MODES[:4]
        },
        "bound": world.dsn("scrammed:secret", sslmode="require", channel_binding="require"),
        "unbound": world.dsn("scrammed:secret", sslmode="require", channel_binding="disable"),
        "bound-trust": world.dsn("postgres", sslmode="require", channel_binding="require"),
        "bound-plain": world.dsn("scrammed:secret", sslmode="disable", channel_binding="require"),
        "required": world.dsn("scrammed:secret", sslmode="require", require_auth="scram-sha-256"),
        "required-trust": world.dsn("postgres", sslmode="require", require_auth="!none"),
        "direct": world.dsn("postgres", sslmode="require", sslnegotiation="direct"),
        "default": world.dsn("postgres"),
        "live-authority": world.dsn("postgres", sslmode="verify-full", sslrootcert=world.path("live-ca.crt")),
        "live-certificate": world.dsn(
            "certified", sslmode="verify-full", **ca, sslcert=world.path("live.crt"), sslkey=world.path("live.key")
        ),
    }
    copy(world, {"other-ca.crt": "live-ca.crt", "stranger.crt": "live.crt", "stranger.key": "live.key"})
    server: dict[str, Value] = {"server_login_retry": 0, "admin_users": "admin"}
    with run_proxy(
        {"server": server, **{f"databases.{name}": {"primary": dsn} for name, dsn in databases.items()}}
    ) as p:
        yield p


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def is_encrypted(clients: Clients, database: str) -> bool:
    client = clients.connect(database)
    (encrypted,) = client.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()")[0]
    assert client.query("select repeat('x', 100000)") == [("x" * 100000,)]
    client.close()
    return encrypted == "t"


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("disable", False),
        ("allow", False),
        ("prefer", True),
        ("default", True),
        ("require", True),
        ("verify-ca", True),
        ("verify-full", True),
        ("tls-allow", True),
        ("plain-prefer", False),
        ("other-prefer", True),
        ("other-allow", False),
        ("address-verify-ca", True),
        ("bound", True),
        ("unbound", True),
        ("required", True),
    ],
)
def test_a_backend_is_encrypted_as_its_mode_says(clients: Clients, database: str, expected: bool) -> None:
    assert is_encrypted(clients, database) is expected


@pytest.mark.parametrize(
    ("database", "why"),
    [
        ("tls-disable", "pg_hba.conf rejects"),
        ("plain-require", "pg_hba.conf rejects"),
        ("other-require", "self-signed certificate|unable to get local issuer"),
        ("other-verify-ca", "self-signed certificate|unable to get local issuer"),
        ("other-verify-full", "self-signed certificate|unable to get local issuer"),
        ("address-verify-full", "IP address mismatch"),
        ("uncertified", "valid client certificate"),
        ("bound-trust", "asks for no login by SCRAM-SHA-256-PLUS"),
        ("bound-plain", "asks for no login by SCRAM-SHA-256-PLUS"),
        ("required-trust", "let us in without a question, and require_auth=md5,password,scram-sha-256"),
        # Debian's PostgreSQL is older than direct TLS: it takes the handshake for a startup packet.
        ("direct", "connection was closed during the TLS handshake|does not speak TLS"),
        # The server hangs up at once, and that may overtake the alert that says why.
        ("stranger", "the server closed the connection during login"),
    ],
)
def test_a_login_that_must_not_be_is_refused(clients: Clients, database: str, why: str) -> None:
    with pytest.raises(Exception, match=why):
        clients.connect(database)


def test_we_show_the_server_our_certificate(clients: Clients) -> None:
    client = clients.connect("certified")
    assert client.query("select client_dn from pg_stat_ssl where pid = pg_backend_pid()") == [("/CN=certified",)]


def copy(world: World, names: dict[str, str]) -> None:
    """Put other certificates into the place of those that the proxy was started with."""
    for source, target in names.items():
        Path(world.path(target)).write_bytes(Path(world.path(source)).read_bytes())


@pytest.mark.parametrize(
    ("database", "why", "mended"),
    [
        ("live-authority", "certificate is not accepted", {"ca.crt": "live-ca.crt"}),
        (
            "live-certificate",
            "cannot log in to the server",
            {"certified.crt": "live.crt", "certified.key": "live.key"},
        ),
    ],
)
def test_files_towards_servers_are_read_again_without_a_restart(
    world: World, clients: Clients, database: str, why: str, mended: dict[str, str]
) -> None:
    console = clients.connect("pgbouncer", "admin")
    with pytest.raises(LoginFailed, match=why):
        clients.connect(database)
    console.query("RELOAD")
    with pytest.raises(LoginFailed, match=why):
        clients.connect(database)
    copy(world, mended)
    console.query("RELOAD")
    assert clients.connect(database).query("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [("t",)]


def test_broken_files_towards_servers_change_nothing(world: World, clients: Clients, proxy: Proxy) -> None:
    """The reload names the file and the line, and logins go on with what was read before."""
    console = clients.connect("pgbouncer", "admin")
    authority = Path(world.path("live-ca.crt"))
    good = Path(world.path("ca.crt")).read_bytes()
    authority.write_bytes(good)
    console.query("RELOAD")
    try:
        broken = b"# of the year before\n" + good[: len(good) // 2] + b"\n-----END CERTIFICATE-----\n"
        for content, why in (
            (broken, f"{authority}:2: the certificate that begins here can't be read"),
            (b"", f"{authority} holds no certificate"),
        ):
            authority.write_bytes(content)
            with pytest.raises(WireError) as refused:
                console.query("RELOAD")
            assert why in str(refused.value)
            console.query("RECONNECT live-authority")
            assert is_encrypted(clients, "live-authority")
    finally:
        authority.write_bytes(good)
        console.query("RELOAD")


@pytest.mark.parametrize(
    ("database", "in_the_clear"), [("relay-require", 0), ("relay-prefer", 0), ("relay-disable", 1)]
)
def test_a_cancel_request_goes_the_way_of_its_connection(
    world: World, clients: Clients, network: CutRelay, database: str, in_the_clear: int
) -> None:
    """The network between sees a cancel request only where there is no TLS."""
    before = network.cancels_seen
    client = clients.connect(database)
    client.send(f.query("select pg_sleep(60)"))
    wait_until(lambda: bool(world.server.psql(SLEEPING)), "the query runs")
    clients.cancel(client.key)
    client.read_until_ready(2)
    (error,) = errors(client)
    assert error["C"] == "57014"
    assert client.query("select 1") == [("1",)]
    assert network.cancels_seen == before + in_the_clear


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    """A server that answers as the test tells it."""
    with HostileServer(answer_with(b"")) as server:
        yield server


@pytest.fixture(scope="module")
def before_hostile(hostile: HostileServer) -> Iterator[Proxy]:
    """A proxy that wants TLS of it."""
    primary = f"postgresql://postgres@{hostile.host}:{hostile.port}/d?sslmode=require"
    with run_proxy({"server": {"server_login_retry": 0}, "databases.app": {"primary": primary}}) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        # CVE-2021-23222: an error, or a whole login, that somebody in the middle put behind the server's S.
        (b"S" + WELCOME, "sent unencrypted data after it agreed to TLS"),
        (b"SE", "sent unencrypted data after it agreed to TLS"),
        (b"Shello, this is no TLS", "sent unencrypted data after it agreed to TLS"),
        (b"N", 'the server has no TLS, and sslmode is "require"'),
        (b"E", "answered the question for TLS with something else"),
        (b"N" + WELCOME, "answered the question for TLS with something else"),
        (b"", "closed the connection when it was asked for TLS"),
    ],
    ids=["welcome", "error behind", "text", "no", "error", "no and more", "nothing"],
)
def test_a_server_without_sound_tls_is_named(
    hostile: HostileServer, before_hostile: Proxy, answer: bytes, why: str
) -> None:
    hostile.behaviour = answer_with(answer)
    with Clients(before_hostile) as clients, pytest.raises(LoginFailed, match=why):
        clients.connect("app")


def answer_with(answer: bytes) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.read(8)
        connection.write(answer)
        if answer:
            connection.hang()

    return behave
