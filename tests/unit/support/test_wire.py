"""The protocol client against PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.frontend import PROTOCOL_3_2, cancel_request, gssenc_request, query, ssl_request
from tests.support.login import LoginFailed
from tests.support.settle import Settler
from tests.support.sockets import SocketDiagnosis
from tests.support.wire import Endpoint, ReplyTimeout, WireClient, WireError

METHODS = {"plain": "password", "digest": "md5", "scram": "scram-sha-256"}


@pytest.fixture
def endpoint(postgres18: PostgresServer) -> Endpoint:
    return Endpoint(postgres18.host, postgres18.port, "postgres")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Endpoint]:
    """A server that asks for passwords, in a different way of each user."""
    hba = [f"host all {user} 127.0.0.1/32 {method}" for user, method in METHODS.items()]
    with PostgresServer.start(18, hba=hba) as server:
        for user in METHODS:
            encryption = "md5" if user == "digest" else "scram-sha-256"
            server.psql(f"SET password_encryption = '{encryption}'; CREATE ROLE {user} LOGIN PASSWORD 'pässword'")
        yield Endpoint(server.host, server.port, "postgres")


@pytest.mark.parametrize("user", METHODS)
def test_login_with_a_password(guarded: Endpoint, user: str) -> None:
    right = Endpoint(guarded.host, guarded.port, "postgres", user, "pässword")
    with WireClient.connect(right) as client:
        assert client.query("SELECT current_user") == [(user,)]
    wrong = Endpoint(guarded.host, guarded.port, "postgres", user, "wrong")
    with pytest.raises(LoginFailed, match="password authentication failed"):
        WireClient.connect(wrong)
    with pytest.raises(LoginFailed, match="asks for a password"):
        WireClient.connect(Endpoint(guarded.host, guarded.port, "postgres", user))


def test_query_returns_rows_and_raises_errors(endpoint: Endpoint) -> None:
    with WireClient.connect(endpoint) as client:
        assert client.query("SELECT 1, NULL; SELECT 'x'") == [("1", None), ("x",)]
        with pytest.raises(WireError, match="division by zero"):
            client.query("SELECT 1/0")
        assert client.last_status == "I"


def test_long_keys_of_protocol_3_2(endpoint: Endpoint) -> None:
    with WireClient.connect(endpoint, version=PROTOCOL_3_2) as client:
        assert len(client.key[1]) == 32
    with WireClient.connect(endpoint) as client:
        assert len(client.key[1]) == 4


def test_encryption_is_declined(endpoint: Endpoint) -> None:
    with WireClient(endpoint.host, endpoint.port) as client:
        assert client.ask_for_encryption(gssenc_request()) == b"N"
        assert client.ask_for_encryption(ssl_request()) == b"N"
        client.log_in(endpoint)
        assert client.query("SELECT 1") == [("1",)]


@pytest.mark.parametrize("version", [3 << 16, PROTOCOL_3_2])
def test_cancel(endpoint: Endpoint, version: int) -> None:
    with WireClient.connect(endpoint, version=version) as client, WireClient.connect(endpoint) as control:
        client.send(query("SELECT pg_sleep(100)"))
        asleep = f"SELECT wait_event FROM pg_stat_activity WHERE pid = {client.key[0]}"
        while control.query(asleep) != [("PgSleep",)]:
            pass
        with WireClient(endpoint.host, endpoint.port) as messenger:
            messenger.send(cancel_request(*client.key))
            messenger.read_to_end()
        client.read_until_ready(2)
        assert "canceling statement due to user request" in str(client.replies[-2])


def test_writing_goes_on_while_replies_pile_up(endpoint: Endpoint) -> None:
    """A thousand queries in one write, whose answers no socket buffer holds: each side would wait for the other."""
    with WireClient.connect(endpoint) as client:
        wanted = client.ready_count + 1000
        client.send(*[query(f"SELECT repeat('x', 20000), '{'y' * 20000}'")] * 1000)
        client.read_until_ready(wanted)
        assert sum(reply.tag == b"D" for reply in client.replies) == 1000


def test_a_missing_reply_is_told(endpoint: Endpoint) -> None:
    with WireClient.connect(endpoint, timeout=0.1) as client, pytest.raises(ReplyTimeout, match="ReadyForQuery I"):
        client.read_until_ready(2)


def test_settled_means_that_all_replies_are_here(endpoint: Endpoint) -> None:
    with WireClient.connect(endpoint) as client, WireClient.connect(endpoint) as control:
        diagnosis = SocketDiagnosis()
        settler = Settler(client, control, diagnosis)
        for count in range(1, 50):
            client.send(query("SELECT 1"), query("SELECT repeat('x', 100000)"))
            settler.settle()
            assert client.ready_count == 1 + 2 * count
        diagnosis.close()


def test_settled_after_the_server_hung_up(endpoint: Endpoint) -> None:
    with WireClient.connect(endpoint) as client, WireClient.connect(endpoint) as control:
        diagnosis = SocketDiagnosis()
        client.send(query("SELECT pg_terminate_backend(pg_backend_pid())"))
        Settler(client, control, diagnosis).settle()
        assert client.closed
        assert "terminating connection" in str(client.replies[-1])
        diagnosis.close()
