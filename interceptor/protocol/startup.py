"""The first packet of a connection: SSLRequest, GSSENCRequest, CancelRequest or StartupMessage.

Source: PostgreSQL, backend_startup.c, ProcessStartupPacket; documentation, "Message Flow", "Start-up".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from interceptor.errors import LOGIN_REFUSED, UNSUPPORTED_PROTOCOL, ClientError, ProtocolViolation

MAX_STARTUP_PACKET: Final = 10_000
"""Bytes behind the length word; PostgreSQL's MAX_STARTUP_PACKET_LENGTH. A cancel key of protocol 3.2 is far smaller."""

PROTOCOL_3_0: Final = 0x00030000
PROTOCOL_3_2: Final = 0x00030002

_CANCEL_REQUEST: Final = 80877102
_SSL_REQUEST: Final = 80877103
_GSSENC_REQUEST: Final = 80877104
_UINT32: Final = Struct("!I")

SSL_REQUEST_PACKET: Final = _UINT32.pack(8) + _UINT32.pack(_SSL_REQUEST)
"""How a client asks for TLS."""

_MAX_CANCEL_KEY: Final = 256


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """The client asks for TLS."""


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """The client asks for GSSAPI encryption."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Somebody who knows a connection's key asks to cancel what it runs."""

    process_id: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """A client's first words: the version it wants, and its parameters without the protocol options (``_pq_.*``)."""

    protocol: int
    parameters: dict[str, str]
    unknown_options: tuple[str, ...] = ()

    @property
    def spoken_protocol(self) -> int:
        """The version that both sides will speak: the client's, but at most 3.2."""
        return min(self.protocol, PROTOCOL_3_2)

    @property
    def needs_negotiation(self) -> bool:
        """Whether a NegotiateProtocolVersion has to be sent before anything else."""
        return self.protocol > PROTOCOL_3_2 or bool(self.unknown_options)


FirstPacket = SSLRequest | GSSENCRequest | CancelRequest | StartupMessage


def decode_first_packet(data: bytes) -> tuple[FirstPacket, int] | None:
    """The packet at the front of ``data`` and its size, or None until more has come.

    Raises ProtocolViolation for bytes that are no such packet, and ClientError for a version that we don't speak.
    """
    if len(data) < 4:
        return None
    (size,) = _UINT32.unpack_from(data)
    if not 8 <= size <= 4 + MAX_STARTUP_PACKET:
        raise ProtocolViolation("invalid length of startup packet")
    if len(data) < size:
        return None
    (code,) = _UINT32.unpack_from(data, 4)
    if code == _CANCEL_REQUEST:
        return _decode_cancel_request(data[8:size]), size
    if code in (_SSL_REQUEST, _GSSENC_REQUEST):
        if size != 8:
            raise ProtocolViolation("invalid length of startup packet")
        return (SSLRequest() if code == _SSL_REQUEST else GSSENCRequest()), size
    if code >> 16 != 3:
        raise ClientError(
            UNSUPPORTED_PROTOCOL,
            f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: server supports 3.0 to 3.2",
        )
    return _decode_startup_message(code, data[8:size]), size


def _decode_cancel_request(body: bytes) -> CancelRequest:
    if not 5 <= len(body) <= 4 + _MAX_CANCEL_KEY:
        raise ProtocolViolation("invalid length of cancel request packet")
    (process_id,) = _UINT32.unpack_from(body)
    return CancelRequest(process_id, body[4:])


def _decode_startup_message(protocol: int, body: bytes) -> StartupMessage:
    if not body.endswith(b"\0"):
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    # name, NUL, value, NUL, ... and a last NUL, which splits off two empty strings at the end.
    words = body.split(b"\0")
    if len(words) < 2 or len(words) % 2 or words[-2]:
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
    parameters: dict[str, str] = {}
    unknown_options = []
    for name_bytes, value_bytes in zip(words[:-2:2], words[1:-2:2], strict=True):
        if not name_bytes:
            raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
        try:
            name = name_bytes.decode()
            # Who and where has to be text. Of what is merely handed on, PostgreSQL judges the encoding.
            value = value_bytes.decode(errors="strict" if name in ("user", "database") else "surrogateescape")
        except UnicodeDecodeError as error:
            raise ProtocolViolation("invalid startup packet: names and values have to be UTF-8") from error
        if name.startswith("_pq_."):
            unknown_options.append(name)
        else:
            parameters[name] = value
    if not parameters.get("user"):
        raise ClientError(LOGIN_REFUSED, "no PostgreSQL user name specified in startup packet")
    return StartupMessage(protocol, parameters, tuple(unknown_options))
