"""PostgreSQL's usual types: names, OIDs, and which Python values stand for them.

Source: pg_type.dat. What has no entry here can't be answered from Python values, only replayed as bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

__all__ = ["TYPES", "DataType", "Interval", "PythonValue", "RawJson", "TypeReference", "find_type", "type_by_oid"]


@dataclass(frozen=True, slots=True)
class Interval:
    """PostgreSQL's interval, whose months and days have no fixed length. A ``timedelta`` has days and seconds only."""

    months: int = 0
    days: int = 0
    microseconds: int = 0


@dataclass(frozen=True, slots=True)
class RawJson:
    """JSON that is text already. It is sent as it stands."""

    text: str


PythonValue: TypeAlias = (
    "bool | int | float | Decimal | str | bytes | bytearray | memoryview | date | time | datetime | timedelta"
    " | Interval | UUID | RawJson | Sequence[PythonValue] | Mapping[str, PythonValue] | None"
)
"""A value that a plugin gives or gets: of one of the types that docs/reference/hooks.md lists for each column type."""


@dataclass(frozen=True, slots=True)
class DataType:
    """A type of PostgreSQL. ``size`` is pg_type.typlen: bytes, or -1 where it varies."""

    name: str
    oid: int
    array_oid: int
    size: int


@dataclass(frozen=True, slots=True)
class TypeReference:
    """A type as a column has it: perhaps an array of it, perhaps with a modifier (pg_attribute.atttypmod)."""

    element: DataType
    is_array: bool = False
    modifier: int = -1

    @property
    def oid(self) -> int:
        """What RowDescription and ParameterDescription say."""
        return self.element.array_oid if self.is_array else self.element.oid

    @property
    def size(self) -> int:
        """What RowDescription says."""
        return -1 if self.is_array else self.element.size

    @property
    def name(self) -> str:
        """PostgreSQL's name for it, without modifier."""
        return self.element.name + ("[]" if self.is_array else "")


_ALL = (
    DataType("bool", 16, 1000, 1),
    DataType("bytea", 17, 1001, -1),
    DataType("int8", 20, 1016, 8),
    DataType("int2", 21, 1005, 2),
    DataType("int4", 23, 1007, 4),
    DataType("text", 25, 1009, -1),
    DataType("oid", 26, 1028, 4),
    DataType("json", 114, 199, -1),
    DataType("float4", 700, 1021, 4),
    DataType("float8", 701, 1022, 8),
    DataType("varchar", 1043, 1015, -1),
    DataType("date", 1082, 1182, 4),
    DataType("time", 1083, 1183, 8),
    DataType("timestamp", 1114, 1115, 8),
    DataType("timestamptz", 1184, 1185, 8),
    DataType("interval", 1186, 1187, 16),
    DataType("numeric", 1700, 1231, -1),
    DataType("uuid", 2950, 2951, 16),
    DataType("jsonb", 3802, 3807, -1),
)

TYPES: Final[Mapping[str, DataType]] = MappingProxyType({one.name: one for one in _ALL})

# The names that SQL has for them, which format_type() prints.
_ALIASES: Final = {
    "boolean": "bool",
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "time without time zone": "time",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}
_BY_OID: Final = {one.oid: TypeReference(one) for one in _ALL} | {
    one.array_oid: TypeReference(one, is_array=True) for one in _ALL
}
_NAME = re.compile(r"\s*([a-z0-9 ]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(\[\])?\s*", re.IGNORECASE)
_known: dict[str, TypeReference] = {}


def find_type(name: str) -> TypeReference:
    """The type of this name: ``int4``, ``integer``, ``varchar(20)``, ``numeric(10,2)[]``. Raises ValueError."""
    found = _known.get(name)
    if found is None:
        found = _parse(name)
        if len(_known) < 1000:
            _known[name] = found
    return found


def type_by_oid(oid: int) -> TypeReference | None:
    """The type of this OID, or None if it is not one of the usual ones."""
    return _BY_OID.get(oid)


def _parse(name: str) -> TypeReference:
    match = _NAME.fullmatch(name)
    base = " ".join(match[1].lower().split()) if match else ""
    element = TYPES.get(_ALIASES.get(base, base))
    if match is None or element is None:
        raise ValueError(f"unknown type {name!r}: known are {', '.join(sorted(TYPES))} and arrays of them")
    modifier = -1
    if match[2]:
        modifier = _modifier(element.name, int(match[2]), int(match[3]) if match[3] else None)
    return TypeReference(element, match[4] is not None, modifier)


def _modifier(name: str, first: int, second: int | None) -> int:
    # varchar.c, anychar_typmodin; numeric.c, make_numeric_typmod; both add VARHDRSZ.
    if name == "varchar" and second is None and 1 <= first <= 10_485_760:
        return first + 4
    if name == "numeric" and 1 <= first <= 1000 and (second or 0) <= 1000:
        return (first << 16 | (second or 0)) + 4
    if name in ("time", "timestamp", "timestamptz") and second is None and first <= 6:
        return first
    raise ValueError(f"the type {name} can't have the modifier ({first}{'' if second is None else f',{second}'})")
