"""From a plugin's table of the config file to the Struct that it declared; every problem with its key.

What may stand in a table is what msgspec makes of the Struct. For durations and sizes there are ``Duration`` and
``Size``, which are written as everywhere in the file, and for passwords ``Hidden``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar, cast

import msgspec

from interceptor.hooks.sources import KeyPath

__all__ = ["Duration", "Hidden", "SettingsProblem", "Size", "decode_settings"]

S = TypeVar("S", bound=msgspec.Struct)


class Duration(float):
    """Seconds, written as a number or as ``"10ms"``, ``"5s"``, ``"2min"``, ``"1h"``, ``"1d"``."""


class Size(int):
    """Bytes, written as a number or as ``"64kB"``, ``"64MB"``, ``"1GB"``. 1 kB is 1024 bytes."""


class Hidden:
    """A text that nothing shows but ``reveal``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Hidden(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text


class SettingsProblem(Exception):
    """A table does not fit: ``path`` of the key, and what is wrong there, as a sentence without a value."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)")
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d+)\s*(B|kB|MB|GB|TB)")
_BYTES: Final = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_AT: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_PART: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")


def decode_settings(kind: type[S], table: Mapping[str, object]) -> S:
    """Make a Struct of a table. Raises SettingsProblem for the first thing that is wrong."""
    unknown = next(_unknown_keys(msgspec.inspect.type_info(kind), table, ()), None)
    if unknown is not None:
        raise unknown
    try:
        # A dict: of any other Mapping its methods count too, for keys that are left out, such as ``values``.
        return msgspec.convert(dict(table), kind, dec_hook=_decode_own)
    except msgspec.ValidationError as error:
        problem = _as_problem(str(error))
        choices = _choices(msgspec.inspect.type_info(kind), problem.path)
        if choices and problem.message.startswith("invalid enum value"):
            problem = SettingsProblem(problem.path, f"expected one of {', '.join(map(json.dumps, choices))}")
        raise problem from None


def _decode_own(kind: type, value: object) -> object:
    if kind is Duration:
        if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
            return Duration(float(found[1]) * _SECONDS[found[2]])
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
            return Duration(value)
        raise ValueError('Expected a duration, such as 5, 0.5 or "10ms"')
    if kind is Size:
        if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
            return Size(int(found[1]) * _BYTES[found[2]])
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return Size(value)
        raise ValueError('Expected a size, such as 65536 or "64MB"')
    if kind is Hidden:
        if isinstance(value, str):
            return Hidden(value)
        raise ValueError("Expected a text")
    raise NotImplementedError(f"values of type {kind.__name__} can't be read from the config file")


def _unknown_keys(kind: msgspec.inspect.Type, value: object, path: KeyPath) -> Iterator[SettingsProblem]:
    """Keys that no field stands for, in the order of the file."""
    inspect = msgspec.inspect
    if isinstance(kind, inspect.StructType) and isinstance(value, Mapping):
        fields = {field.encode_name: field.type for field in kind.fields}
        for key, inner in cast("Mapping[str, object]", value).items():
            if key in fields:
                yield from _unknown_keys(fields[key], inner, (*path, key))
            elif key != kind.tag_field:
                yield SettingsProblem((*path, key), f"unknown setting{_nearest(key, fields)}")
    elif isinstance(kind, inspect.DictType) and isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            yield from _unknown_keys(kind.value_type, inner, (*path, key))
    elif isinstance(kind, (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)):
        for index, inner in enumerate(value if isinstance(value, list) else ()):
            yield from _unknown_keys(kind.item_type, inner, (*path, index))
    elif isinstance(kind, inspect.UnionType):
        # A table fits one member of a union at most; a tag says which, and msgspec sees to that.
        structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
        if len(structs) == 1 and isinstance(value, Mapping):
            yield from _unknown_keys(structs[0], value, path)
        elif not structs:
            for member in kind.types:
                yield from _unknown_keys(member, value, path)


def _choices(kind: msgspec.inspect.Type, path: KeyPath) -> list[str | int | None]:
    """The values from which that of a key is chosen; none where it isn't one of a few."""
    inspect = msgspec.inspect
    if isinstance(kind, inspect.UnionType):
        return [choice for member in kind.types for choice in _choices(member, path)]
    if not path:
        if isinstance(kind, inspect.EnumType):
            return [member.value for member in kind.cls]
        return list(kind.values) if isinstance(kind, inspect.LiteralType) else []
    inner: msgspec.inspect.Type | None = None
    if isinstance(kind, inspect.StructType):
        inner = next((field.type for field in kind.fields if field.encode_name == path[0]), None)
    elif isinstance(kind, inspect.DictType):
        inner = kind.value_type
    elif isinstance(kind, (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)):
        inner = kind.item_type
    return [] if inner is None else _choices(inner, path[1:])


def _nearest(name: str, known: Mapping[str, object]) -> str:
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def _as_problem(text: str) -> SettingsProblem:
    """msgspec's own message says what is expected, and in its own way where."""
    path: list[str | int] = []
    found = _AT.search(text)
    if found is not None:
        text = text[: found.start()]
        for key, index in _PART.findall(found["path"]):
            path.append(int(index) if index else key)
    missing = re.fullmatch(r"Object missing required field `([^`]+)`", text)
    if missing is not None:
        return SettingsProblem((*path, missing[1]), "missing; it must be given")
    # A value may have come from the environment, and be a secret in the wrong place.
    text = re.sub(r" '.*'$", "", text, flags=re.DOTALL).replace("`", "")
    return SettingsProblem(tuple(path), text[:1].lower() + text[1:])
