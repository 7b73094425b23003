"""Servers that refuse, hang, lie or talk too much: their client is told which and why, and nobody else feels it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import pack

import pytest

from interceptor.testing.machine import free_port
from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import decode_error
from tests.support.hostile import WELCOME, Behaviour, Connection, HostileServer
from tests.support.proxy import Proxy, run_proxy
from tests.support.recorder import ROW_DESCRIPTION, complete, error, message, ready, row
from tests.support.vitals import MEGABYTE, Vitals, neighbour
from tests.support.wire import Endpoint, WireClient

CONNECT_TIMEOUT = 2
ANSWER = ROW_DESCRIPTION + row() + complete() + ready()
SCRAM = message("R", pack("!I", 10) + b"SCRAM-SHA-256\0\0")


@dataclass
class Stage:
    """A proxy before a PostgreSQL (database ``postgres``) and a server that is none (all other databases)."""

    proxy: Proxy
    server: HostileServer
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def good(self) -> Endpoint:
        return Endpoint(self.proxy.host, self.proxy.port, "postgres")

    def hostile(self, behaviour: Behaviour) -> Endpoint:
        """A database, and so a pool, that nobody has used before; the server will behave like this to it."""
        self.server.behaviour = behaviour
        return Endpoint(self.proxy.host, self.proxy.port, f"hostile{next(self._numbers)}")


RESETS: dict[str, bytes | None] = {
    "hangs": b"",
    "hangs_up": None,
    "fails": error("no such luck") + ready(),
    "ends_in_a_transaction": complete("DISCARD ALL") + ready("T"),
    "makes_no_sense": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "announces_1_gb": b"E\x3f\xff\xff\xff",
    "says_too_much": complete("DISCARD ALL") + ready() + ready(),
}
"""What a server may answer to server_reset_query, by the name of a database in session mode; None: it hangs up."""


@pytest.fixture(scope="module")
def stage(postgres18: PostgresServer) -> Iterator[Stage]:
    with HostileServer(Connection.hang) as server:
        tables: dict[str, dict[str, str | int | float | bool | list[str]]] = {
            "server": {"server_connect_timeout": CONNECT_TIMEOUT, "server_login_retry": 0.1, "cancel_wait_timeout": 1},
            "databases.postgres": {"primary": f"postgresql://{postgres18.host}:{postgres18.port}/postgres"},
            # One backend, so that whatever is reused is this one.
            'databases."*"': {"primary": f"postgresql://{server.host}:{server.port}", "pool_size": 1},
            "databases.nowhere": {"primary": f"postgresql://127.0.0.1:{free_port()}/x"},
        }
        for name in RESETS:
            tables[f"databases.{name}"] = {**tables['databases."*"'], "pool_mode": "session"}
        with run_proxy(tables) as proxy:
            yield Stage(proxy, server)


def login_error(endpoint: Endpoint) -> dict[str, str]:
    """The error with which a login fails."""
    with WireClient(endpoint.host, endpoint.port) as client:
        client.send(frontend.startup({"user": endpoint.user, "database": endpoint.database}))
        client.read_to_end()
        return decode_error(client.replies[-1].body)


# --- Logging in -------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(stage: Stage) -> None:
    fields = login_error(stage.good.at(database="nowhere"))
    assert fields["C"] == "08001"
    assert 'database "nowhere" at 127.0.0.1' in fields["M"]
    assert "refused" in fields["M"]


def say(data: bytes) -> Behaviour:
    """Say this to the startup packet, and hang up."""

    def behave(connection: Connection) -> None:
        connection.read_packet()
        connection.write(data)

    return behave


def after(data: bytes) -> Behaviour:
    """Say this, then nothing more."""

    def behave(connection: Connection) -> None:
        say(data)(connection)
        connection.hang()

    return behave


def without_end(data: bytes, beginning: bytes = b"") -> Behaviour:
    """Say this over and over."""

    def behave(connection: Connection) -> None:
        connection.read_packet()
        connection.write(beginning)
        while True:
            connection.write(data)

    return behave


def hang_up(connection: Connection) -> None:
    """Hang up at once."""


AUTHENTICATED = message("R", bytes(4))
LOGINS: dict[str, tuple[Behaviour, str, str]] = {
    "accepts and hangs": (Connection.hang, "08001", "no answer within 2 s"),
    "accepts and hangs up": (hang_up, "08006", "closed the connection"),
    "reads and says nothing": (after(b""), "08001", "no answer within 2 s"),
    "asks for SASL and hangs": (after(SCRAM), "", ""),
    "hangs after AuthenticationOk": (after(AUTHENTICATED), "08001", "no answer within 2 s"),
    "hangs before ReadyForQuery": (after(WELCOME[:-6]), "08001", "no answer within 2 s"),
    "hangs in the midst of a message": (after(WELCOME[:-3]), "08001", "no answer within 2 s"),
    "speaks HTTP": (after(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "08P01", "does not speak"),
    "speaks SSH": (after(b"SSH-2.0-OpenSSH_9.9\r\n"), "08P01", "does not speak"),
    "sends zeros": (after(bytes(100)), "08P01", "does not speak"),
    "is ready before it has authenticated": (after(ready()), "08P01", "does not speak"),
    "is ready in a transaction": (after(AUTHENTICATED + ready("T")), "08P01", "does not speak"),
    "answers a query that was not asked": (after(AUTHENTICATED + ANSWER), "08P01", "does not speak"),
    "asks for a method that nobody knows": (after(message("R", pack("!I", 77))), "", ""),
    "asks for Kerberos": (after(message("R", pack("!I", 7))), "", ""),
    "refuses": (after(error("no such luck")), "42601", "no such luck"),
    "refuses without a reason": (after(message("E", b"\0")), "08004", "gave no reason"),
    "refuses in a way that can't be read": (after(message("E", b"Mno end")), "08P01", "does not speak"),
    "announces a ParameterStatus of 1 GB": (after(AUTHENTICATED + b"S\x3f\xff\xff\xff"), "08P01", "does not speak"),
    "announces an error of 1 GB": (after(b"E\x3f\xff\xff\xff"), "08P01", "does not speak"),
    "a ParameterStatus that is none": (after(AUTHENTICATED + message("S", b"x")), "08P01", "does not speak"),
    "parameters without end": (without_end(message("S", b"x\0" + b"y" * 9000 + b"\0") * 100, AUTHENTICATED), "", ""),
    "small parameters without end": (without_end(message("S", b"x\0y\0") * 10_000, AUTHENTICATED), "", ""),
    "notices without end": (without_end(message("N", b"\0") * 10_000), "", ""),
    "requests for a password without end": (without_end(message("R", pack("!I", 3)) * 1000), "", ""),
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_that(name: str, stage: Stage) -> None:
    behaviour, sqlstate, words = LOGINS[name]
    before = Vitals.of(stage.proxy.pid)
    with neighbour(stage.good) as working:
        fields = login_error(stage.hostile(behaviour))
        working.wait_for_progress()
    assert fields["V"] == "FATAL"
    assert fields["C"].startswith(sqlstate or "08")
    assert words in fields["M"]
    assert f"{stage.server.host}:{stage.server.port}" in fields["M"]
    assert Vitals.of(stage.proxy.pid).memory - before.memory < 60 * MEGABYTE


def test_a_login_that_is_cut_after_any_byte_of_the_welcome(stage: Stage) -> None:
    with neighbour(stage.good) as working:
        for length in range(len(WELCOME)):
            assert login_error(stage.hostile(say(WELCOME[:length])))["C"] == "08006", length
        working.wait_for_progress()


# --- Answering --------------------------------------------------------------------------------------------------------


def answer(value: bytes) -> bytes:
    """The answer to a Query: one row."""
    return ROW_DESCRIPTION + row(value) + complete() + ready()


def answering(data: bytes) -> Behaviour:
    """Answer every query with this."""

    def behave(connection: Connection) -> None:
        connection.welcome()
        while connection.read_message()[:1] == b"Q":
            connection.write(data)

    return behave


def answering_once(data: bytes) -> Behaviour:
    """Answer the first query with this, and hang up."""

    def behave(connection: Connection) -> None:
        connection.welcome()
        connection.read_message()
        connection.write(data)

    return behave


def hanging_after(data: bytes) -> Behaviour:
    """Answer the first query with this, and say nothing more."""

    def behave(connection: Connection) -> None:
        answering_once(data)(connection)
        connection.hang()

    return behave


NO_ANSWERS = {
    "an unknown type": message("!", b"x"),
    "ParseComplete to a Query": message("1"),
    "a negative length": b"D\xff\xff\xff\xff",
    "a length of 3": b"D\0\0\0\3",
    "zeros": bytes(64),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a ReadyForQuery without a status": message("Z"),
    "a ReadyForQuery that is too long": message("Z", b"II"),
    "a ReadyForQuery of 1 GB": b"Z\x3f\xff\xff\xff",
    "a status that does not exist": message("Z", b"?"),
    "a ParameterStatus of 1 GB": b"S\x3f\xff\xff\xff",
    "a ParameterStatus that is none": message("S", b"x"),
    "CopyBothResponse": message("W", bytes(3)),
    "another authentication": message("R", bytes(4)),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_ends_the_conversation_with_the_reason(name: str, stage: Stage) -> None:
    with neighbour(stage.good) as working:
        with WireClient.connect(stage.hostile(hanging_after(NO_ANSWERS[name]))) as client:
            client.send(frontend.query("SELECT 1"))
            client.read_to_end()
            fields = decode_error(client.replies[-1].body)
        working.wait_for_progress()
    assert (fields["V"], fields["C"]) == ("FATAL", "08P01")
    assert "the server sent a message of type" in fields["M"]


EXTRAS = {
    "ReadyForQuery": ready(),
    "a whole answer": answer(b"stale"),
    "a row": row(b"stale"),
    "an error": error("late"),
    "a parameter": message("S", b"TimeZone\0Mars\0"),
    "the beginning of a message": b"Z",
    "more of the beginning of a message": b"Z\0\0\0\5",
    "the beginning of a long message": b"D\0\1\0\0" + bytes(100),
    "zeros": bytes(7),
}


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in two pieces"])
@pytest.mark.parametrize("name", EXTRAS)
def test_an_answer_too_many_closes_the_backend(name: str, together: bool, stage: Stage) -> None:
    said_goodbye = threading.Event()
    was_read = threading.Event()

    def behave(connection: Connection) -> None:
        connection.welcome()
        connection.read_message()
        connection.write(answer(b"first") + (EXTRAS[name] if together else b""))
        if not together:
            was_read.wait()
            connection.write(EXTRAS[name])
        # Terminate, or the end of the stream; another query would be one too many.
        if connection.read_message()[:1] != b"Q":
            said_goodbye.set()

    database = stage.hostile(behave)
    with WireClient.connect(database) as client:
        client.send(frontend.query("SELECT 1"))
        # The answer; or, where it came together with what makes it doubtful, an error.
        client.read_until(lambda: client.ready_count == 2)
        was_read.set()
    assert said_goodbye.wait(10), "the backend was not closed"
    stage.server.behaviour = answering(answer(b"second"))
    assert _ask(database) == "second"


def _ask(endpoint: Endpoint) -> str | None:
    with WireClient.connect(endpoint) as client:
        return client.query("SELECT 1")[0][0]


@pytest.mark.parametrize("end", [answering_once, hanging_after], ids=["hangs up", "hangs"])
def test_an_answer_that_ends_after_any_of_its_bytes(end: Callable[[bytes], Behaviour], stage: Stage) -> None:
    whole = message("N", b"SNOTICE\0Mhear\0\0") + answer(b"1")
    with neighbour(stage.good) as working:
        for length in range(len(whole)):
            database = stage.hostile(end(whole[:length]))
            with WireClient.connect(database) as client:
                client.send(frontend.query("SELECT 1"))
                stage.server.behaviour = answering(answer(b"second"))
                if end is answering_once:
                    client.read_to_end()
                    _assert_told(client, whole, length)
            # The one who comes next has nothing to do with it, whether the backend is gone or still hangs.
            assert _ask(database) == "second"
        working.wait_for_progress()


def _assert_told(client: WireClient, whole: bytes, length: int) -> None:
    """The client has what came of the answer; and the reason why no more does, unless it would come amid a message."""
    login = next(number for number, reply in enumerate(client.replies) if reply.tag == b"Z") + 1
    received = [reply for reply in client.replies[login:] if reply.tag != b"E"]
    data = b"".join(message(reply.tag.decode(), reply.body) for reply in received)
    assert whole[:length].startswith(data), length
    errors = [decode_error(reply.body) for reply in client.replies[login:] if reply.tag == b"E"]
    if errors:
        assert [each["C"] for each in errors] == ["08006"], length
        assert "was lost" in errors[0]["M"], length
    else:
        assert length - len(data) >= 5, f"no error after {length} bytes, of which {len(data)} were whole messages"


# --- Resetting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESETS)
def test_a_reset_that(name: str, stage: Stage) -> None:
    reply = RESETS[name]

    def behave(connection: Connection) -> None:
        connection.welcome()
        connection.read_message()
        connection.write(answer(b"first"))
        assert connection.read_message()[:1] == b"Q"
        if reply is not None:
            connection.write(reply)
            connection.hang()

    stage.server.behaviour = behave
    database = stage.good.at(database=name)
    with WireClient.connect(database) as client:
        assert client.query("SELECT 1") == [("first",)]
        stage.server.behaviour = answering(answer(b"second"))
    with neighbour(stage.good) as working:
        assert _ask(database) == "second"
        working.wait_for_progress()
