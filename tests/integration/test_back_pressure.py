"""However much wants to pass, and whoever does not take it: a buffer's worth is kept, and nobody else feels it."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.proxied import Clients, errors, tags, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until
from tests.support.wire import Endpoint, WireClient

DATABASE = "back_pressure"
MB = 1_000_000
# What the proxy may grow by while hundreds of megabytes want to pass.
ROOM = 16 * MB
READY = b"Z\0\0\0\5I"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, relay: CutRelay) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int); create table texts (data text)", dbname=DATABASE)
    tables: Tables = {
        "databases.app": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.session": {"primary": upstream(server, DATABASE), "pool_size": 2, "pool_mode": "session"},
        "databases.single": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.relayed": {"primary": f"postgresql://postgres@{relay.host}:{relay.port}/{DATABASE}"},
    }
    with run_proxy(tables) as running:
        with Clients(running) as clients:
            # What is allocated once and for good.
            clients.connect("app").query("select repeat('x', 1000) from generate_series(1, 10000)")
        yield running
    server.drop_database(DATABASE)


@pytest.fixture
def growth(proxy: Proxy) -> Callable[[], int]:
    """By how many bytes the proxy's memory has grown since the test began."""
    process = psutil.Process(proxy.pid)
    before = process.memory_info().rss
    return lambda: int(process.memory_info().rss) - before


@contextmanager
def plain_socket(endpoint: Endpoint, *, receive_buffer: int = 0) -> Iterator[socket.socket]:
    """The socket of a client that has logged in: to be written and read as fast or as slowly as a test wants."""
    client = WireClient(endpoint.host, endpoint.port, 60)
    with socket.socket(fileno=os.dup(client.fileno)) as stream:
        if receive_buffer:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.log_in(endpoint)
        client.close()
        stream.settimeout(60)
        yield stream


def read_answer(stream: socket.socket, step: int = 1 << 18) -> tuple[int, str]:
    """Length and digest of all up to a ReadyForQuery, read in pieces of ``step`` bytes at most."""
    digest, size, end = hashlib.sha256(), 0, b""
    while end != READY:
        piece = stream.recv(step)
        assert piece, "the peer hung up"
        digest.update(piece)
        size += len(piece)
        end = (end + piece)[-len(READY) :]
    return size, digest.hexdigest()


BIG_RESULTS = {
    "rows": f.query("select repeat('x', 1000), generate_series(1, 200000)").data,
    "rows_of_10_mb": f.query("select repeat('x', 10000000), generate_series(1, 20)").data,
    "copy_out": f.query("copy (select repeat('x', 1000), generate_series(1, 200000)) to stdout").data,
    "batch": b"".join(
        message.data
        for message in (
            f.parse("select repeat('x', 1000), generate_series(1, 200000)"),
            f.bind(results=[1]),
            f.describe_portal(),
            f.execute(),
            f.sync(),
        )
    ),
}


@pytest.mark.parametrize(("database", "kind"), [*(("app", kind) for kind in BIG_RESULTS), ("session", "rows")])
def test_200_mb_for_a_client_that_does_not_read_cost_a_buffer_and_are_whole_when_it_does(
    clients: Clients,
    proxy: Proxy,
    postgres18: PostgresServer,
    activity: Activity,
    growth: Callable[[], int],
    database: str,
    kind: str,
) -> None:
    """Traps 11 and 27."""
    bystander = clients.connect(database)
    with plain_socket(Endpoint(proxy.host, proxy.port, database)) as slow:
        slow.sendall(BIG_RESULTS[kind])
        wait_until(
            lambda: any(wait == "ClientWrite" for _, _, wait, _ in activity.backends()),
            "PostgreSQL waits until it can send more",
        )
        for number in range(50):
            assert bystander.query(f"select {number}") == [(str(number),)]
        assert growth() < ROOM
        received = read_answer(slow)
        assert growth() < ROOM
    assert received[0] > 200 * MB
    with plain_socket(Endpoint(postgres18.host, postgres18.port, DATABASE)) as direct:
        direct.sendall(BIG_RESULTS[kind])
        assert received == read_answer(direct)


@pytest.mark.parametrize("size", range(1000, 6000, 500))
def test_the_next_client_is_served_by_the_backend_of_one_who_has_yet_to_read_its_answer(
    clients: Clients, proxy: Proxy, size: int
) -> None:
    """Trap 27: the end of the answer waits in the proxy for its reader, and the backend has done its work."""
    waiter, bystander = clients.connect("single"), clients.connect("app")
    with plain_socket(Endpoint(proxy.host, proxy.port, "single"), receive_buffer=1 << 16) as slow:
        slow.sendall(f.query(f"select repeat('x', 1000), generate_series(1, {size})").data)
        waiter.send(f.query("select 'mine'"))
        left = size * 1000
        while left > 0:
            left -= len(slow.recv(20_000))
            # The proxy has done what it can by then; at some moment nothing but its own buffer is left.
            bystander.query("select 1")
        waiter.read_until_ready(2)
        for _ in range(3):
            assert waiter.query("select 'again'") == [("again",)]
        assert read_answer(slow)[0] > 0


def parameter_of_50_mb() -> tuple[bytes, bytes]:
    """A batch with one huge value, and a part of its answer."""
    batch = (f.parse("select length($1::text)"), f.bind([b"x" * 50 * MB]), f.execute(), f.sync())
    return b"".join(message.data for message in batch), b"50000000"


def text_of_50_mb() -> tuple[bytes, bytes]:
    """A Query with a huge text, and a part of its answer."""
    return f.query("select length('" + "x" * 50 * MB + "')").data, b"50000000"


def copy_of_50_mb() -> tuple[bytes, bytes]:
    """A COPY, all of it in one go, and a part of its answer."""
    pieces = f.copy_data((b"x" * 999 + b"\n") * 50).data * 1000
    return f.query("copy texts from stdin").data + pieces + f.copy_done().data, b"COPY 50000\0"


@pytest.mark.parametrize("make", [parameter_of_50_mb, text_of_50_mb, copy_of_50_mb])
def test_50_mb_for_a_server_that_does_not_read_cost_a_buffer_and_arrive_whole_when_it_does(
    clients: Clients,
    proxy: Proxy,
    relay: CutRelay,
    growth: Callable[[], int],
    make: Callable[[], tuple[bytes, bytes]],
) -> None:
    """Traps 11 and 27, the other way round."""
    bystander = clients.connect("app")
    data, expected = make()
    with plain_socket(Endpoint(proxy.host, proxy.port, "relayed")) as client:
        relay.stall()
        try:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            for number in range(100):
                assert bystander.query(f"select {number}") == [(str(number),)]
            assert sender.is_alive(), "most of it can't have gone anywhere yet"
            assert growth() < ROOM
        finally:
            relay.flow()
        sender.join()
        answer = bytearray()
        while not answer.endswith(READY):
            answer += client.recv(1000)
        assert expected in answer
        assert growth() < ROOM


COPY = "copy t from stdin"


def start_copy(client: WireClient, extended: bool = False) -> int:
    """Begin a COPY; the number of replies up to then."""
    seen = len(client.replies)
    if extended:
        client.send(f.parse(COPY), f.bind(), f.execute(), f.flush())
    else:
        client.send(f.query(COPY))
    client.read_until(lambda: b"G" in tags(client, seen))
    return len(client.replies)


@pytest.mark.parametrize("size", [10, 100_000, 5 * MB])
@pytest.mark.parametrize("cut", ["header", "half", "all but a byte"])
def test_a_copy_that_fails_while_a_piece_of_it_is_half_sent_keeps_its_backend_until_the_piece_is_whole(
    clients: Clients, size: int, cut: str
) -> None:
    """Trap 27: to the backend the rest of the piece is still due, and it would read another's query as a part of it."""
    client, waiter = clients.connect("single"), clients.connect("single")
    seen = start_copy(client)
    piece = f.copy_data(b"1" * size + b"\n").data
    at = {"header": 3, "half": len(piece) // 2, "all but a byte": -1}[cut]
    client.write(f.copy_data(b"bad\n").data + piece[:at])
    client.read_until(lambda: b"Z" in tags(client, seen))
    waiter.send(f.query("select 'mine'"))
    client.write(piece[at:] + f.copy_data(b"2\n").data + f.copy_done().data)
    waiter.read_until_ready(2)
    assert not errors(waiter)
    assert [error["C"] for error in errors(client)] == ["22P02"]
    assert client.query("select count(*) from t where i = 2") == [("0",)]


def test_a_copy_that_fails_after_copy_done_is_over(clients: Clients, activity: Activity) -> None:
    """Trap 27."""
    client, other = clients.connect("single"), clients.connect("single")
    start_copy(client)
    client.send(f.copy_data(b"1\nbad\n"), f.copy_done(), f.query("select 'next'"))
    client.read_until_ready(3)
    assert [error["C"] for error in errors(client)] == ["22P02"]
    assert other.query("select 'mine'") == [("mine",)]


def test_a_copy_that_its_client_gives_up_is_over(clients: Clients) -> None:
    client, other = clients.connect("single"), clients.connect("single")
    start_copy(client)
    client.send(f.copy_data(b"77\n"), f.copy_fail("never mind"))
    client.read_until_ready(2)
    (error,) = errors(client)
    assert error["C"] == "57014"
    assert "never mind" in error["M"]
    assert other.query("select count(*) from t where i = 77") == [("0",)]


def test_syncs_and_flushes_inside_a_copy_mean_nothing(clients: Clients) -> None:
    """Trap 27."""
    client, other = clients.connect("single"), clients.connect("single")
    seen = start_copy(client, extended=True)
    client.send(f.sync(), f.copy_data(b"5\n"), f.flush(), f.sync(), f.copy_data(b"5\n"), f.copy_done(), f.sync())
    client.read_until_ready(2)
    assert tags(client, seen) == b"CZ"
    assert other.query("select count(*) from t where i = 5") == [("2",)]


def test_a_copy_of_the_extended_protocol_that_fails_is_skipped_to_its_sync(clients: Clients) -> None:
    """Trap 27."""
    client, other = clients.connect("single"), clients.connect("single")
    seen = start_copy(client, extended=True)
    client.send(f.copy_data(b"bad\n"), f.copy_done(), f.parse("select 1"), f.bind(), f.execute(), f.sync())
    client.read_until_ready(2)
    assert tags(client, seen) == b"EZ"
    assert other.query("select 1") == [("1",)]


def test_a_copy_out_is_whole_in_the_hands_of_a_reader_of_few_bytes(
    clients: Clients, proxy: Proxy, diagnosis: SocketDiagnosis
) -> None:
    """Trap 27, and pieces of a message of any size."""
    waiter = clients.connect("single")
    sql = "copy (select repeat('y', 100), generate_series(1, 20000)) to stdout"
    with plain_socket(Endpoint(proxy.host, proxy.port, "single"), receive_buffer=1 << 16) as slow:
        slow.sendall(f.query(sql).data)
        waiter.send(f.query("select 'mine'"))
        wait_for_arrival(waiter, diagnosis)
        assert read_answer(slow, 1009)[0] > 20_000 * 100
    waiter.read_until_ready(2)
