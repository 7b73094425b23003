"""Rules by TLS, certificate, address behind a balancer, and time of day, through a running proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.certificates import Authority
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

BALANCER = "127.0.0.2"
FAR_EAST, FAR_WEST = ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Etc/GMT+12")
"""26 hours apart: never do they have the same day."""


def around(zone: ZoneInfo) -> dict[str, str]:
    """Hours and weekdays of a rule that hold from an hour ago to an hour from now."""
    now = datetime.now(UTC)
    start, end = [(now + timedelta(hours=hours)).astimezone(zone) for hours in (-1, 1)]
    days = ", ".join(sorted({f'"{one:%a}"'.lower() for one in (start, end)}))
    return {"hours": f'hours = "{start:%H:%M}-{end:%H:%M}"', "weekdays": f"weekdays = [{days}]"}


def rules() -> str:
    east = around(FAR_EAST)
    conditions = {
        "plain": "tls = false",
        "encrypted": "tls = true",
        "certified": 'certificates = ["CN=postgres,O=shop"]',
        "of_the_shop": 'certificates = ["*,O=shop"]',
        "but_certified": 'except_certificates = ["CN=postgres*"]',
        "network": 'addresses = ["192.0.2.0/28", "2001:db8::/32"]',
        "elsewhere": 'except_addresses = ["192.0.2.0/24"]',
        "balancer": f'addresses = ["{BALANCER}"]',
        "hours_east": f'{east["hours"]}\ntime_zone = "{FAR_EAST.key}"',
        "hours_west": f'{east["hours"]}\ntime_zone = "{ZoneInfo("Etc/GMT+1").key}"',
        "days_east": f'{east["weekdays"]}\ntime_zone = "{FAR_EAST.key}"',
        "days_west": f'{east["weekdays"]}\ntime_zone = "{FAR_WEST.key}"',
    }
    return "".join(
        f'[[rule]]\nname = "{name}"\nregex = "probe_{name}\\\\b"\n{keys}\naction = "block"\nsqlstate = "45000"\n'
        for name, keys in conditions.items()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("who")
    authority = Authority()
    (made / "ca.crt").write_bytes(authority.certificate)
    authority.issue("localhost", hosts=["localhost", "127.0.0.1"]).write(made, "server")
    authority.issue("postgres", organization="shop").write(made, "client")
    authority.issue("postgres", organization="bank").write(made, "other")
    return made


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, folder: Path) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {
            "client_tls_sslmode": "prefer",
            "client_tls_cert_file": str(folder / "server.crt"),
            "client_tls_key_file": str(folder / "server.key"),
            "client_tls_ca_file": str(folder / "ca.crt"),
            "proxy_protocol_from": [f"{BALANCER}/32"],
            "catalogue": False,
        },
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins.rules": {"file": "rules.toml"},
    }
    with run_proxy(tables, {"rules.toml": rules()}) as made:
        yield made


def refused(connection: psycopg.Connection[tuple[object, ...]], *names: str) -> list[str]:
    """The names of rules that refuse their probe; in both protocols alike."""
    return [name for name in names if outcome(connection, name, False) == outcome(connection, name, True) == "45000"]


def outcome(connection: psycopg.Connection[tuple[object, ...]], name: str, extended: bool) -> str | None:
    """The SQLSTATE of what comes of a probe; None if that is no error."""
    try:
        connection.execute(f"select 1 as probe_{name}", binary=extended, prepare=extended)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def connect(proxy: Proxy, folder: Path, sslmode: str, name: str = "") -> psycopg.Connection[tuple[object, ...]]:
    shown = {"sslcert": str(folder / f"{name}.crt"), "sslkey": str(folder / f"{name}.key")} if name else {}
    place = {"host": "localhost", "port": str(proxy.port), "dbname": "app", "user": "postgres", "sslmode": sslmode}
    parameters = {"sslcert": "/none", "sslkey": "/none", "sslrootcert": "/none", **place, **shown}
    return psycopg.connect(make_conninfo("", **parameters), autocommit=True)


@pytest.mark.parametrize(
    ("sslmode", "certificate", "expected"),
    [
        ("disable", "", ["plain", "but_certified"]),
        ("require", "", ["encrypted", "but_certified"]),
        ("require", "client", ["encrypted", "certified", "of_the_shop"]),
        ("require", "other", ["encrypted"]),
    ],
)
def test_tls_and_who_showed_which_certificate(
    proxy: Proxy, folder: Path, sslmode: str, certificate: str, expected: list[str]
) -> None:
    with connect(proxy, folder, sslmode, certificate) as connection:
        assert connection.pgconn.ssl_in_use is (sslmode == "require")
        names = ("plain", "encrypted", "certified", "of_the_shop", "but_certified")
        assert refused(connection, *names) == expected


def from_balancer(proxy: Proxy, header: bytes, name: str) -> bool:
    """Whether a probe is refused of a client that a balancer tells of."""
    with socket.create_connection((proxy.host, proxy.port), 10, source_address=(BALANCER, 0)) as stream:
        stream.sendall(header + f.startup({"user": "postgres", "database": "app"}).data)
        answer = b""
        while not answer.endswith(b"Z\0\0\0\x05I"):
            answer += stream.recv(1 << 16)
        stream.sendall(f.query(f"select 1 as probe_{name}").data)
        answer = b""
        while not answer.endswith(b"Z\0\0\0\x05I"):
            answer += stream.recv(1 << 16)
        return b"C45000" in answer


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"PROXY TCP4 192.0.2.9 10.0.0.1 80 6432\r\n", ["network"]),
        (b"PROXY TCP4 192.0.2.99 10.0.0.1 80 6432\r\n", []),
        (b"PROXY TCP4 198.51.100.1 10.0.0.1 80 6432\r\n", ["elsewhere"]),
        (b"PROXY TCP6 2001:db8::5 2001:db8::1 80 6432\r\n", ["network", "elsewhere"]),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 80 6432\r\n", ["network"]),
        (b"PROXY UNKNOWN\r\n", ["elsewhere", "balancer"]),
    ],
    ids=lambda value: value.decode().split("\r")[0] if isinstance(value, bytes) else "",
)
def test_the_address_of_a_client_behind_a_balancer(proxy: Proxy, header: bytes, expected: list[str]) -> None:
    names = ("network", "elsewhere", "balancer")
    assert [name for name in names if from_balancer(proxy, header, name)] == expected


def test_the_time_of_day_is_that_of_the_rule_s_time_zone(proxy: Proxy, folder: Path) -> None:
    with connect(proxy, folder, "disable") as connection:
        names = ("hours_east", "hours_west", "days_east", "days_west")
        assert refused(connection, *names) == ["hours_east", "days_east"]
        # What the session takes for its time zone is another matter.
        connection.execute("set timezone to 'Etc/GMT+12'")
        assert refused(connection, *names) == ["hours_east", "days_east"]
