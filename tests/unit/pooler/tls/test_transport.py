"""The layer itself: what is passed on in which pieces, pauses, ends, and how many handshakes may be under way."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from collections.abc import Callable

import pytest

from pooler.tls.transport import MAX_HELLO, MAX_UNREAD, HandshakeFailed, TlsTransport
from pooler.tls.turns import Turns
from tests.support.certificates import Authority


class Wire(asyncio.Transport):
    """A transport whose other end is whatever takes what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.deliver: Callable[[bytes], None] = lambda data: None
        self.pauses: list[bool] = []
        self.closed = self.aborted = self.ended = False
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.deliver(bytes(data))

    def get_extra_info(self, name: str, default: object = None) -> object:
        # Nobody may write past this transport in a test.
        return True if name == "encrypts" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.size

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.pauses.append(True)

    def resume_reading(self) -> None:
        self.pauses.append(False)


class Heard(asyncio.Protocol):
    """What an end was told."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.lost: list[Exception | None] = []
        self.done: list[HandshakeFailed | None] = []

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Pair:
    """A client and a server, each over its wire. Bytes go across at once, or when ``flow`` says so."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext], turns: Turns | None = None) -> None:
        server_context, client_context = contexts
        self.wires = Wire(), Wire()
        self.heard = Heard(), Heard()
        self.server = TlsTransport(
            self.wires[0], self.heard[0], server_context, self.heard[0].done.append, server_side=True, turns=turns
        )
        self.client = TlsTransport(self.wires[1], self.heard[1], client_context, self.heard[1].done.append)
        self.queue: list[tuple[TlsTransport, bytes]] = []
        self.wires[0].deliver = lambda data: self.queue.append((self.client, data))
        self.wires[1].deliver = lambda data: self.queue.append((self.server, data))

    def flow(self, piece: int = 1 << 20) -> None:
        while self.queue:
            target, data = self.queue.pop(0)
            for start in range(0, len(data), piece):
                target.data_received(data[start : start + piece])

    def shake_hands(self) -> None:
        self.client.start()
        self.server.start()
        self.flow()
        assert self.heard[0].done == self.heard[1].done == [None]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*Authority().issue("localhost", hosts=["localhost"]).write(folder, "server"))
    server.num_tickets = 0
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return server, client


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


async def test_a_handshake_in_single_bytes_and_data_behind_it(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.client.start()
    pair.server.start()
    pair.flow(piece=1)
    assert pair.heard[0].done == [None]
    pair.client.write(b"hello")
    pair.server.write(b"x" * 100_000)
    pair.flow(piece=1000)
    assert b"".join(pair.heard[0].data) == b"hello"
    assert b"".join(pair.heard[1].data) == b"x" * 100_000


async def test_what_comes_in_a_pause_is_given_when_it_ends(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.shake_hands()
    pair.server.pause_reading()
    assert pair.wires[0].pauses == [True]
    pair.client.write(b"a" * 50_000)
    pair.flow()
    assert not pair.heard[0].data
    pair.server.resume_reading()
    assert pair.wires[0].pauses == [True, False]
    assert not pair.heard[0].data, "not from within resume_reading"
    await asyncio.sleep(0)
    assert b"".join(pair.heard[0].data) == b"a" * 50_000


async def test_a_goodbye_ends_the_other_side_behind_what_was_written(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.shake_hands()
    pair.client.write(b"last words")
    pair.client.close()
    assert pair.client.is_closing()
    pair.flow()
    assert pair.heard[0].data == [b"last words"]
    assert pair.wires[0].closed
    pair.client.write(b"too late")
    assert not pair.queue


async def test_an_end_of_writing_lets_nothing_of_what_follows_through(contexts: Contexts) -> None:
    """As a backend does that we give up: the server has yet to hang up, and what it still says is nobody's."""
    pair = Pair(contexts)
    pair.shake_hands()
    pair.client.write_eof()
    assert pair.wires[1].ended
    assert not pair.wires[1].closed
    pair.server.write(b"something")
    pair.flow()
    assert not pair.heard[1].data


async def test_bytes_that_are_no_tls_end_the_connection_with_a_reason(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.shake_hands()
    pair.server.data_received(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert pair.wires[0].closed
    pair.server.connection_lost(None)
    (reason,) = pair.heard[0].lost
    assert isinstance(reason, ConnectionAbortedError)


async def test_what_a_connection_took_is_free_when_it_ends(contexts: Contexts) -> None:
    """At once: a flood makes thousands a second, and a collection of garbage may be far off."""
    pair = Pair(contexts)
    pair.shake_hands()
    ended = weakref.ref(pair.client.ssl)
    assert pair.client.peer_end_point() is not None
    gc.disable()
    try:
        pair.client.connection_lost(None)
        assert ended() is None
    finally:
        gc.enable()
    assert pair.client.is_lost
    assert pair.client.peer_end_point() is None
    assert pair.client.get_extra_info("tls") is None
    assert pair.client.get_extra_info("ssl_object") is None
    pair.client.write(b"to nobody")
    pair.client.close()


async def test_a_handshake_that_fails_says_why_and_only_once(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.server.start(b"GET / HTTP/1.1\r\n\r\n")
    (failure,) = pair.heard[0].done
    assert "HTTP" in str(failure)
    assert pair.wires[0].closed
    pair.server.connection_lost(None)
    assert len(pair.heard[0].done) == 1
    assert pair.heard[0].lost == [None]


async def test_a_peer_that_reads_no_answers_of_its_tls_is_cut(contexts: Contexts) -> None:
    """A client can ask for other keys as often as it likes, and each time OpenSSL answers."""
    pair = Pair(contexts)
    pair.shake_hands()
    pair.wires[0].deliver = lambda data: None

    def ask_for_keys(times: int) -> None:
        for _ in range(times):
            # Python's ssl can't say it: this is what OpenSSL has to say by then.
            pair.server._outgoing.write(bytes(27))
            pair.client.write(b".")
            pair.flow()

    ask_for_keys(MAX_UNREAD // 27 + 10)
    assert not pair.wires[0].closed, "it takes what it is told"
    pair.wires[0].size = 1
    ask_for_keys(MAX_UNREAD // 27)
    assert not pair.wires[0].closed
    pair.wires[0].size = 0
    ask_for_keys(1)
    pair.wires[0].size = 1
    ask_for_keys(MAX_UNREAD // 27)
    assert not pair.wires[0].closed, "it has taken all in between"
    ask_for_keys(1)
    assert pair.wires[0].aborted


async def test_nothing_is_written_before_the_handshake_is_over(contexts: Contexts) -> None:
    pair = Pair(contexts)
    pair.server.start()
    pair.server.write(b"FATAL: too slow")
    assert not pair.queue


async def test_one_handshake_goes_on_in_each_turn_of_the_loop(contexts: Contexts) -> None:
    turns = Turns()
    pairs = [Pair(contexts, turns) for _ in range(3)]
    for pair in pairs:
        pair.client.start()
        pair.flow()
    for number in range(1, 4):
        await asyncio.sleep(0)
        assert sum(bool(pair.queue) for pair in pairs) == number


async def test_a_client_takes_no_place_before_its_first_record_is_whole(contexts: Contexts) -> None:
    turns = Turns()
    pair = Pair(contexts, turns)
    pair.client.start()
    ((_, hello),) = pair.queue
    pair.queue.clear()
    for piece in (hello[:3], hello[3:5], hello[5:-1]):
        pair.server.data_received(piece)
        await asyncio.sleep(0)
        assert not pair.queue
        assert pair.server.get_extra_info("ssl_object") is None
    pair.server.data_received(hello[-1:])
    await asyncio.sleep(0)
    pair.flow()
    await asyncio.sleep(0)
    assert pair.heard[0].done == [None]


async def test_a_client_that_sends_without_end_before_it_is_answered_is_cut(contexts: Contexts) -> None:
    pair = Pair(contexts, Turns())
    pair.server.data_received(b"\x16\x03\x01\x40\x00" + bytes(MAX_HELLO - 5))
    assert not pair.wires[0].closed
    pair.server.data_received(b"\0")
    (failure,) = pair.heard[0].done
    assert f"more than {MAX_HELLO} bytes came before it was answered" in str(failure)
    assert pair.wires[0].closed


async def test_what_follows_a_first_record_waits_behind_it(contexts: Contexts) -> None:
    """Bytes that look like the beginning of another record, while the first one waits for its turn."""
    pair = Pair(contexts, Turns())
    pair.client.start()
    ((_, hello),) = pair.queue
    pair.queue.clear()
    pair.server.data_received(hello)
    pair.server.data_received(b"\x16\x03")
    await asyncio.sleep(0)
    assert pair.queue, "it was answered"
    pair.server.data_received(b"\x03\x00\x01\x00")
    await asyncio.sleep(0)
    (failure,) = pair.heard[0].done
    assert failure is not None
