"""Bind messages, and the parameter types of Parse messages, taken apart and put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from interceptor.errors import ProtocolViolation
from interceptor.hooks.parameters import BoundValue, ParameterMap, Parameters
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.messages import BIND, decode_cstring, encode_message

_COUNT: Final = Struct("!H")
_LENGTH: Final = Struct("!i")
_OID: Final = Struct("!I")


@dataclass(frozen=True, slots=True)
class BindMessage:
    """A Bind message, whole."""

    portal: bytes
    statement: bytes
    formats: tuple[int, ...]
    data: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]

    def values(self) -> Iterator[tuple[int, bytes | None]]:
        """Format and bytes of each parameter."""
        formats = self.formats
        for number, value in enumerate(self.data):
            code = formats[number] if len(formats) > 1 else formats[0] if formats else 0
            yield code, value


def decode_bind(message: bytes) -> BindMessage:
    """Take a Bind message apart. Raises ProtocolViolation."""
    portal, position = decode_cstring(message, 5)
    statement, position = decode_cstring(message, position)
    try:
        formats, position = _decode_codes(message, position)
        (count,) = _COUNT.unpack_from(message, position)
        position += 2
        data: list[bytes | None] = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(message, position)
            position += 4
            data.append(None if length < 0 else message[position : position + length])
            position += max(length, 0)
        result_formats, position = _decode_codes(message, position)
    except Exception as error:
        raise ProtocolViolation("invalid Bind message") from error
    if position != len(message) or (len(formats) > 1 and len(formats) != count):
        raise ProtocolViolation("invalid Bind message")
    return BindMessage(portal, statement, formats, tuple(data), result_formats)


def _decode_codes(message: bytes, position: int) -> tuple[tuple[int, ...], int]:
    (count,) = _COUNT.unpack_from(message, position)
    end = position + 2 + 2 * count
    if end > len(message):
        raise ValueError("format codes are cut off")
    codes = tuple(_COUNT.unpack_from(message, at)[0] for at in range(position + 2, end, 2))
    return codes, end


def parameters_of(bind: BindMessage, types: bytes) -> Parameters:
    """The parameters of a Bind. ``types``: those at the end of its statement's Parse."""
    return Parameters(
        [BoundValue(_type_of(types, number), code, value) for number, (code, value) in enumerate(bind.values())]
    )


def _type_of(types: bytes, number: int) -> int:
    """The OID of a parameter in the tail of a Parse message; 0 where it is not said."""
    count = int.from_bytes(types[:2], "big")
    return int.from_bytes(types[2 + 4 * number : 6 + 4 * number], "big") if number < count else 0


def encode_bind(portal: bytes, statement: bytes, values: Sequence[BoundValue], result_formats: Sequence[int]) -> bytes:
    """Put a Bind message together."""
    out = [portal, b"\0", statement, b"\0", _COUNT.pack(len(values))]
    out += [_COUNT.pack(value.format) for value in values]
    out.append(_COUNT.pack(len(values)))
    for value in values:
        if value.data is None:
            out.append(_LENGTH.pack(-1))
        else:
            out += (_LENGTH.pack(len(value.data)), value.data)
    out.append(_COUNT.pack(len(result_formats)))
    out += [_COUNT.pack(code) for code in result_formats]
    return encode_message(BIND, b"".join(out))


def is_parse(message: bytes) -> bool:
    """Whether a message of type Parse has the form of one. PostgreSQL refuses all others."""
    name_end = message.find(0, 5)
    sql_end = message.find(0, name_end + 1)
    if name_end < 0 or sql_end < 0 or len(message) < sql_end + 3:
        return False
    (count,) = _COUNT.unpack_from(message, sql_end + 1)
    return len(message) == sql_end + 3 + 4 * int(count)


def map_types(body: bytes, mapping: ParameterMap | None) -> bytes:
    """The types at the end of a Parse message's body, as they are for a rewritten text (``Rewrite.parameters``)."""
    types = body[body.find(0) + 1 :]
    if mapping is None:
        return types
    (count,) = _COUNT.unpack_from(types)
    oids = [_OID.unpack_from(types, 2 + 4 * number)[0] for number in range(count)]
    mapped = [
        (oids[one - 1] if one <= count else 0) if isinstance(one, int) else find_type(one.type).oid for one in mapping
    ]
    return _COUNT.pack(len(mapped)) + b"".join([_OID.pack(oid) for oid in mapped])
