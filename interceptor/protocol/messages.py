"""Message types of the wire protocol, and the messages that we write and read whole.

Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", section "Message Formats"; protocol.h.
What is forwarded is never decoded and never comes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final

from interceptor.errors import BackendError, ClientError, ProtocolViolation

# --- Frontend message types --------------------------------------------------------------------------------------
BIND: Final = ord("B")
CLOSE: Final = ord("C")
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")
COPY_FAIL: Final = ord("f")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
FLUSH: Final = ord("H")
FUNCTION_CALL: Final = ord("F")
PARSE: Final = ord("P")
PASSWORD: Final = ord("p")
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")

# --- Backend message types ---------------------------------------------------------------------------------------
AUTHENTICATION: Final = ord("R")
BACKEND_KEY_DATA: Final = ord("K")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
COMMAND_COMPLETE: Final = ord("C")
DATA_ROW: Final = ord("D")
EMPTY_QUERY_RESPONSE: Final = ord("I")
ERROR_RESPONSE: Final = ord("E")
NEGOTIATE_PROTOCOL_VERSION: Final = ord("v")
NO_DATA: Final = ord("n")
NOTICE_RESPONSE: Final = ord("N")
NOTIFICATION_RESPONSE: Final = ord("A")
PARAMETER_DESCRIPTION: Final = ord("t")
PARAMETER_STATUS: Final = ord("S")
PARSE_COMPLETE: Final = ord("1")
PORTAL_SUSPENDED: Final = ord("s")
READY_FOR_QUERY: Final = ord("Z")
ROW_DESCRIPTION: Final = ord("T")

# --- Transaction status, the byte in ReadyForQuery ---------------------------------------------------------------
IDLE: Final = ord("I")
IN_TRANSACTION: Final = ord("T")
FAILED_TRANSACTION: Final = ord("E")

_HEADER: Final = Struct("!BI")
_UINT32: Final = Struct("!I")

FLUSH_MESSAGE: Final = b"H\0\0\0\x04"
SYNC_MESSAGE: Final = b"S\0\0\0\x04"
PARSE_COMPLETE_MESSAGE: Final = b"1\0\0\0\x04"
BIND_COMPLETE_MESSAGE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE_MESSAGE: Final = b"3\0\0\0\x04"
TERMINATE_MESSAGE: Final = b"X\0\0\0\x04"
AUTHENTICATION_OK: Final = b"R\0\0\0\x08\0\0\0\0"
CLOSE_UNNAMED_STATEMENT: Final = b"C\0\0\0\x06S\0"
READY: Final[Mapping[int, bytes]] = {status: b"Z\0\0\0\x05" + bytes((status,)) for status in b"ITE"}


def encode_message(kind: int, body: bytes) -> bytes:
    """One message: type, length, body."""
    return _HEADER.pack(kind, len(body) + 4) + body


def encode_query(sql: str) -> bytes:
    """A Query message. ``sql`` is text of our own making, or built by quoting functions."""
    return encode_message(QUERY, sql.encode() + b"\0")


def encode_backend_key_data(process_id: int, secret: bytes) -> bytes:
    """A BackendKeyData message. ``secret`` has 4 bytes in protocol 3.0 and up to 256 from 3.2 on."""
    return encode_message(BACKEND_KEY_DATA, _UINT32.pack(process_id) + secret)


def encode_cancel_request(process_id: int, secret: bytes) -> bytes:
    """A CancelRequest: the whole packet, which has no type byte."""
    return _UINT32.pack(12 + len(secret)) + _UINT32.pack(80877102) + _UINT32.pack(process_id) + secret


def encode_startup(parameters: Mapping[str, str], protocol: int = 0x00030000) -> bytes:
    """A StartupMessage for a backend: the whole packet, which has no type byte."""
    body = b"".join(
        b"%b\0%b\0" % (name.encode(), value.encode(errors="surrogateescape")) for name, value in parameters.items()
    )
    return _UINT32.pack(len(body) + 9) + _UINT32.pack(protocol) + body + b"\0"


def encode_negotiate_protocol_version(protocol: int, unknown_options: Iterable[str]) -> bytes:
    """A NegotiateProtocolVersion: the version that will be spoken, and the options that we don't know."""
    names = [name.encode() + b"\0" for name in unknown_options]
    # PostgreSQL sends the whole version number (major in the upper half) where the documentation says "minor".
    return encode_message(
        NEGOTIATE_PROTOCOL_VERSION, _UINT32.pack(protocol) + _UINT32.pack(len(names)) + b"".join(names)
    )


def encode_error(
    severity: str, sqlstate: str, message: str, *, detail: str = "", hint: str = "", kind: int = ERROR_RESPONSE
) -> bytes:
    """An ErrorResponse, or with ``kind=NOTICE_RESPONSE`` a NoticeResponse.

    A NUL in a text would end the field early and let the rest pose as other fields, so it is dropped.
    """
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", message), ("D", detail), ("H", hint)]
    body = b"".join(
        b"%b%b\0" % (code.encode(), text.replace("\0", "").encode("utf-8", "replace")) for code, text in fields if text
    )
    return encode_message(kind, body + b"\0")


def encode_failure(error: ClientError | BackendError) -> bytes:
    """The ErrorResponse for a failure of ours; its stable code stands in brackets before the text."""
    severity = "FATAL" if not isinstance(error, ClientError) or error.fatal else "ERROR"
    sqlstate = error.sqlstate if isinstance(error, BackendError) else error.failure.sqlstate
    text = error.message if error.failure.code == "auth_failed" else f"({error.failure.code}) {error.message}"
    return encode_error(severity, sqlstate, text, detail=error.detail, hint=error.hint)


def decode_cstring(body: bytes, start: int) -> tuple[bytes, int]:
    """The zero-terminated string at ``start`` and the offset behind it. Raises ProtocolViolation if it has no end."""
    end = body.find(0, start)
    if end < 0:
        raise ProtocolViolation("invalid string in message")
    return body[start:end], end + 1


def decode_error_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their one-letter codes. Raises ProtocolViolation."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(body) and body[position]:
        code = chr(body[position])
        text, position = decode_cstring(body, position + 1)
        fields[code] = text.decode("utf-8", "replace")
    return fields
