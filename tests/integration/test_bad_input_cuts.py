"""A conversation that breaks off after any of its bytes, on either side: nobody else feels it, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import Reply, decode_error
from tests.support.counted import CountedRelay
from tests.support.frontend import Frontend
from tests.support.login import LoginFailed
from tests.support.proxy import run_proxy
from tests.support.vitals import Victim, Vitals, neighbour, run_victim
from tests.support.watch import Activity, wait_for
from tests.support.wire import Endpoint, WireClient

MODES = ["transaction", "session", "statement"]

SCHEMA = "CREATE TABLE kept (i int); CREATE TABLE copied (i int)"

Conversation = tuple[tuple[Frontend, ...], ...]
"""What is sent in each turn; the next begins when the last has been answered."""

CONVERSATIONS: dict[str, Conversation] = {
    "queries": (
        (frontend.query("INSERT INTO kept VALUES (1)"),),
        (frontend.query("SELECT 1/0"),),
        (frontend.query("SELECT i, repeat('x', 30) FROM generate_series(1, 3) AS i"),),
    ),
    "a transaction": (
        (frontend.query("BEGIN"),),
        (frontend.query("INSERT INTO kept VALUES (2)"),),
        (frontend.query("COMMIT"),),
    ),
    "a pipeline": (
        (
            frontend.parse("INSERT INTO kept VALUES ($1)", "", [23]),
            frontend.bind([b"3"]),
            frontend.describe_portal(),
            frontend.execute(),
            frontend.sync(),
            frontend.parse("SELECT 1/0"),
            frontend.bind(),
            frontend.execute(),
            frontend.sync(),
            frontend.query("SELECT 2"),
        ),
    ),
    "a prepared statement": (
        (frontend.parse("SELECT $1::int", "s"), frontend.describe_statement("s"), frontend.sync()),
        (frontend.bind([b"4"], statement="s", portal="p"), frontend.execute("p"), frontend.sync()),
        (frontend.close_statement("s"), frontend.sync()),
    ),
    "COPY in": (
        (frontend.query("COPY copied FROM STDIN"),),
        (frontend.copy_data(b"5\n"), frontend.copy_data(b"6\n7\n"), frontend.copy_done()),
    ),
    "COPY out": ((frontend.query("COPY (SELECT generate_series(1, 5)) TO STDOUT"),),),
    "a call of int4pl": ((frontend.function_call(177, [b"1", b"2"]),),),
}

ENDS = {b"G", b"Z"}
"""Types of replies that end a turn."""


def turn(client: WireClient, messages: tuple[Frontend, ...]) -> None:
    """Send, and read until each ReadyForQuery that is due, or the CopyInResponse, has come."""
    due = sum(message.name in ("Query", "Sync", "FunctionCall", "CopyDone") for message in messages)
    seen = len(client.replies)
    client.send(*messages)
    client.read_until(lambda: sum(reply.tag in ENDS for reply in client.replies[seen:]) >= due)


def allowed_in(mode: str, name: str) -> bool:
    """Statement mode refuses a transaction, whoever breaks it off."""
    return mode != "statement" or name != "a transaction"


# --- From the client's side -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=MODES)
def victim(request: pytest.FixtureRequest, postgres18: PostgresServer) -> Iterator[Victim]:
    settings = {"pool_mode": str(request.param)}
    with run_victim(postgres18, settings, database=f"cut_{request.param}") as victim:
        with WireClient.connect(victim.direct) as client:
            client.query(SCHEMA)
        yield victim


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_client_that_hangs_up_after_any_byte_leaves_nothing_behind(name: str, victim: Victim) -> None:
    turns = CONVERSATIONS[name]
    if not allowed_in(victim.direct.database.removeprefix("cut_"), name):
        pytest.skip("statement mode refuses it")
    with victim.unharmed():
        for number, messages in enumerate(turns):
            data = b"".join(message.data for message in messages)
            for length in range(len(data) + 1):
                with WireClient.connect(victim.endpoint) as client:
                    for before in turns[:number]:
                        turn(client, before)
                    client.write(data[:length])
    with victim.activity() as activity:
        activity.wait_for_rest()
        # Not a lock is held, by whoever: of a transaction that goes on there would be one.
        locks = "SELECT * FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = '{}')"
        wait_for("no lock is held", lambda: not activity.control.query(locks.format(victim.direct.database)))


def test_what_a_client_that_hung_up_had_not_committed_is_not_there(victim: Victim) -> None:
    statement = victim.direct.database == "cut_statement"
    with WireClient.connect(victim.direct) as control:
        control.query("TRUNCATE kept, copied")
        insert = frontend.query("INSERT INTO kept VALUES (1)")
        copy = frontend.query("COPY copied FROM STDIN")
        for length in range(len(insert.data)):
            with WireClient.connect(victim.endpoint) as client:
                if not statement:
                    client.query("BEGIN")
                    client.query("INSERT INTO kept VALUES (1)")
                client.write(insert.data[:length])
        for length in range(len(frontend.copy_done().data)):
            with WireClient.connect(victim.endpoint) as client:
                turn(client, (copy,))
                client.write(frontend.copy_data(b"1\n").data + frontend.copy_done().data[:length])
        with victim.activity() as activity:
            activity.wait_for_rest()
        assert control.query("SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM copied)") == [("0", "0")]


# --- From the server's side -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Relayed:
    """A proxy that reaches its server by a relay, whatever database is named; and the server itself."""

    endpoint: Endpoint
    pid: int
    relay: CountedRelay
    server: PostgresServer
    welcome: int
    """Bytes that the server says at login."""


@pytest.fixture(scope="module")
def relayed(postgres18: PostgresServer) -> Iterator[Relayed]:
    target = "cut_by_server"
    direct = Endpoint(postgres18.host, postgres18.port, target)
    postgres18.create_database(target)
    with CountedRelay(postgres18.host, postgres18.port) as relay:
        tables: dict[str, dict[str, str | int | float | bool | list[str]]] = {
            "server": {"server_login_retry": 0.1, "log_connections": False, "log_disconnections": False},
            # Each connection serves one client, so that it is known how many bytes it has passed on before.
            'databases."*"': {
                "primary": f"postgresql://{relay.host}:{relay.port}/{target}?sslmode=disable",
                "pool_mode": "session",
                "pool_size": 1,
                "server_lifetime": 0,
            },
            "databases.neighbour": {"primary": f"postgresql://{postgres18.host}:{postgres18.port}/postgres"},
        }
        with run_proxy(tables) as proxy:
            with WireClient.connect(direct) as client:
                client.query(SCHEMA)
            with WireClient.connect(Endpoint(relay.host, relay.port, target)) as client:
                welcome = client.bytes_received
            yield Relayed(Endpoint(proxy.host, proxy.port, "app"), proxy.pid, relay, postgres18, welcome)
    postgres18.drop_database(target)


@pytest.fixture
def others(relayed: Relayed) -> Iterator[None]:
    """Others are at work for as long as the test lasts, and the proxy's descriptors are as before afterwards."""
    with neighbour(relayed.endpoint.at(database="neighbour")) as working:
        before = Vitals.of(relayed.pid).descriptors
        yield
        working.wait_for_progress()
        wait_for("the descriptors are back", lambda: Vitals.of(relayed.pid).descriptors <= before)
    assert not relayed.relay.budgets
    with Activity(relayed.server, "cut_by_server") as activity:
        activity.wait_for_rest(0)


def converse(endpoint: Endpoint, turns: Conversation) -> tuple[list[Reply], bool]:
    """Have this conversation as far as it goes: the replies after those to the login, and whether it broke off."""
    with WireClient.connect(endpoint) as client:
        login = len(client.replies)
        for messages in turns:
            turn(client, messages)
        return client.replies[login:], client.closed


def size(replies: list[Reply]) -> int:
    return sum(len(reply.body) + 5 for reply in replies)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.usefixtures("others")
def test_a_server_that_hangs_up_after_any_byte_of_its_answers(name: str, relayed: Relayed) -> None:
    turns = CONVERSATIONS[name]
    whole, closed = converse(relayed.endpoint, turns)
    assert not closed
    for said in range(size(whole)):
        relayed.relay.budgets.append(relayed.welcome + said)
        got, closed = converse(relayed.endpoint, turns)
        assert closed
        # The reason comes as an error, unless it would come in the midst of a message.
        if got and got[-1] not in whole:
            fields = decode_error(got.pop().body)
            assert (fields["V"], fields["C"]) == ("FATAL", "08006")
            assert f"{relayed.relay.host}:{relayed.relay.port} was lost" in fields["M"]
        else:
            assert size(got) < said, "it was not told although it could be"
        assert got == whole[: len(got)]
        assert size(got) <= said < size(whole[: len(got) + 1])


@pytest.mark.usefixtures("others")
def test_a_server_that_hangs_up_after_any_byte_of_the_login(relayed: Relayed) -> None:
    for said in range(relayed.welcome):
        relayed.relay.budgets.append(said)
        with pytest.raises(LoginFailed, match="closed the connection during login"):
            # Each database is a pool of its own, where nobody knows yet what the server says at login.
            WireClient.connect(relayed.endpoint.at(database=f"fresh{said}"))
