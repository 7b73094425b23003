"""Messages that are wrong, or that come when they should not: answered as PostgreSQL answers them, in every state."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import partial

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import Reply, decode_error
from tests.support.vitals import Victim, run_victim
from tests.support.wire import Endpoint, WireClient


def message(kind: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A message; ``length`` is what it claims, where that is not the truth."""
    return kind + struct.pack("!I", (len(body) + 4 if length is None else length) & 0xFFFFFFFF) + body


Step = tuple[tuple[frontend.Frontend, ...], bytes]
"""Messages, and the type of the last reply to them."""

STATES: dict[str, tuple[Step, ...]] = {
    "idle": (),
    "in a transaction": (((frontend.query("BEGIN"),), b"Z"),),
    "in a failed transaction": (((frontend.query("BEGIN"),), b"Z"), ((frontend.query("SELECT 1/0"),), b"Z")),
    "in a batch": (((frontend.parse("SELECT 1"), frontend.flush()), b"1"),),
    "in a failed batch": (((frontend.parse("SELECT nothing"), frontend.flush()), b"E"),),
    "copying in": (((frontend.query("COPY bad_input FROM STDIN"),), b"G"),),
}

MESSAGES = {
    # No message of a client at all
    "type 0": message(b"\0"),
    "type 255": message(b"\xff"),
    "a letter that is none of the protocol": message(b"z"),
    "an answer of a server": message(b"R", bytes(4)),
    "a row of a server": message(b"T", b"\0\0"),
    "random letters": bytes(range(200, 256)) * 4,
    # At the wrong time
    "a password that nobody asked for": message(b"p", b"secret\0"),
    "SSLRequest": frontend.ssl_request().data,
    "CancelRequest": frontend.cancel_request(1, b"1234").data,
    "StartupMessage": frontend.startup({"user": "postgres"}).data,
    "CopyData": message(b"d", b"1\n"),
    "CopyDone": message(b"c"),
    "CopyFail": message(b"f", b"why\0"),
    # Impossible lengths
    "Query of length 0": message(b"Q", length=0),
    "Query of length 3": message(b"Q", length=3),
    "Query of length -1": message(b"Q", length=-1),
    "Query of more than 1 GB": message(b"Q", length=0x40000000),
    "Parse of length 3": message(b"P", length=3),
    "Bind of 2 GB": message(b"B", length=0x7FFFFFFF),
    "Sync of length 3": message(b"S", length=3),
    "Sync of 10,001 bytes": message(b"S", length=10_001),
    "Describe of 1 MB": message(b"D", length=1 << 20),
    "Execute of 20,000 bytes": message(b"E", length=20_000),
    "Terminate of 20,000 bytes": message(b"X", length=20_000),
    "CopyData of length 0": message(b"d", length=0),
    "CopyDone of 10,001 bytes": message(b"c", length=10_001),
    # Bodies that make no sense
    "Query without a body": message(b"Q"),
    "Query without a terminator": message(b"Q", b"SELECT 1"),
    "Query with bytes behind its terminator": message(b"Q", b"SELECT 1\0x"),
    "Query that is no UTF-8": message(b"Q", b"SELECT '\xff\xfe'\0"),
    "Parse without a body": message(b"P"),
    "Parse without a terminator": message(b"P", b"\0SELECT 1"),
    "Parse that announces 60,000 types": message(b"P", b"\0SELECT 1\0\xea\x60"),
    "Parse of a name without an end": message(b"P", b"x" * 100),
    "Bind without a body": message(b"B"),
    "Bind that announces 60,000 values": message(b"B", b"\0\0\0\0\xea\x60"),
    "Bind with a value of -2 bytes": message(b"B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
    "Bind with a format of 7": message(b"B", b"\0\0\0\1\0\7\0\0\0\0"),
    "Bind to a statement that does not exist": message(b"B", b"\0nowhere\0" + bytes(6)),
    "Describe without a body": message(b"D"),
    "Describe of a kind that does not exist": message(b"D", b"x\0"),
    "Describe without a terminator": message(b"D", b"Sx"),
    "Execute without a body": message(b"E"),
    "Execute without a row limit": message(b"E", b"\0"),
    "Execute of a portal that does not exist": message(b"E", b"nowhere\0\0\0\0\0"),
    "Close without a body": message(b"C"),
    "Close of a kind that does not exist": message(b"C", b"x\0"),
    "FunctionCall without a body": message(b"F"),
    "FunctionCall of a function that does not exist": message(b"F", bytes(4) + bytes(6)),
    "CopyFail without a terminator": message(b"f", b"why"),
    "CopyFail without a body": message(b"f"),
    "Sync with a body": message(b"S", b"abcd"),
    "Flush with a body": message(b"H", b"abcd"),
}

Outcome = tuple[list[str], bool]
"""The replies, errors as severity and SQLSTATE alone, and whether the server hung up."""


@pytest.fixture(scope="module")
def victim(postgres18: PostgresServer) -> Iterator[Victim]:
    with run_victim(postgres18) as victim:
        with WireClient.connect(victim.direct) as client:
            client.query("CREATE TABLE bad_input (i int)")
        yield victim


def brought_into(state: str, endpoint: Endpoint) -> WireClient:
    """A client that has logged in and is in this state."""
    client = WireClient.connect(endpoint)
    for messages, awaited in STATES[state]:
        seen = len(client.replies)
        client.send(*messages)
        client.read_until(partial(_last_is, client, awaited, seen))
    return client


def _last_is(client: WireClient, tag: bytes, after: int) -> bool:
    return len(client.replies) > after and client.replies[-1].tag == tag


def shown(reply: Reply) -> str:
    if reply.tag != b"E":
        return str(reply)
    fields = decode_error(reply.body)
    return f"{fields['V']} {fields['C']}"


def outcome(state: str, data: bytes, endpoint: Endpoint) -> Outcome:
    """What comes of ``data`` in this state, and of an end to whatever it began, and of a last query."""
    with brought_into(state, endpoint) as client:
        seen = len(client.replies)
        client.write(data)
        client.send(
            frontend.copy_fail("enough"), frontend.sync(), frontend.query("ROLLBACK"), frontend.query("SELECT 7")
        )
        client.read_until(lambda: "DataRow b'7'" in map(str, client.replies[seen:]) and client.replies[-1].tag == b"Z")
        return [shown(reply) for reply in client.replies[seen:]], client.closed


@pytest.mark.parametrize("state", STATES)
def test_answered_as_by_postgresql(state: str, victim: Victim) -> None:
    different = []
    for name, data in MESSAGES.items():
        expected, closed = outcome(state, data, victim.direct)
        got, hung_up = outcome(state, data, victim.endpoint)
        if closed and hung_up:
            got, expected = farewell(got), farewell(expected)
        if (got, hung_up) != (expected, closed):
            different.append(f"{name}:\n  PostgreSQL: {expected} {closed}\n  proxy:      {got} {hung_up}")
    assert not different, "\n".join(different)


def farewell(replies: list[str]) -> list[str]:
    """What is the same of a conversation that the server ended.

    PostgreSQL says nothing of a length that can't be right, and two things in a COPY; of its last words what the socket
    still held is lost when a write to it fails. The proxy says one thing in all these cases.
    """
    return [reply for reply in replies if not reply.startswith(("ERROR 08", "FATAL 08P01", "FATAL 08006"))]


def test_what_can_be_no_message_is_said_to_be_none(victim: Victim) -> None:
    for name in ("type 0", "a password that nobody asked for", "Query of length 3", "Sync of 10,001 bytes"):
        for state in STATES:
            with brought_into(state, victim.endpoint) as client:
                client.write(MESSAGES[name])
                client.read_to_end()
                assert shown(client.replies[-1]) == "FATAL 08P01", (name, state)


def test_all_of_it_harms_nobody_and_leaves_no_backend_at_work(victim: Victim) -> None:
    with victim.unharmed():
        for state in STATES:
            for data in MESSAGES.values():
                with brought_into(state, victim.endpoint) as client:
                    client.write(data)
    with victim.activity() as activity:
        activity.wait_for_rest()


def test_random_bytes_after_the_login_harm_nobody(victim: Victim) -> None:
    source = random.Random(74)
    kinds = b"QPBDECSHFdcfX"
    with victim.unharmed():
        for number in range(200):
            with WireClient.connect(victim.endpoint) as client:
                data = source.randbytes(source.randrange(1, 500))
                if number % 2:
                    # A type and a length that are right get further in.
                    data = message(bytes([source.choice(kinds)]), data)
                client.write(data)


TRUNCATED = {
    each.name: each.data
    for each in (
        frontend.query("SELECT 1"),
        frontend.parse("SELECT $1::int", "name", [23]),
        frontend.bind([b"1", None], portal="p", statement="s"),
        frontend.describe_statement("name"),
        frontend.describe_portal(),
        frontend.execute("portal", 1),
        frontend.close_statement("name"),
        frontend.function_call(1598, ()),
        frontend.flush(),
        frontend.sync(),
        frontend.copy_data(b"1\n2\n"),
        frontend.copy_done(),
        frontend.copy_fail("why"),
        frontend.terminate(),
    )
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_message_that_ends_after_any_of_its_bytes_harms_nobody(name: str, victim: Victim) -> None:
    data = TRUNCATED[name]
    with victim.unharmed():
        for state in ("idle", "in a transaction", "copying in"):
            for length in range(len(data)):
                with brought_into(state, victim.endpoint) as client:
                    client.write(data[:length])
