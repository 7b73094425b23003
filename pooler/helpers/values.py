"""Values of PostgreSQL as text: what parameters look like, and what rows say.

Source: PostgreSQL documentation, chapters "Data Types" and "Arrays" (section "Array Input and Output Syntax").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from interceptor.errors import BACKEND_PROTOCOL, BackendError
from interceptor.services import Parameter, Value

__all__ = ["Decode", "decoder", "encode_parameter"]

Decode = Callable[[bytes], Value]


def encode_parameter(value: Parameter) -> bytes | None:
    """The text of a parameter; None for NULL."""
    if value is None:
        return None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    if isinstance(value, int | float | Decimal):
        return str(value).encode()
    return _encode_array(value)


def _encode_array(values: Sequence[Parameter]) -> bytes:
    parts = []
    for value in values:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            parts.append(_encode_array(value))
        else:
            text = encode_parameter(value)
            parts.append(b"NULL" if text is None else b'"%b"' % re.sub(rb'(["\\])', rb"\\\1", text))
    return b"{%b}" % b",".join(parts)


def decoder(type_oid: int) -> Decode:
    """How to read the text of a value of this type. What it returns raises BackendError for a text that makes no
    sense."""
    return _DECODERS.get(type_oid, _text)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _boolean(value: bytes) -> bool:
    return value == b"t"


def _numeric(value: bytes) -> Decimal:
    return Decimal(value.decode())


def _bytea(value: bytes) -> bytes:
    if value[:2] != b"\\x":
        raise BackendError(BACKEND_PROTOCOL, "a bytea came in another form than hex, which bytea_output asked for")
    return bytes.fromhex(value[2:].decode())


_ITEM: Final = re.compile(rb'\{|\}|,|"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def _array_of(item: Decode) -> Decode:
    def decode(value: bytes) -> list[Value]:
        if value == b"{}":
            return []
        if value[:1] == b"[":  # bounds that don't begin at 1: [0:2]={1,2,3}
            value = value[value.index(b"=") + 1 :]
        if b'"' not in value and value.find(b"{", 1) < 0:
            return [None if one == b"NULL" else item(one) for one in value[1:-1].split(b",")]
        stack: list[list[Value]] = [[]]
        for match in _ITEM.finditer(value):
            mark = match[0]
            if mark == b"{":
                stack.append([])
            elif mark == b"}":
                done = stack.pop()
                stack[-1].append(done)
            elif mark != b",":
                quoted, plain = match[1], match[2]
                if quoted is not None:
                    stack[-1].append(item(_ESCAPE.sub(rb"\1", quoted)))
                else:
                    stack[-1].append(None if plain == b"NULL" else item(plain))
        (whole,) = stack[0]
        assert isinstance(whole, list)
        return whole

    return decode


# pg_type.dat
_SCALARS: Final[dict[int, Decode]] = {
    16: _boolean,
    17: _bytea,
    20: int,
    21: int,
    23: int,
    26: int,
    28: int,
    700: float,
    701: float,
    1700: _numeric,
}
_ARRAYS: Final[dict[int, Decode]] = {
    1000: _boolean,
    1001: _bytea,
    1002: _text,  # "char"
    1003: _text,  # name
    1005: int,
    1007: int,
    1009: _text,
    1014: _text,  # bpchar
    1015: _text,  # varchar
    1016: int,
    1021: float,
    1022: float,
    1028: int,
    1231: _numeric,
    1034: _text,  # aclitem
}
_DECODERS: Final[dict[int, Decode]] = {**_SCALARS, **{oid: _array_of(item) for oid, item in _ARRAYS.items()}}
