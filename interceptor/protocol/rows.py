"""Results of our own as messages: descriptions, rows, command tags, and errors with all their fields."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from interceptor.protocol.datatypes import PythonValue, TypeReference
from interceptor.protocol.messages import (
    COMMAND_COMPLETE,
    DATA_ROW,
    ERROR_RESPONSE,
    PARAMETER_DESCRIPTION,
    ROW_DESCRIPTION,
    encode_message,
)
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle
from interceptor.protocol.values import encode_binary, encode_text

__all__ = [
    "ColumnDescription",
    "RowEncoder",
    "encode_command_complete",
    "encode_error_fields",
    "encode_parameter_description",
    "encode_row_description",
    "spread_formats",
    "with_formats",
]

_COUNT: Final = Struct("!H")
_OID: Final = Struct("!I")
_LENGTH: Final = Struct("!i")
_COLUMN: Final = Struct("!IhIhih")
_NULL: Final = _LENGTH.pack(-1)
MAX_COLUMNS: Final = 1664
"""As PostgreSQL's MaxTupleAttributeNumber."""


class ColumnDescription:
    """A column of a result, as RowDescription has it."""

    __slots__ = ("name", "number", "reference", "table")

    def __init__(self, name: str, reference: TypeReference, table: int = 0, number: int = 0) -> None:
        self.name = name
        self.reference = reference
        self.table = table
        self.number = number


def spread_formats(formats: Sequence[int], count: int) -> tuple[int, ...]:
    """The format of each column from those of a Bind message. Raises ValueError if there are too many or too few."""
    if len(formats) == count:
        return tuple(formats)
    if len(formats) <= 1:
        return (formats[0] if formats else 0,) * count
    raise ValueError(f"bind message has {len(formats)} result formats but query has {count} columns")


def encode_row_description(
    columns: Sequence[ColumnDescription], formats: Sequence[int] = (), style: TextStyle = DEFAULT_STYLE
) -> bytes:
    """A RowDescription message. Raises ValueError."""
    if len(columns) > MAX_COLUMNS:
        raise ValueError(f"a result has at most {MAX_COLUMNS} columns, and not {len(columns)}")
    out = [_COUNT.pack(len(columns))]
    for column, code in zip(columns, spread_formats(formats, len(columns)), strict=True):
        reference = column.reference
        out.append(column.name.encode(style.encoding, "replace") + b"\0")
        out.append(_COLUMN.pack(column.table, column.number, reference.oid, reference.size, reference.modifier, code))
    return encode_message(ROW_DESCRIPTION, b"".join(out))


def encode_parameter_description(oids: Sequence[int]) -> bytes:
    """A ParameterDescription message."""
    return encode_message(PARAMETER_DESCRIPTION, _COUNT.pack(len(oids)) + b"".join(map(_OID.pack, oids)))


def encode_command_complete(tag: str) -> bytes:
    """A CommandComplete message."""
    return encode_message(COMMAND_COMPLETE, tag.encode() + b"\0")


class RowEncoder:
    """Makes DataRow messages for one result, in the formats and the style that its client asked for."""

    __slots__ = ("_columns", "_style")

    def __init__(
        self, columns: Sequence[ColumnDescription], formats: Sequence[int] = (), style: TextStyle = DEFAULT_STYLE
    ) -> None:
        """Raises ValueError if there are neither as many formats as columns, nor one, nor none."""
        spread = spread_formats(formats, len(columns))
        self._columns: Final = tuple(
            (column.name, column.reference, encode_binary if code else encode_text)
            for column, code in zip(columns, spread, strict=True)
        )
        self._style: Final = style

    def encode(self, row: Sequence[PythonValue]) -> bytes:
        """A DataRow message. Raises ValueError, whose text names the column that a value doesn't fit into."""
        if isinstance(row, (str, bytes)) or not isinstance(row, Sequence):
            raise ValueError(f"a row is a list or a tuple of values, and not a {type(row).__name__}")
        if len(row) != len(self._columns):
            raise ValueError(f"a row has {len(row)} values where there are {len(self._columns)} columns")
        style = self._style
        out = [_COUNT.pack(len(row))]
        for (name, reference, encode), value in zip(self._columns, row, strict=True):
            if value is None:
                out.append(_NULL)
                continue
            try:
                data = encode(reference, value, style)
            except ValueError as error:
                raise ValueError(f'column "{name}": {error}') from None
            out += (_LENGTH.pack(len(data)), data)
        return encode_message(DATA_ROW, b"".join(out))


def encode_error_fields(fields: Sequence[tuple[str, str]], style: TextStyle = DEFAULT_STYLE) -> bytes:
    """An ErrorResponse of these fields, by their one-letter codes; empty ones are left out.

    A NUL in a text would end the field early and let the rest pose as other fields, so it is dropped.
    """
    body = b"".join(
        code.encode() + text.replace("\0", "").encode(style.encoding, "replace") + b"\0"
        for code, text in fields
        if text
    )
    return encode_message(ERROR_RESPONSE, body + b"\0")


def with_formats(description: bytes, formats: Sequence[int]) -> bytes | None:
    """A RowDescription message from the body of one, with these formats. None if it is broken.

    ``formats``: as in Bind. If they don't go with the columns they are left as they are.
    """
    if len(description) < 2:
        return None
    (count,) = _COUNT.unpack_from(description)
    try:
        spread = spread_formats(formats, count)
    except ValueError:
        return encode_message(ROW_DESCRIPTION, description)
    made = bytearray(description)
    position = 2
    for code in spread:
        # A name, and 18 bytes whose last two are the format.
        name_end = description.find(0, position)
        position = name_end + 1 + _COLUMN.size
        if name_end < 0 or position > len(description):
            return None
        _COUNT.pack_into(made, position - 2, code)
    return encode_message(ROW_DESCRIPTION, bytes(made))
