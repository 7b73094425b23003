"""What each type takes: a value as the type has it, or a ValueError that says what doesn't fit."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from interceptor.protocol.datatypes import Interval, PythonValue
from interceptor.protocol.numeric_values import fit_decimal

__all__ = [
    "fit_bool",
    "fit_bytes",
    "fit_date",
    "fit_float",
    "fit_integer",
    "fit_interval",
    "fit_json",
    "fit_numeric",
    "fit_precision",
    "fit_text",
    "fit_time",
    "fit_timestamp",
    "fit_timestamptz",
    "fit_uuid",
]


def _expect(value: object, type_name: str, expected: str) -> ValueError:
    return ValueError(f"{type_name} takes {expected}, and not a value of the type {type(value).__name__}")


def fit_bool(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, bool):
        raise _expect(value, "bool", "True or False")
    return value


def fit_integer(name: str, low: int, high: int) -> Callable[[PythonValue, int], PythonValue]:
    def fit(value: PythonValue, modifier: int) -> PythonValue:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _expect(value, name, "an int")
        if not low <= value <= high:
            raise ValueError(f"{value} is out of the range of {name}")
        return int(value)

    return fit


def fit_float(name: str, packer: struct.Struct) -> Callable[[PythonValue, int], PythonValue]:
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


def fit_numeric(value: PythonValue, modifier: int) -> PythonValue:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise _expect(value, "numeric", "a Decimal, int or float")
    return fit_decimal(value if isinstance(value, Decimal) else Decimal(repr(value)), modifier)


def fit_text(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, str):
        raise _expect(value, "text", "a str")
    if "\0" in value:
        raise ValueError("a text in PostgreSQL can't have a NUL character")
    if modifier >= 0 and len(value) > modifier - 4:
        raise ValueError(f"a text of {len(value)} characters is too long for varchar({modifier - 4})")
    return value


def fit_bytes(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _expect(value, "bytea", "bytes")
    return bytes(value)


def fit_date(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _expect(value, "date", "a date")
    return value


def fit_precision(value: time | datetime, name: str, modifier: int) -> PythonValue:
    if modifier >= 0 and value.microsecond % 10 ** (6 - modifier):
        raise ValueError(f"a time with microseconds is too fine for {name}({modifier})")
    return value


def fit_time(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise _expect(value, "time", "a time without a zone")
    return fit_precision(value, "time", modifier)


def fit_timestamp(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise _expect(value, "timestamp", "a datetime without a zone")
    return fit_precision(value, "timestamp", modifier)


def fit_timestamptz(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _expect(value, "timestamptz", "a datetime with a zone")
    return fit_precision(value, "timestamptz", modifier)


def fit_interval(value: PythonValue, modifier: int) -> PythonValue:
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


def fit_uuid(value: PythonValue, modifier: int) -> PythonValue:
    if not isinstance(value, UUID):
        raise _expect(value, "uuid", "a UUID")
    return value


def fit_json(value: PythonValue, modifier: int) -> PythonValue:
    return value
