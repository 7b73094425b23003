"""Python values as PostgreSQL sends them, in text and in binary, and back again.

``encode_text`` gives what the server itself would send for the same value, byte for byte; the tests compare. What does
not fit its type is a ValueError that says so, never another value.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, cast
from uuid import UUID

from interceptor.protocol import array_values
from interceptor.protocol.datatypes import Interval, PythonValue, RawJson, TypeReference, type_by_oid
from interceptor.protocol.fitting import (
    fit_bool,
    fit_bytes,
    fit_date,
    fit_float,
    fit_integer,
    fit_interval,
    fit_json,
    fit_numeric,
    fit_text,
    fit_time,
    fit_timestamp,
    fit_timestamptz,
    fit_uuid,
)
from interceptor.protocol.numeric_values import decode_numeric, encode_numeric, write_float, write_float4
from interceptor.protocol.text_style import (
    DEFAULT_STYLE,
    TextStyle,
    write_date,
    write_interval,
    write_time,
    write_timestamp,
)

__all__ = ["decode_value", "encode_binary", "encode_text"]

_EPOCH_DATE: Final = date(2000, 1, 1)
_EPOCH: Final = datetime(2000, 1, 1)
_EPOCH_UTC: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)

_INT2: Final = struct.Struct("!h")
_INT4: Final = struct.Struct("!i")
_INT8: Final = struct.Struct("!q")
_UINT4: Final = struct.Struct("!I")
_FLOAT4: Final = struct.Struct("!f")
_FLOAT8: Final = struct.Struct("!d")
_INTERVAL: Final = struct.Struct("!qii")


def encode_text(reference: TypeReference, value: PythonValue, style: TextStyle = DEFAULT_STYLE) -> bytes:
    """The value in text format. Raises ValueError. NULL has no encoding: the caller sees to None."""
    codec = _CODECS[reference.element.name]
    modifier = reference.modifier
    if reference.is_array:
        text = array_values.write_array(
            value, lambda one: codec.write(codec.fit(one, modifier), style), nested=not codec.is_json
        )
    else:
        text = codec.write(codec.fit(value, modifier), style)
    try:
        return text.encode(style.encoding)
    except UnicodeEncodeError as error:
        raise ValueError(f"the client's encoding {style.encoding} has no {text[error.start]!r}") from None


def encode_binary(reference: TypeReference, value: PythonValue, style: TextStyle = DEFAULT_STYLE) -> bytes:
    """The value in binary format. Raises ValueError. NULL has no encoding: the caller sees to None."""
    codec = _CODECS[reference.element.name]
    modifier = reference.modifier

    def pack(one: PythonValue) -> bytes:
        try:
            return codec.pack(codec.fit(one, modifier), style)
        except UnicodeEncodeError as error:
            raise ValueError(f"the client's encoding {style.encoding} has no {error.object[error.start]!r}") from None

    if reference.is_array:
        return array_values.pack_array(value, reference.element.oid, pack, nested=not codec.is_json)
    return pack(value)


def decode_value(oid: int, format: int, data: bytes) -> PythonValue:
    """What the bytes of a parameter stand for. Raises ValueError.

    A type that is not one of the usual ones, or not known (0), is its text in text format, and can't be read in binary.
    """
    reference = type_by_oid(oid)
    if reference is None:
        if format:
            raise ValueError(f"a value of the type with OID {oid} in binary format can't be read")
        return data.decode()
    codec = _CODECS[reference.element.name]
    try:
        if reference.is_array:
            if format:
                return array_values.unpack_array(data, codec.unpack)
            return array_values.read_array(data.decode(), codec.read)
        return codec.unpack(data) if format else codec.read(data.decode())
    except (ValueError, ArithmeticError, struct.error, LookupError, RecursionError) as error:
        kind = "binary" if format else "text"
        raise ValueError(f"this is no {kind} of the type {reference.name}") from error


# --- Text -------------------------------------------------------------------------------------------------------


def _write_bytes(value: bytes, style: TextStyle) -> str:
    if not style.bytea_escape:
        return "\\x" + value.hex()
    # bytea.c, byteaout
    return "".join("\\\\" if byte == 92 else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in value)


def _json_text(value: PythonValue, sort: bool) -> str:
    if isinstance(value, RawJson):
        return value.text
    try:
        text = _dump(value, sort)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"this can't be written as JSON: {error}") from None
    if "\\u0000" in text and sort:
        raise ValueError("a text in jsonb can't have a NUL character")
    return text


def _dump(value: PythonValue, sort: bool) -> str:
    if isinstance(value, dict):
        items = list(cast("Mapping[str, PythonValue]", value).items())
        if sort:
            # jsonb_util.c, lengthCompareJsonbStringValue: shorter keys first, then by bytes.
            items.sort(key=lambda item: (len(item[0].encode()), item[0].encode()))
        return "{" + ", ".join(f"{_string(key)}: {_dump(one, sort)}" for key, one in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_dump(one, sort) for one in value) + "]"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("JSON has no infinity and no NaN")
        return format(value, "f")
    if isinstance(value, float) and sort and math.isfinite(value):
        return format(Decimal(repr(value)), "f")  # jsonb keeps numbers as numeric
    if isinstance(value, str):
        return _string(value)
    return json.dumps(value, allow_nan=False)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a key is a {type(value).__name__}, and has to be a str")
    return json.dumps(value, ensure_ascii=False)


# --- Reading ------------------------------------------------------------------------------------------------------

_TRUE: Final = frozenset(["t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"])
_FALSE: Final = frozenset(["f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"])


def _read_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _read_bytes(text: str) -> bytes:
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:])
    return re.sub(
        rb"\\(?:(\\)|([0-3][0-7]{2}))",
        lambda match: b"\\" if match[1] else bytes((int(match[2], 8),)),
        text.encode(),
    )


def _read_timestamptz(text: str) -> datetime:
    value = datetime.fromisoformat(text.strip())
    if value.tzinfo is None:
        # It would be in the time zone of the session, which is not known here.
        raise ValueError(text)
    return value


_CLOCK: Final = re.compile(r"(?P<sign>[+-]?)(?P<h>\d+):(?P<m>\d\d)(?::(?P<s>\d\d)(?:\.(?P<f>\d{1,6}))?)?")
_UNIT: Final = re.compile(r"([+-]?\d+)\s*(year|mon|month|day|hour|min|minute|sec|second)s?")
_OF_UNIT: Final = {
    "year": Interval(12), "mon": Interval(1), "month": Interval(1), "day": Interval(0, 1),
    "hour": Interval(0, 0, 3_600_000_000), "min": Interval(0, 0, 60_000_000), "minute": Interval(0, 0, 60_000_000),
    "sec": Interval(0, 0, 1_000_000), "second": Interval(0, 0, 1_000_000),
}  # fmt: skip


def _read_interval(text: str) -> Interval:
    """The form that PostgreSQL itself writes by default, and that drivers send."""
    months = days = micros = 0
    rest = text.strip()
    for match in _UNIT.finditer(rest):
        count, unit = int(match[1]), _OF_UNIT[match[2]]
        months, days, micros = (
            months + count * unit.months,
            days + count * unit.days,
            micros + count * unit.microseconds,
        )
    rest = _UNIT.sub("", rest).strip()
    if rest:
        clock = _CLOCK.fullmatch(rest)
        if clock is None:
            raise ValueError(text)
        fraction = int((clock["f"] or "").ljust(6, "0") or 0)
        spent = (int(clock["h"]) * 3600 + int(clock["m"]) * 60 + int(clock["s"] or 0)) * 1_000_000 + fraction
        micros += -spent if clock["sign"] == "-" else spent
    return Interval(months, days, micros)


def _unpack_interval(data: bytes) -> Interval:
    micros, days, months = _INTERVAL.unpack(data)
    return Interval(months, days, micros)


def _unpack_time(data: bytes) -> time:
    moment: datetime = _EPOCH + _INT8.unpack(data)[0] * _MICRO
    return moment.time()


def _unpack_jsonb(data: bytes) -> PythonValue:
    if data[:1] != b"\x01":
        raise ValueError("an unknown version of jsonb")
    return _read_json(data[1:].decode())


def _read_json(text: str) -> PythonValue:
    return cast("PythonValue", json.loads(text))


def _unpack_bool(data: bytes) -> bool:
    if len(data) != 1:
        raise ValueError("a bool has one byte")
    return data != b"\0"


# --- The table ----------------------------------------------------------------------------------------------------


class _Codec(NamedTuple):
    """How the values of a type are checked, written, packed, read and unpacked."""

    fit: Callable[[PythonValue, int], PythonValue]
    write: Callable[..., str]
    pack: Callable[..., bytes]
    read: Callable[[str], PythonValue]
    unpack: Callable[[bytes], PythonValue]
    is_json: bool = False


def _integer(name: str, packer: struct.Struct, signed: bool = True) -> _Codec:
    bits = packer.size * 8
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return _Codec(
        fit_integer(name, low, high),
        lambda value, style: str(value),
        lambda value, style: packer.pack(value),
        int,
        lambda data: cast("int", packer.unpack(data)[0]),
    )


_TEXT: Final = _Codec(
    fit_text, lambda value, style: value, lambda value, style: value.encode(style.encoding), str, bytes.decode
)

_CODECS: Final[Mapping[str, _Codec]] = {
    "bool": _Codec(
        fit_bool,
        lambda value, style: "t" if value else "f",
        lambda value, style: b"\1" if value else b"\0",
        _read_bool,
        _unpack_bool,
    ),
    "int2": _integer("int2", _INT2),
    "int4": _integer("int4", _INT4),
    "int8": _integer("int8", _INT8),
    "oid": _integer("oid", _UINT4, signed=False),
    "float4": _Codec(
        fit_float("float4", _FLOAT4),
        lambda value, style: write_float4(value, style.float_digits),
        lambda value, style: _FLOAT4.pack(value),
        float,
        lambda data: cast("float", _FLOAT4.unpack(data)[0]),
    ),
    "float8": _Codec(
        fit_float("float8", _FLOAT8),
        lambda value, style: write_float(value, style.float_digits),
        lambda value, style: _FLOAT8.pack(value),
        float,
        lambda data: cast("float", _FLOAT8.unpack(data)[0]),
    ),
    "numeric": _Codec(
        fit_numeric,
        lambda value, style: format(value, "f"),
        lambda value, style: encode_numeric(value),
        Decimal,
        decode_numeric,
    ),
    "text": _TEXT,
    "varchar": _TEXT,
    "bytea": _Codec(fit_bytes, _write_bytes, lambda value, style: value, _read_bytes, bytes),
    "date": _Codec(
        fit_date,
        write_date,
        lambda value, style: _INT4.pack((value - _EPOCH_DATE).days),
        lambda text: date.fromisoformat(text.strip()),
        lambda data: _EPOCH_DATE + timedelta(days=_INT4.unpack(data)[0]),
    ),
    "time": _Codec(
        fit_time,
        lambda value, style: write_time(value),
        lambda value, style: _INT8.pack((datetime.combine(_EPOCH_DATE, value) - _EPOCH) // _MICRO),
        lambda text: time.fromisoformat(text.strip()),
        _unpack_time,
    ),
    "timestamp": _Codec(
        fit_timestamp,
        write_timestamp,
        lambda value, style: _INT8.pack((value - _EPOCH) // _MICRO),
        lambda text: datetime.fromisoformat(text.strip()).replace(tzinfo=None),
        lambda data: _EPOCH + _INT8.unpack(data)[0] * _MICRO,
    ),
    "timestamptz": _Codec(
        fit_timestamptz,
        write_timestamp,
        lambda value, style: _INT8.pack((value - _EPOCH_UTC) // _MICRO),
        _read_timestamptz,
        lambda data: _EPOCH_UTC + _INT8.unpack(data)[0] * _MICRO,
    ),
    "interval": _Codec(
        fit_interval,
        write_interval,
        lambda value, style: _INTERVAL.pack(value.microseconds, value.days, value.months),
        _read_interval,
        _unpack_interval,
    ),
    "uuid": _Codec(
        fit_uuid,
        lambda value, style: str(value),
        lambda value, style: value.bytes,
        UUID,
        lambda data: UUID(bytes=data),
    ),
    "json": _Codec(
        fit_json,
        lambda value, style: _json_text(value, sort=False),
        lambda value, style: _json_text(value, sort=False).encode(style.encoding),
        _read_json,
        lambda data: _read_json(data.decode()),
        is_json=True,
    ),
    "jsonb": _Codec(
        fit_json,
        lambda value, style: _json_text(value, sort=True),
        lambda value, style: b"\1" + _json_text(value, sort=True).encode(style.encoding),
        _read_json,
        _unpack_jsonb,
        is_json=True,
    ),
}
