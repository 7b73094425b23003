"""Connections that begin with something else than a startup packet, or with one that is wrong."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import decode_error
from tests.support.vitals import Victim, run_victim
from tests.support.wire import Endpoint, ReplyTimeout, WireClient

LOGIN_TIMEOUT = 3
SSL_REQUEST = frontend.ssl_request().data
GSSENC_REQUEST = frontend.gssenc_request().data
CANCEL_CODE = 80877102
WHO = b"user\0postgres\0database\0bad_input\0"


def packet(body: bytes, version: int = frontend.PROTOCOL_3_0) -> bytes:
    return struct.pack("!II", len(body) + 8, version) + body


def claims(size: int, rest: bytes = b"x" * 20_000) -> bytes:
    """A packet whose length word says ``size``."""
    return struct.pack("!i", size) + rest


REFUSED = {
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
    "smtp": b"EHLO localhost\r\n",
    "TLS ClientHello without SSLRequest": bytes.fromhex("16030100c8010000c40303") + bytes(range(189)),
    "claims 1 GB": claims(1 << 30),
    "claims 2 GB": claims((1 << 31) - 1),
    "claims -1 bytes": claims(-1),
    "claims 0 bytes": claims(0),
    "claims 3 bytes": claims(3),
    "claims 7 bytes": claims(7),
    "claims 10,005 bytes": claims(10_005),
    "claims 10,000 bytes of nonsense": struct.pack("!II", 10_000, frontend.PROTOCOL_3_0) + b"x" * 9_992,
    "protocol 0.0": packet(WHO + b"\0", 0),
    "protocol 1.0": packet(WHO + b"\0", 1 << 16),
    "protocol 2.0": packet(bytes(288), 2 << 16),
    "protocol 4.0": packet(WHO + b"\0", 4 << 16),
    "no user": packet(b"database\0bad_input\0\0"),
    "an empty user": packet(b"user\0\0\0"),
    "no parameter": packet(b"\0"),
    "nothing at all": packet(b""),
    "no terminator": packet(WHO),
    "a name without a value": packet(b"user\0postgres\0database\0\0"),
    "bytes behind the terminator": packet(WHO + b"\0junk\0\0"),
    "two terminators": packet(WHO + b"\0\0"),
    "1,000 parameters": packet(WHO + b"".join(b"p%d\0v\0" % number for number in range(1000)) + b"\0"),
    "the last of two users": packet(WHO + b"user\0nobody\0\0"),
    "replication=maybe": packet(WHO + b"replication\0maybe\0\0"),
    "an unknown parameter": packet(WHO + b"nonsense\0x\0\0"),
    "a wrong value": packet(WHO + b"DateStyle\0nonsense\0\0"),
    "options that are none": packet(WHO + b"options\0-c nonsense\0\0"),
    "a database that does not exist": packet(b"user\0postgres\0database\0nowhere\0\0"),
    "a database's name of 9,000 bytes": packet(b"user\0postgres\0database\0" + b"x" * 9_000 + b"\0\0"),
    "a role that does not exist": packet(b"user\0nobody\0database\0bad_input\0\0"),
    "SSLRequest twice": SSL_REQUEST * 2,
    "CancelRequest without a key": struct.pack("!III", 12, CANCEL_CODE, 1),
    "CancelRequest without anything": struct.pack("!II", 8, CANCEL_CODE),
    "CancelRequest with a key of 300 bytes": struct.pack("!III", 312, CANCEL_CODE, 1) + b"x" * 300,
    "CancelRequest with a negative process id": struct.pack("!IIiI", 16, CANCEL_CODE, -1, 1),
    "CancelRequest and more": struct.pack("!IIII", 16, CANCEL_CODE, 1, 1) + b"x" * 400,
}

ADMITTED = {
    "protocol 3.99": packet(WHO + b"\0", 3 << 16 | 99),
    "an option of the protocol that nobody knows": packet(WHO + b"_pq_.unheard_of\0x\0\0"),
    "the last of two values": packet(WHO + b"application_name\0a\0application_name\0b\0\0"),
}


@dataclass(frozen=True)
class Verdict:
    """What became of a connection: whether the peer hung up, and the error that it gave before."""

    closed: bool
    severity: str = ""
    sqlstate: str = ""


def verdict(endpoint: Endpoint, data: bytes) -> Verdict:
    """Send ``data`` to a fresh connection, and read until the peer hangs up or is ready."""
    with WireClient(endpoint.host, endpoint.port) as client:
        client.write(data)
        client.read_until(lambda: client.ready_count > 0)
        for reply in client.replies:
            if reply.tag == b"E":
                fields = decode_error(reply.body)
                return Verdict(client.closed, fields["V"], fields["C"])
        return Verdict(client.closed)


@pytest.fixture(scope="module")
def victim(postgres18: PostgresServer) -> Iterator[Victim]:
    with run_victim(postgres18, {"client_login_timeout": LOGIN_TIMEOUT}) as victim:
        yield victim


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_sqlstate_of_postgresql(name: str, victim: Victim) -> None:
    data = REFUSED[name]
    by_postgresql = verdict(victim.direct, data)
    by_proxy = verdict(victim.endpoint, data)
    assert by_proxy.closed
    assert by_postgresql.closed
    # PostgreSQL hangs up without a word where the peer may not be a client of its own, and speaks protocol 2 to one of
    # protocol 2.
    if by_postgresql.sqlstate:
        assert by_proxy == by_postgresql
    else:
        assert by_proxy.sqlstate in ("", "08P01", "0A000")


@pytest.mark.parametrize("name", ADMITTED)
def test_let_in_as_by_postgresql(name: str, victim: Victim) -> None:
    assert verdict(victim.direct, ADMITTED[name]) == verdict(victim.endpoint, ADMITTED[name]) == Verdict(closed=False)


def test_all_of_it_a_few_times_over_harms_nobody(victim: Victim) -> None:
    with victim.unharmed():
        for _ in range(5):
            for data in REFUSED.values():
                assert verdict(victim.endpoint, data).closed


def test_random_bytes_harm_nobody(victim: Victim) -> None:
    source = random.Random(20_18)
    with victim.unharmed():
        for _ in range(200):
            data = source.randbytes(source.randrange(1, 2000))
            with WireClient(victim.endpoint.host, victim.endpoint.port) as client:
                client.write(data)
                if len(data) >= 4 and not 8 <= int.from_bytes(data[:4], "big") <= 10_004:
                    client.read_to_end()


def test_a_packet_that_ends_after_any_of_its_bytes_harms_nobody(victim: Victim) -> None:
    packets = {
        "startup": frontend.startup({"user": "postgres", "database": "bad_input", "application_name": "cut"}).data,
        "SSLRequest": SSL_REQUEST,
        "GSSENCRequest": GSSENC_REQUEST,
        "CancelRequest": frontend.cancel_request(1, b"1234").data,
    }
    with victim.unharmed():
        for data in packets.values():
            for length in range(len(data)):
                with WireClient(victim.endpoint.host, victim.endpoint.port) as client:
                    client.write(data[:length])


@pytest.mark.parametrize("declined", [frontend.ssl_request(), frontend.gssenc_request()], ids=lambda each: each.name)
def test_encryption_is_declined_once_and_a_second_request_ends_it(declined: frontend.Frontend, victim: Victim) -> None:
    with WireClient(victim.endpoint.host, victim.endpoint.port) as client:
        assert client.ask_for_encryption(declined) == b"N"
        client.send(declined)
        client.read_to_end()
        assert [reply.tag for reply in client.replies] == [b"E"]


def test_encryption_of_both_kinds_may_be_asked_for_and_then_the_login_goes_on(victim: Victim) -> None:
    with WireClient(victim.endpoint.host, victim.endpoint.port) as client:
        assert client.ask_for_encryption(frontend.gssenc_request()) == b"N"
        assert client.ask_for_encryption(frontend.ssl_request()) == b"N"
        client.log_in(victim.endpoint)
        assert client.query("SELECT 1") == [("1",)]


def test_logins_that_stop_or_send_one_byte_a_while_are_ended_by_client_login_timeout(victim: Victim) -> None:
    data = frontend.startup({"user": "postgres", "database": "bad_input"}).data
    begun = time.monotonic()
    with victim.unharmed(), ExitStack() as stack:
        place = victim.endpoint.host, victim.endpoint.port
        stopped = [stack.enter_context(WireClient(*place)) for _ in range(3)]
        for client, said in zip(stopped, (b"", data[:2], data[:-1]), strict=True):
            client.write(said)
        client = stack.enter_context(WireClient(*place, timeout=0.5))
        for position in range(len(data) - 1):
            client.write(data[position : position + 1])
            if _hung_up_within_a_while(client):
                break
        assert client.closed, "it was let to go on for as long as it liked"
        for one in (client, *stopped):
            one.read_to_end()
            assert decode_error(one.replies[0].body)["C"] == "08006"
            assert "client_login_timeout" in str(one.replies[0])
        assert time.monotonic() - begun >= LOGIN_TIMEOUT - 1


def _hung_up_within_a_while(client: WireClient) -> bool:
    try:
        client.read_to_end()
    except ReplyTimeout:
        return False
    return True
