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
from interceptor.protocol.numeric_values import decode_numeric, encode_numeric, fit_numeric, write_float, write_float4
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


def _expect(value: object, type_name: str, expected: str) -> ValueError:
    return ValueError(f"{type_name} takes {expected}, and not a value of the type {type(value).__name__}")


# --- What each type takes -----------------------------------------------------------------------------------------


def _fit_bool(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, bool):
        raise _expect(value, "bool", "True or False")
    return value


def _fit_integer(name: str, low: int, high: int) -> Callable[[PythonValue, int], PythonValue]:
    def fit(value: PythonValue, modifier: int) -> PythonValue:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _expect(value, name, "an int")
        if not low <= value <= high:
            raise ValueError(f"{value} is out of the range of {name}")
        return int(value)

    return fit


def _fit_float(name: str, packer: struct.Struct) -> Callable[[PythonValue, int], PythonValue]:
    def fit(value: PythonValue, modifier: int) -> PythonValue:
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise _expect(value, name, "a float, int or Decimal")
        try:
            number: float = packer.unpack(packer.pack(float(value)))[0]
        except OverflowError:
            raise ValueError(f"{value} is out of the range of {name}") from None
        if math.isinf(number) and not math.isinf(float(value)):
            raise ValueError(f"{value} is out of the range of {name}")
        return number

    return fit


def _fit_numeric(value: PythonValue, modifier: int) -> PythonValue:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _expect(value, "numeric", "a Decimal, int or float")
    return fit_numeric(value if isinstance(value, Decimal) else Decimal(repr(value)), modifier)


def _fit_text(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, str):
        raise _expect(value, "text", "a str")
    if "\0" in value:
        raise ValueError("a text in PostgreSQL can't have a NUL character")
    if modifier >= 0 and len(value) > modifier - 4:
        raise ValueError(f"a text of {len(value)} characters is too long for varchar({modifier - 4})")
    return value


def _fit_bytes(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _expect(value, "bytea", "bytes")
    return bytes(value)


def _fit_date(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _expect(value, "date", "a date")
    return value


def _fit_precision(value: time | datetime, name: str, modifier: int) -> PythonValue:
    if modifier >= 0 and value.microsecond % 10 ** (6 - modifier):
        raise ValueError(f"a time with microseconds is too fine for {name}({modifier})")
    return value


def _fit_time(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise _expect(value, "time", "a time without a zone")
    return _fit_precision(value, "time", modifier)


def _fit_timestamp(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise _expect(value, "timestamp", "a datetime without a zone")
    return _fit_precision(value, "timestamp", modifier)


def _fit_timestamptz(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _expect(value, "timestamptz", "a datetime with a zone")
    return _fit_precision(value, "timestamptz", modifier)


def _fit_interval(value: PythonValue, modifier: int) -> PythonValue:
    if isinstance(value, timedelta):
        # Toward zero, or an hour ago would be a day ago and 23 hours from then.
        whole = abs(value)
        sign = -1 if value < timedelta(0) else 1
        value = Interval(0, sign * whole.days, sign * (whole.seconds * 1_000_000 + whole.microseconds))
    if not isinstance(value, Interval):
        raise _expect(value, "interval", "a timedelta or an Interval")
    if max(abs(value.months), abs(value.days)) >= 2**31 or abs(value.microseconds) >= 2**63:
        raise ValueError("this is out of the range of interval")
    return value


def _fit_uuid(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, UUID):
        raise _expect(value, "uuid", "a UUID")
    return value


def _fit_json(value: PythonValue, modifier: int) -> PythonValue:
    return value


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
        _fit_integer(name, low, high),
        lambda value, style: str(value),
        lambda value, style: packer.pack(value),
        int,
        lambda data: cast("int", packer.unpack(data)[0]),
    )


_TEXT: Final = _Codec(
    _fit_text, lambda value, style: value, lambda value, style: value.encode(style.encoding), str, bytes.decode
)

_CODECS: Final[Mapping[str, _Codec]] = {
    "bool": _Codec(
        _fit_bool,
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
        _fit_float("float4", _FLOAT4),
        lambda value, style: write_float4(value, style.float_digits),
        lambda value, style: _FLOAT4.pack(value),
        float,
        lambda data: cast("float", _FLOAT4.unpack(data)[0]),
    ),
    "float8": _Codec(
        _fit_float("float8", _FLOAT8),
        lambda value, style: write_float(value, style.float_digits),
        lambda value, style: _FLOAT8.pack(value),
        float,
        lambda data: cast("float", _FLOAT8.unpack(data)[0]),
    ),
    "numeric": _Codec(
        _fit_numeric,
        lambda value, style: format(value, "f"),
        lambda value, style: encode_numeric(value),
        Decimal,
        decode_numeric,
    ),
    "text": _TEXT,
    "varchar": _TEXT,
    "bytea": _Codec(_fit_bytes, _write_bytes, lambda value, style: value, _read_bytes, bytes),
    "date": _Codec(
        _fit_date,
        write_date,
        lambda value, style: _INT4.pack((value - _EPOCH_DATE).days),
        lambda text: date.fromisoformat(text.strip()),
        lambda data: _EPOCH_DATE + timedelta(days=_INT4.unpack(data)[0]),
    ),
    "time": _Codec(
        _fit_time,
        lambda value, style: write_time(value),
        lambda value, style: _INT8.pack((datetime.combine(_EPOCH_DATE, value) - _EPOCH) // _MICRO),
        lambda text: time.fromisoformat(text.strip()),
        _unpack_time,
    ),
    "timestamp": _Codec(
        _fit_timestamp,
        write_timestamp,
        lambda value, style: _INT8.pack((value - _EPOCH) // _MICRO),
        lambda text: datetime.fromisoformat(text.strip()).replace(tzinfo=None),
        lambda data: _EPOCH + _INT8.unpack(data)[0] * _MICRO,
    ),
    "timestamptz": _Codec(
        _fit_timestamptz,
        write_timestamp,
        lambda value, style: _INT8.pack((value - _EPOCH_UTC) // _MICRO),
        _read_timestamptz,
        lambda data: _EPOCH_UTC + _INT8.unpack(data)[0] * _MICRO,
    ),
    "interval": _Codec(
        _fit_interval,
        write_interval,
        lambda value, style: _INTERVAL.pack(value.microseconds, value.days, value.months),
        _read_interval,
        _unpack_interval,
    ),
    "uuid": _Codec(
        _fit_uuid,
        lambda value, style: str(value),
        lambda value, style: value.bytes,
        UUID,
        lambda data: UUID(bytes=data),
    ),
    "json": _Codec(
        _fit_json,
        lambda value, style: _json_text(value, sort=False),
        lambda value, style: _json_text(value, sort=False).encode(style.encoding),
        _read_json,
        lambda data: _read_json(data.decode()),
        is_json=True,
    ),
    "jsonb": _Codec(
        _fit_json,
        lambda value, style: _json_text(value, sort=True),
        lambda value, style: b"\1" + _json_text(value, sort=True).encode(style.encoding),
        _read_json,
        _unpack_jsonb,
        is_json=True,
    ),
}
