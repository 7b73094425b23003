"""Every message that a client can send, built from PostgreSQL's documentation alone.

Source: PostgreSQL documentation, "Frontend/Backend Protocol", section "Message Formats". Nothing here comes from the
product, because what is compared with these bytes is the product.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "PROTOCOL_3_0",
    "PROTOCOL_3_2",
    "Frontend",
    "bind",
    "cancel_request",
    "close_portal",
    "close_statement",
    "copy_data",
    "copy_done",
    "copy_fail",
    "describe_portal",
    "describe_statement",
    "execute",
    "flush",
    "function_call",
    "gssenc_request",
    "parse",
    "password",
    "query",
    "sasl_initial_response",
    "sasl_response",
    "ssl_request",
    "startup",
    "sync",
    "terminate",
]

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2

_CANCEL_REQUEST = 1234 << 16 | 5678
_SSL_REQUEST = 1234 << 16 | 5679
_GSSENC_REQUEST = 1234 << 16 | 5680

# A longer text would hide the rest of a printed script.
_NOTE_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Frontend:
    """One message of a client: PostgreSQL's name for it, its arguments for people, and its bytes."""

    name: str
    note: str
    data: bytes

    def __str__(self) -> str:
        note = self.note
        if len(note) > _NOTE_LENGTH:
            note = f"{note[:_NOTE_LENGTH]}… ({len(self.data)} bytes)"
        return f"{self.name} {note}".rstrip()

    __repr__ = __str__


def _cstring(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return raw + b"\0"


def _message(name: str, tag: bytes, body: bytes, note: str = "") -> Frontend:
    return Frontend(name, note, tag + struct.pack("!I", len(body) + 4) + body)


def _untagged(name: str, body: bytes, note: str = "") -> Frontend:
    return Frontend(name, note, struct.pack("!I", len(body) + 4) + body)


def startup(parameters: Mapping[str, str], version: int = PROTOCOL_3_0) -> Frontend:
    """Open a conversation; ``parameters`` need at least ``user``, and may hold ``_pq_.`` options."""
    body = struct.pack("!I", version)
    body += b"".join(_cstring(name) + _cstring(value) for name, value in parameters.items()) + b"\0"
    return _untagged("StartupMessage", body, f"{version >> 16}.{version & 0xFFFF} {dict(parameters)}")


def ssl_request() -> Frontend:
    """Ask for TLS; the answer is one byte."""
    return _untagged("SSLRequest", struct.pack("!I", _SSL_REQUEST))


def gssenc_request() -> Frontend:
    """Ask for GSSAPI encryption; the answer is one byte."""
    return _untagged("GSSENCRequest", struct.pack("!I", _GSSENC_REQUEST))


def cancel_request(pid: int, key: bytes) -> Frontend:
    """Cancel what another connection runs; ``key`` has 4 bytes in protocol 3.0 and up to 256 in 3.2."""
    return _untagged("CancelRequest", struct.pack("!Ii", _CANCEL_REQUEST, pid) + key, f"pid {pid}")


def password(text: str) -> Frontend:
    """Answer a request for a cleartext or an md5 password."""
    return _message("PasswordMessage", b"p", _cstring(text))


def sasl_initial_response(mechanism: str, data: bytes) -> Frontend:
    """Choose a SASL mechanism and send its first message."""
    return _message("SASLInitialResponse", b"p", _cstring(mechanism) + struct.pack("!i", len(data)) + data, mechanism)


def sasl_response(data: bytes) -> Frontend:
    """Go on with SASL."""
    return _message("SASLResponse", b"p", data)


def query(sql: str | bytes) -> Frontend:
    """Run statements in the simple protocol."""
    return _message("Query", b"Q", _cstring(sql), repr(sql))


def parse(sql: str | bytes, name: str = "", types: Sequence[int] = ()) -> Frontend:
    """Prepare ``sql``; ``types`` are the OIDs of leading parameters, 0 for one left open."""
    body = _cstring(name) + _cstring(sql) + struct.pack(f"!H{len(types)}I", len(types), *types)
    return _message("Parse", b"P", body, f"{name!r} {sql!r}" + (f" types={list(types)}" if types else ""))


def bind(
    values: Sequence[bytes | None] = (),
    *,
    portal: str = "",
    statement: str = "",
    formats: Sequence[int] = (),
    results: Sequence[int] = (),
) -> Frontend:
    """Make a portal of a statement. ``formats`` and ``results``: 0 text, 1 binary; none, one for all, or one each."""
    parts = [_cstring(portal), _cstring(statement), struct.pack(f"!H{len(formats)}H", len(formats), *formats)]
    parts += [struct.pack("!H", len(values)), *map(_value, values)]
    parts.append(struct.pack(f"!H{len(results)}H", len(results), *results))
    note = f"portal={portal!r} statement={statement!r} values={_shown(values)}"
    note += f" formats={list(formats)}" * bool(formats) + f" results={list(results)}" * bool(results)
    return _message("Bind", b"B", b"".join(parts), note)


def describe_statement(name: str = "") -> Frontend:
    """Ask for a statement's parameters and columns."""
    return _message("Describe", b"D", b"S" + _cstring(name), f"statement {name!r}")


def describe_portal(name: str = "") -> Frontend:
    """Ask for a portal's columns."""
    return _message("Describe", b"D", b"P" + _cstring(name), f"portal {name!r}")


def execute(portal: str = "", rows: int = 0) -> Frontend:
    """Run a portal for at most ``rows`` rows; 0 is all."""
    return _message("Execute", b"E", _cstring(portal) + struct.pack("!i", rows), f"{portal!r} rows={rows}")


def close_statement(name: str = "") -> Frontend:
    """Forget a statement; one that does not exist is no error."""
    return _message("Close", b"C", b"S" + _cstring(name), f"statement {name!r}")


def close_portal(name: str = "") -> Frontend:
    """Forget a portal; one that does not exist is no error."""
    return _message("Close", b"C", b"P" + _cstring(name), f"portal {name!r}")


def flush() -> Frontend:
    """Ask for the replies so far without ending the batch."""
    return _message("Flush", b"H", b"")


def sync() -> Frontend:
    """End a batch of the extended protocol."""
    return _message("Sync", b"S", b"")


def copy_data(data: bytes) -> Frontend:
    """Send a piece of a COPY."""
    return _message("CopyData", b"d", data, repr(data[:_NOTE_LENGTH]))


def copy_done() -> Frontend:
    """End a COPY FROM STDIN."""
    return _message("CopyDone", b"c", b"")


def copy_fail(reason: str) -> Frontend:
    """Give up a COPY FROM STDIN."""
    return _message("CopyFail", b"f", _cstring(reason), repr(reason))


def function_call(
    oid: int, arguments: Sequence[bytes | None] = (), *, formats: Sequence[int] = (), result: int = 0
) -> Frontend:
    """Call a function by its OID, with formats as in ``bind``."""
    parts = [struct.pack(f"!IH{len(formats)}H", oid, len(formats), *formats), struct.pack("!H", len(arguments))]
    parts += [*map(_value, arguments), struct.pack("!H", result)]
    note = f"oid={oid} arguments={_shown(arguments)} formats={list(formats)} result={result}"
    return _message("FunctionCall", b"F", b"".join(parts), note)


def terminate() -> Frontend:
    """Say goodbye."""
    return _message("Terminate", b"X", b"")


def _value(value: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value


def _shown(values: Sequence[bytes | None]) -> str:
    return repr([value if value is None or len(value) <= 40 else f"<{len(value)} bytes>" for value in values])
