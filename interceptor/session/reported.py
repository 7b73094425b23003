"""The settings that a server reports by ParameterStatus, as a value: what a backend has said, and a client was told.

As with ``Settings``, there is one object for each set of values, so that a client which needs to be told nothing costs
one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final
from weakref import WeakValueDictionary

from interceptor.protocol.messages import PARAMETER_STATUS, encode_message
from interceptor.protocol.text_style import TextStyle

_ENCODINGS_UNSAFE_IN_ASCII: Final = frozenset(
    {b"SJIS", b"SHIFT_JIS_2004", b"BIG5", b"GBK", b"UHC", b"JOHAB", b"GB18030"}
)
"""Client encodings in which a byte below 128 may be a part of another character (PostgreSQL, pg_wchar.h)."""


MAX_CHANGES: Final = 64
"""Changes of one that are kept, for they come again and again."""


class Reported:
    """The reported settings of a session. Made by ``reported_of`` alone; never changed."""

    __slots__ = ("__dict__", "__weakref__", "_changed", "items", "standard_lexing", "values")

    def __init__(self, items: frozenset[tuple[bytes, bytes]]) -> None:
        self.items = items
        self._changed: dict[tuple[bytes, bytes], Reported] = {}
        self.values: Mapping[bytes, bytes] = dict(sorted(items))
        self.standard_lexing = (
            self.values.get(b"standard_conforming_strings") == b"on"
            and self.values.get(b"client_encoding") not in _ENCODINGS_UNSAFE_IN_ASCII
        )
        """SQL reads as in UTF-8 with standard_conforming_strings on: see ``StatementCache.effects``."""

    def __repr__(self) -> str:
        return f"Reported({len(self.items)} settings)"

    @cached_property
    def text_style(self) -> TextStyle:
        """How values look as text. Raises ValueError where the client's encoding or time zone isn't known here."""
        return TextStyle.of({name.decode().lower(): value.decode("utf-8", "replace") for name, value in self.items})

    def changed(self, name: bytes, value: bytes) -> Reported:
        """The settings after a ParameterStatus."""
        if self.values.get(name) == value:
            return self
        found = self._changed.get((name, value))
        if found is None:
            if len(self._changed) >= MAX_CHANGES:
                self._changed.clear()
            found = self._changed[name, value] = reported_of({**self.values, name: value})
        return found

    def news_since(self, told: Reported) -> bytes:
        """The ParameterStatus messages for a client that was ``told`` others."""
        return b"".join(
            [
                encode_message(PARAMETER_STATUS, b"%b\0%b\0" % (name, value))
                for name, value in self.values.items()
                if told.values.get(name) != value
            ]
        )


_interned: WeakValueDictionary[frozenset[tuple[bytes, bytes]], Reported] = WeakValueDictionary()


def reported_of(values: Mapping[bytes, bytes]) -> Reported:
    """The one object for these values."""
    items = frozenset(values.items())
    found = _interned.get(items)
    if found is None:
        found = _interned[items] = Reported(items)
    return found
