"""Servers that speak garbage, at the login and later: an error that says so, and no harm to anybody else."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.support import frontend as f
from tests.support.fake_server import FakeServer, LastWords, let_in, message, ready
from tests.support.proxied import Clients, errors, tags
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_for

OK = message(b"R", struct.pack("!I", 0))
ROW = message(b"T", b"\0\0") + message(b"D", b"\0\0")

AT_LOGIN: dict[str, tuple[bytes | None, str]] = {
    "another_protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "08P01"),
    "nothing": (None, "08006"),
    "a_length_too_short": (b"R\0\0\0\3", "08P01"),
    "a_length_too_long": (b"R\x7f\xff\xff\xff", "08P01"),
    "an_error_without_fields": (message(b"E"), "08004"),
    "an_error_that_breaks_off": (message(b"E", b"SFATAL"), "08P01"),
    "an_error_in_no_encoding": (message(b"E", b"SFATAL\0Mno \xff\xfe\0\0"), "08004"),
    "an_authentication_too_short": (message(b"R", b"\0"), "08P01"),
    "an_unknown_authentication": (message(b"R", struct.pack("!I", 99)), "08004"),
    "an_unknown_mechanism": (message(b"R", struct.pack("!I", 10) + b"ROT13\0\0"), "08004"),
    "a_password_that_nobody_knows": (message(b"R", struct.pack("!I", 3)), "08004"),
    "a_parameter_that_breaks_off": (OK + message(b"S", b"TimeZone"), "08P01"),
    "a_key_too_short": (OK + message(b"K", b"ab"), "08P01"),
    "ready_in_a_transaction": (OK + ready(b"T"), "08P01"),
    "ready_without_a_status": (OK + message(b"Z"), "08P01"),
    "ready_before_ok": (ready(), "08P01"),
    "a_row": (OK + message(b"D", b"\0\0"), "08P01"),
    "a_request_for_more_after_ok": (OK + message(b"R", struct.pack("!I", 3)), "08P01"),
}

TO_A_QUERY: dict[str, bytes | None] = {
    "nothing": None,
    "another_protocol": b"220 mail.example ESMTP\r\n",
    "an_unknown_message": message(b"!", b"what?"),
    "a_length_too_short": b"T\0\0\0\3",
    "ready_without_a_status": message(b"Z"),
    "ready_that_is_too_long": message(b"Z", b"II"),
    "the_answer_to_another_message": message(b"1"),
    "garbage_after_rows": ROW + message(b"!", b"what?"),
    "a_parameter_that_breaks_off": message(b"S", b"TimeZone"),
    "a_parameter_of_2_mb": message(b"S", b"TimeZone\0" + bytes(2_000_000)),
    "an_authentication": message(b"R", struct.pack("!I", 0)),
    "a_row_that_breaks_off": LastWords(ROW + b"D\0\0\1\0abc"),
}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with FakeServer(lambda tag, number: let_in() if not tag else None) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(fake: FakeServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {"server_login_retry": "10ms", "server_connect_timeout": "5s"},
        'databases."*"': {"primary": f"postgresql://postgres@{fake.host}:{fake.port}", "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.mark.parametrize("case", AT_LOGIN)
def test_at_login(clients: Clients, fake: FakeServer, case: str) -> None:
    said, sqlstate = AT_LOGIN[case]
    fake.answer = lambda tag, number: said if not tag else b""
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": f"login_{case}"}))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", sqlstate)
    assert f"{fake.host}:{fake.port}" in error["M"], "it says which server"


@pytest.mark.parametrize("case", TO_A_QUERY)
def test_to_a_query(clients: Clients, fake: FakeServer, case: str) -> None:
    answer = TO_A_QUERY[case]
    first = fake.connections + 1
    select = message(b"C", b"SELECT 0\0") + ready()
    # The first connection goes wrong at its first Query; all others answer it.
    fake.answer = lambda tag, number: let_in() if not tag else answer if number == first else select
    client, bystander = clients.connect(f"query_{case}"), clients.connect(f"query_{case}")
    seen = len(client.replies)
    client.send(f.query("select"))
    client.read_to_end()
    assert b"Z" not in tags(client, seen)
    if case != "a_row_that_breaks_off":  # in which an error would be read as a part of the row
        (error,) = errors(client, seen)
        assert error["V"] == "FATAL"
        assert error["C"] == ("08006" if case == "nothing" else "08P01")
    assert bystander.query("select") == []


def test_an_answer_that_nobody_asked_for_reaches_nobody(clients: Clients, fake: FakeServer) -> None:
    """Trap 28: behind the ReadyForQuery that frees the backend, in one piece with it."""
    first = fake.connections + 1
    select = message(b"C", b"SELECT 0\0") + ready()

    def answer(tag: bytes, number: int) -> bytes:
        if not tag:
            return let_in()
        return select + (ROW + select if number == first else b"")

    fake.answer = answer
    client, other = clients.connect("too_much"), clients.connect("too_much")
    client.send(f.query("select"))
    client.read_until_ready(2)
    seen = len(other.replies)
    other.send(f.query("select"))
    other.read_until_ready(2)
    assert tags(other, seen) == b"CZ"


def test_a_server_that_recovers_is_used_again(clients: Clients, fake: FakeServer) -> None:
    fake.answer = lambda tag, number: b"garbage: " + bytes(20)
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": "recovers"}))
    client.read_to_end()
    assert errors(client)
    fake.answer = lambda tag, number: message(b"C", b"SELECT 0\0") + ready() if tag else let_in()

    def try_again() -> bool:
        another = clients.raw()
        another.send(f.startup({"user": "postgres", "database": "recovers"}))
        another.read_until(lambda: b"E" in tags(another) or b"Z" in tags(another))
        return b"Z" in tags(another)

    wait_for("a login after server_login_retry", try_again)
