"""Every message that a server can send, read strictly and shown to people.

Two replies are compared by their bytes; decoding serves to read a difference and to set aside, field by field, what two
runs of one PostgreSQL may differ in. Source: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["MalformedReply", "Reply", "Row", "TransactionStatus", "decode_error", "row_values"]

TransactionStatus = str
"""``I`` idle, ``T`` in a transaction, ``E`` in a failed one."""

Row = tuple[bytes | None, ...]

_SHOWN_LENGTH = 60


class MalformedReply(Exception):
    """A server sent what the protocol has no reading for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of a server, as it came."""

    tag: bytes
    body: bytes

    @property
    def name(self) -> str:
        """PostgreSQL's name of the message."""
        return _KINDS[self.tag][0] if self.tag in _KINDS else f"unknown {self.tag!r}"

    def fields(self) -> tuple[str, ...]:
        """The decoded fields as texts.

        Raises MalformedReply for an unknown type, for bytes missing and for bytes left over.
        """
        if self.tag not in _KINDS:
            raise MalformedReply(f"A server sent a message of unknown type {self.tag!r}.")
        reader = _Reader(self.body)
        try:
            fields = tuple(_KINDS[self.tag][1](reader))
        except (struct.error, ValueError, IndexError) as error:
            raise MalformedReply(f"A {self.name} could not be read: {error}.") from error
        if reader.rest():
            raise MalformedReply(f"A {self.name} has {len(reader.rest())} bytes too many.")
        return fields

    def __str__(self) -> str:
        try:
            return " ".join((self.name, *self.fields()))
        except MalformedReply as error:
            return f"{self.name} MALFORMED {error} {_shown(self.body)}"

    __repr__ = __str__


class _Reader:
    """Reads a body from the left."""

    __slots__ = ("_body", "_at")  # noqa: RUF023 - in the order of use

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def rest(self) -> bytes:
        return self._body[self._at :]

    def take(self, length: int) -> bytes:
        end = self._at + length
        if length < 0 or end > len(self._body):
            raise ValueError(f"{length} bytes wanted, {len(self._body) - self._at} left")
        piece, self._at = self._body[self._at : end], end
        return piece

    def number(self, form: str) -> int:
        (value,) = struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))
        assert isinstance(value, int)
        return value

    def cstring(self) -> str:
        end = self._body.index(b"\0", self._at)
        text, self._at = self._body[self._at : end], end + 1
        return text.decode("utf-8", "backslashreplace")

    def value(self) -> bytes | None:
        length = self.number("i")
        return None if length == -1 else self.take(length)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "NULL"
    if len(value) <= _SHOWN_LENGTH:
        return repr(value)
    # The digest tells two long values of equal length apart.
    return f"{value[:20]!r}…({len(value)} bytes, sha256 {sha256(value).hexdigest()[:12]})"


def decode_error(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or a NoticeResponse by their one-letter codes, in their order."""
    reader, fields = _Reader(body), {}
    while (code := reader.take(1)) != b"\0":
        fields[code.decode("ascii")] = reader.cstring()
    return fields


def row_values(reply: Reply) -> Row:
    """The values of a DataRow."""
    assert reply.tag == b"D", reply
    reader = _Reader(reply.body)
    return tuple(reader.value() for _ in range(reader.number("H")))


def _nothing(reader: _Reader) -> list[str]:
    return []


def _authentication(reader: _Reader) -> list[str]:
    kind = reader.number("i")
    names = {0: "Ok", 3: "CleartextPassword", 5: "MD5Password", 10: "SASL", 11: "SASLContinue", 12: "SASLFinal"}
    # What follows is salt and proof, new each time.
    reader.take(len(reader.rest()))
    return [names.get(kind, str(kind))]


def _backend_key(reader: _Reader) -> list[str]:
    return [f"pid={reader.number('i')}", f"key={_shown(reader.take(len(reader.rest())))}"]


def _one_string(reader: _Reader) -> list[str]:
    return [repr(reader.cstring())]


def _copy_response(reader: _Reader) -> list[str]:
    overall, columns = reader.number("b"), reader.number("H")
    return [f"format={overall}", f"columns={[reader.number('H') for _ in range(columns)]}"]


def _copy_data(reader: _Reader) -> list[str]:
    return [_shown(reader.take(len(reader.rest())))]


def _data_row(reader: _Reader) -> list[str]:
    return [_shown(reader.value()) for _ in range(reader.number("H"))]


def _fields_of_error(reader: _Reader) -> list[str]:
    rest = reader.take(len(reader.rest()))
    return [f"{code}={text!r}" for code, text in decode_error(rest).items()]


def _function_result(reader: _Reader) -> list[str]:
    return [_shown(reader.value())]


def _negotiate(reader: _Reader) -> list[str]:
    version, count = reader.number("i"), reader.number("i")
    return [f"version={version}", *(repr(reader.cstring()) for _ in range(count))]


def _notification(reader: _Reader) -> list[str]:
    return [f"pid={reader.number('i')}", repr(reader.cstring()), repr(reader.cstring())]


def _parameter_description(reader: _Reader) -> list[str]:
    return [str([reader.number("I") for _ in range(reader.number("H"))])]


def _parameter_status(reader: _Reader) -> list[str]:
    return [f"{reader.cstring()}={reader.cstring()!r}"]


def _ready(reader: _Reader) -> list[str]:
    status = reader.take(1).decode("ascii")
    if status not in "ITE":
        raise ValueError(f"transaction status {status!r}")
    return [status]


def _row_description(reader: _Reader) -> list[str]:
    columns = []
    for _ in range(reader.number("H")):
        name = reader.cstring()
        table, number, type_oid = reader.number("I"), reader.number("h"), reader.number("I")
        size, modifier, form = reader.number("h"), reader.number("i"), reader.number("h")
        columns.append(f"{name}(table={table}.{number} type={type_oid}:{size}:{modifier} format={form})")
    return columns


_KINDS: dict[bytes, tuple[str, Callable[[_Reader], list[str]]]] = {
    b"R": ("Authentication", _authentication),
    b"K": ("BackendKeyData", _backend_key),
    b"2": ("BindComplete", _nothing),
    b"3": ("CloseComplete", _nothing),
    b"C": ("CommandComplete", _one_string),
    b"d": ("CopyData", _copy_data),
    b"c": ("CopyDone", _nothing),
    b"G": ("CopyInResponse", _copy_response),
    b"H": ("CopyOutResponse", _copy_response),
    b"W": ("CopyBothResponse", _copy_response),
    b"D": ("DataRow", _data_row),
    b"I": ("EmptyQueryResponse", _nothing),
    b"E": ("ErrorResponse", _fields_of_error),
    b"V": ("FunctionCallResponse", _function_result),
    b"v": ("NegotiateProtocolVersion", _negotiate),
    b"n": ("NoData", _nothing),
    b"N": ("NoticeResponse", _fields_of_error),
    b"A": ("NotificationResponse", _notification),
    b"t": ("ParameterDescription", _parameter_description),
    b"S": ("ParameterStatus", _parameter_status),
    b"1": ("ParseComplete", _nothing),
    b"s": ("PortalSuspended", _nothing),
    b"Z": ("ReadyForQuery", _ready),
    b"T": ("RowDescription", _row_description),
}
