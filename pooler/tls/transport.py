"""TLS between a socket's transport and the protocol that uses it.

::

    socket ── transport ──▶ TlsTransport (the transport's protocol)          decrypts
                            TlsTransport (the protocol's transport) ──▶ ClientConnection, Backend, ...

The loop's own layer would do, but for three things. Each of its connections has a buffer of 256 KB; it can't be given
the bytes that came before it was there, with which direct TLS begins; and a storm of handshakes, a millisecond each,
would be worked off in one go while clients at work wait. Here buffers grow with what is in them, and clients'
handshakes take turns with everything else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final

from pooler.tls.channel_binding import server_end_point
from pooler.tls.reasons import explain
from pooler.tls.turns import Turns
from pooler.writing import direct_writer

__all__ = ["MAX_HANDSHAKE", "MAX_HELLO", "MAX_UNREAD", "HandshakeFailed", "TlsTransport"]

_RECORD: Final = 16384
"""Bytes of the largest TLS record. Nothing larger is encrypted at a time, or the buffer would stay as large."""

_BATCH: Final = 65536
"""Ciphertext that is decrypted at a time."""

MAX_HANDSHAKE: Final = 65536
"""Bytes that a peer may send before its handshake is over. A chain of certificates has some 5000."""


MAX_HELLO: Final = 8192
"""Bytes that a client may send before it is answered. A ClientHello has some 500; with post-quantum keys some 2000."""

MAX_UNREAD: Final = 65536
"""Bytes that OpenSSL may say by itself to a peer that takes none of them: its answers to 2,400 changes of keys."""

_TLS_HANDSHAKE: Final = 0x16
_HEADER: Final = 5
"""Bytes before a record: its type, version and length."""


class HandshakeFailed(Exception):
    """There is no TLS: the text says why. The connection is closed."""


class _State(Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    """We said goodbye. What still comes is dropped."""
    LOST = "lost"


OnDone = Callable[["HandshakeFailed | None"], None]


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One connection's TLS: a transport for ``protocol``, and the protocol of ``raw``.

    The protocol's ``connection_made`` is not called: who makes this does that, when the handshake is over.
    """

    __slots__ = (
        "_begin",
        "_broken",
        "_early",
        "_in_turn",
        "_incoming",
        "_on_done",
        "_outgoing",
        "_paused",
        "_protocol",
        "_raw",
        "_ssl",
        "_state",
        "_turns",
        "_unread",
        "_write",
        "origin",
    )

    def __init__(
        self,
        raw: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        context: ssl.SSLContext,
        on_done: OnDone,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        turns: Turns | None = None,
        origin: str = "",
    ) -> None:
        """Takes over ``raw``. ``on_done`` is told how the handshake ends, once, unless it never does: who makes this
        bounds the time. ``turns``: where the handshake of a client from the address ``origin`` waits until others have
        had their turn."""
        self._raw = raw
        self._write = direct_writer(raw)
        self._protocol = protocol
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._begin: Callable[[], ssl.SSLObject] | None = partial(
            context.wrap_bio,
            *(self._incoming, self._outgoing),
            server_side=server_side,
            server_hostname=server_hostname,
        )
        """Makes what takes memory, when there is something to do with it: who only connects gets none of it."""
        self._on_done: OnDone | None = on_done
        self._turns = turns
        self.origin = origin
        self._in_turn = False
        self._early: bytes | None = None if turns is None else b""
        """What a client has sent of its first record, until that is whole: before, it is worth no place in memory."""
        self._broken: ConnectionError | None = None
        """What was wrong with what the peer sent."""
        self._state = _State.HANDSHAKE
        self._paused = False
        self._unread = 0
        """Bytes that OpenSSL has said by itself since the peer took all that there was."""
        raw.set_protocol(self)

    def start(self, received: bytes = b"") -> None:
        """Begin the handshake, with what has come already. A server waits for its client to begin."""
        if received:
            self._on_handshake_data(received)
        elif self._turns is None:
            self.shake_hands()

    # --- The socket's protocol ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._state is _State.OPEN:
            self._on_ciphertext(data)
        elif self._state is _State.HANDSHAKE:
            self._on_handshake_data(data)

    def eof_received(self) -> None:
        # Without a close_notify somebody in the middle may have cut the stream. PostgreSQL's messages have lengths, so
        # a cut one is noticed as such.
        return

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _State.LOST
        self._let_go()
        self._finish(HandshakeFailed(f"the connection was closed during the TLS handshake{f' ({exc})' if exc else ''}"))
        self._protocol.connection_lost(self._broken or exc)

    def _let_go(self) -> None:
        """Free OpenSSL's memory now: who uses a connection and its transport hold each other, and may be found late."""
        if hasattr(self, "_ssl"):
            del self._ssl
        self._begin = self._early = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    def pause_writing(self) -> None:
        if self._state is not _State.HANDSHAKE:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._state is not _State.HANDSHAKE:
            self._protocol.resume_writing()

    # --- The handshake -----------------------------------------------------------------------------------------------

    def _on_handshake_data(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if not _is_whole_record(self._early) and len(self._early) <= MAX_HELLO:
                return
            data, self._early = self._early, None
        self._incoming.write(data)
        most = MAX_HANDSHAKE if self._begin is None else MAX_HELLO
        if self._incoming.pending > most:
            self._fail(f"more than {most} bytes came before it was {'over' if self._begin is None else 'answered'}")
        elif self._turns is None:
            self.shake_hands()
        elif not self._in_turn:
            self._in_turn = True
            self._turns.add(self)

    def shake_hands(self) -> None:
        """Go on with the handshake as far as what has come allows."""
        self._in_turn = False
        if self._state is not _State.HANDSHAKE or self._raw.is_closing():
            return
        if self._begin is not None:
            begin, self._begin = self._begin, None
            self._ssl = begin()
            if self._turns is not None:
                self._turns.on_begun(self)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the peer why
            self._fail(explain(error))
            return
        self._flush()
        self._state = _State.OPEN
        self._finish(None)
        self._deliver()

    def _fail(self, why: str) -> None:
        self._finish(HandshakeFailed(why))
        self._raw.close()

    def _finish(self, failure: HandshakeFailed | None) -> None:
        if self._turns is not None:
            self._turns.on_ended(self)
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            on_done(failure)

    # --- Bytes -------------------------------------------------------------------------------------------------------

    def _on_ciphertext(self, data: bytes) -> None:
        if len(data) <= _BATCH:
            self._incoming.write(data)
            self._deliver()
            return
        view = memoryview(data)
        for start in range(0, len(view), _BATCH):
            self._incoming.write(view[start : start + _BATCH])
            self._deliver()

    def _deliver(self) -> None:
        """Give the protocol all that can be decrypted, unless it asked for a pause."""
        pieces: list[bytes] = []
        ended = False
        if self._paused or self._state is not _State.OPEN:
            return
        try:
            while True:
                piece = self._ssl.read(_RECORD)
                if not piece:
                    ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError as error:
            # An alert, or not what the peer encrypted: what came before it is still the peer's.
            self._broken = ConnectionAbortedError(explain(error))
            ended = True
        if pieces:
            protocol = self._protocol
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._outgoing.pending:
            self._answer()
        if ended:
            self.close()

    def _answer(self) -> None:
        """Send what OpenSSL says by itself: to an alert, or to a peer that wants other keys. One that wants them again
        and again, and reads nothing, would fill our memory with the answers: nobody else has written anything."""
        self._unread = self._unread + self._outgoing.pending if self._raw.get_write_buffer_size() else 0
        self._flush()
        if self._unread > MAX_UNREAD:
            self._broken = ConnectionAbortedError("the peer reads no answers to what its TLS asks")
            self._raw.abort()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._raw.is_closing():
            self._write(data)

    # --- The protocol's transport ------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Before the end of the handshake and after our goodbye there is nobody to write to, and nothing is written."""
        if self._state is not _State.OPEN or not data:
            return
        try:
            if len(data) <= _RECORD:
                self._ssl.write(data)
                self._write(self._outgoing.read())
                return
            view = memoryview(data)
            encrypted = []
            for start in range(0, len(view), _RECORD):
                self._ssl.write(view[start : start + _RECORD])
                encrypted.append(self._outgoing.read())
            self._write(b"".join(encrypted))
        except ssl.SSLError:
            self._raw.abort()

    def close(self) -> None:
        self._say_goodbye()
        self._raw.close()

    def write_eof(self) -> None:
        self._say_goodbye()
        if not self._raw.is_closing():
            self._raw.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def _say_goodbye(self) -> None:
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            try:
                self._ssl.unwrap()
            except ssl.SSLError:
                pass  # the peer's goodbye has not come, and nobody waits for it
            self._flush()

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._raw.resume_reading()
            if self._incoming.pending or self._ssl_pending():
                # Not from here: who resumes is in the midst of something.
                asyncio.get_running_loop().call_soon(self._deliver)

    def _ssl_pending(self) -> bool:
        return self._state is _State.OPEN and self._ssl.pending() > 0

    def is_reading(self) -> bool:
        return not self._paused

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        """``encrypts``, ``ssl_object`` once there is one, and ``tls`` for people; all else is the socket's."""
        if name == "encrypts":
            return True
        if name == "ssl_object":
            return getattr(self, "_ssl", default)
        if name == "tls" and self._state in (_State.OPEN, _State.CLOSING):
            cipher = self._ssl.cipher()
            return f"{self._ssl.version()}/{cipher[0]}" if cipher else default
        return self._raw.get_extra_info(name, default)

    def peer_end_point(self) -> bytes | None:
        """The channel binding of the certificate that the peer, a server, has shown."""
        certificate = None if self.is_lost else self._ssl.getpeercert(binary_form=True)
        return None if certificate is None else server_end_point(certificate)

    @property
    def is_lost(self) -> bool:
        """The connection has ended."""
        return self._state is _State.LOST

    @property
    def ssl(self) -> ssl.SSLObject:
        """What knows the peer's certificate, once the handshake is over and until the connection ends."""
        return self._ssl


def _is_whole_record(received: bytes) -> bool:
    """Whether the first record is there, or it is none."""
    if received[0] != _TLS_HANDSHAKE:
        return True
    return len(received) >= _HEADER and len(received) >= _HEADER + int.from_bytes(received[3:_HEADER], "big")
