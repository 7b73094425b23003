"""Arrays in PostgreSQL's text and binary formats. Source: arrayfuncs.c, array_out, array_in, array_send, array_recv."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, cast

from interceptor.protocol.datatypes import PythonValue

__all__ = ["pack_array", "read_array", "unpack_array", "write_array"]

MAX_DIMENSIONS: Final = 6
MAX_ITEMS: Final = 134_217_727

_HEAD: Final = Struct("!iiI")
_DIMENSION: Final = Struct("!ii")
_LENGTH: Final = Struct("!i")
_NULL: Final = _LENGTH.pack(-1)
_NEEDS_QUOTES: Final = re.compile(r'[{}",\\ \t-\r]|^$|^null$', re.IGNORECASE)
_ESCAPED: Final = re.compile(r'([\\"])')
_TOKEN: Final = re.compile(
    r'[ \t-\r]*([{},]|(?:"(?:[^"\\]|\\.)*"|(?:[^{},"\\ \t-\r]|\\.)(?:[^{},"\\]|\\.)*?)(?=[ \t-\r]*[,}]))[ \t-\r]*',
    re.DOTALL,
)


def _dimensions(value: PythonValue, nested: bool) -> list[int]:
    """The length of each dimension. Raises ValueError if the value is no array, or none with right angles."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"an array takes a list, and not a value of the type {type(value).__name__}")
    sizes: list[int] = []
    level: list[object] = [value]
    while level and isinstance(level[0], (list, tuple)) and (nested or not sizes):
        first = len(level[0])
        if any(not isinstance(one, (list, tuple)) or len(one) != first for one in level):
            raise ValueError("the lists in a list must all have the same length")
        sizes.append(first)
        level = [item for one in cast("list[list[object]]", level) for item in one]
    if nested and any(isinstance(one, (list, tuple)) for one in level):
        raise ValueError("the lists in a list must all have the same length")
    if len(sizes) > MAX_DIMENSIONS:
        raise ValueError(f"an array has at most {MAX_DIMENSIONS} dimensions")
    return sizes


def _items(value: PythonValue, depth: int) -> Iterator[PythonValue]:
    if depth == 0:
        yield value
    else:
        for one in cast("list[PythonValue]", value):
            yield from _items(one, depth - 1)


def write_array(value: PythonValue, write: Callable[[PythonValue], str], nested: bool) -> str:
    """An array as text. ``nested``: a list in the list is another dimension, and no value of its own."""
    sizes = _dimensions(value, nested)
    if 0 in sizes:
        return "{}"

    def level(part: PythonValue, depth: int) -> str:
        if depth == 0:
            return "NULL" if part is None else _quoted(write(part))
        return "{" + ",".join(level(one, depth - 1) for one in cast("list[PythonValue]", part)) + "}"

    return level(value, len(sizes))


def _quoted(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return text
    return '"' + _ESCAPED.sub(r"\\\1", text) + '"'


def pack_array(value: PythonValue, oid: int, pack: Callable[[PythonValue], bytes], nested: bool) -> bytes:
    """An array in binary; ``oid`` is that of its elements."""
    sizes = _dimensions(value, nested)
    if 0 in sizes:
        return _HEAD.pack(0, 0, oid)
    out = [b""]
    has_null = False
    for one in _items(value, len(sizes)):
        if one is None:
            has_null = True
            out.append(_NULL)
        else:
            data = pack(one)
            out += (_LENGTH.pack(len(data)), data)
    out[0] = _HEAD.pack(len(sizes), has_null, oid) + b"".join(_DIMENSION.pack(size, 1) for size in sizes)
    return b"".join(out)


def unpack_array(data: bytes, unpack: Callable[[bytes], PythonValue]) -> list[PythonValue]:
    """An array from binary. Raises ValueError, struct.error."""
    count, _, _ = _HEAD.unpack_from(data)
    if not 0 <= count <= MAX_DIMENSIONS:
        raise ValueError("too many dimensions")
    position = _HEAD.size
    sizes = []
    for _ in range(count):
        sizes.append(_DIMENSION.unpack_from(data, position)[0])
        position += _DIMENSION.size
    total = 1 if sizes else 0
    for size in sizes:
        total *= size
    if not 0 <= total <= len(data) // 4:
        raise ValueError("more elements than there are bytes")
    items: list[PythonValue] = []
    for _ in range(total):
        (length,) = _LENGTH.unpack_from(data, position)
        position += 4
        if length < 0:
            items.append(None)
        else:
            items.append(unpack(data[position : position + length]))
            position += length
    for size in reversed(sizes[1:]):
        items = [items[start : start + size] for start in range(0, len(items), size)] if size else []
    return items


def read_array(text: str, read: Callable[[str], PythonValue]) -> list[PythonValue]:
    """An array from text, without bounds (``[2:3]={…}``). Raises ValueError."""
    root: list[PythonValue] = []
    stack: list[list[PythonValue]] = [root]
    position = 0
    after_item = False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or (len(stack) == 1 and root):
            raise ValueError("no array")
        token, position = match[1], match.end()
        if token == "{":
            if after_item:
                raise ValueError("no array")
            inner: list[PythonValue] = []
            stack[-1].append(inner)
            stack.append(inner)
            after_item = False
        elif token == "}":
            stack.pop()
            after_item = True
        elif token == ",":
            if not after_item:
                raise ValueError("no array")
            after_item = False
        else:
            if after_item or len(stack) == 1:
                raise ValueError("no array")
            stack[-1].append(_read_item(token, read))
            after_item = True
        if not stack:
            raise ValueError("no array")
    if len(stack) != 1 or len(root) != 1:
        raise ValueError("no array")
    return cast("list[PythonValue]", root[0])


def _read_item(token: str, read: Callable[[str], PythonValue]) -> PythonValue:
    if token.startswith('"'):
        return read(re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL))
    return None if token.upper() == "NULL" else read(re.sub(r"\\(.)", r"\1", token))
