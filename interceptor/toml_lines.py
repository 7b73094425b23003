"""On which line of a TOML text each key stands. ``tomllib`` reads values, but does not tell where it found them."""

from __future__ import annotations

import re
import tomllib

from interceptor.hooks.sources import KeyPath

__all__ = ["find_lines"]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_LINE_END = re.compile(r"[^\n]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
# Multi-line strings first, or their three quotes would pass for an empty string and a beginning. Up to two quotes may
# stand before the closing three and belong to the text.
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def find_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of every key, table and array element of a TOML text.

    Tables that are only implied stand where they are first mentioned. The caller has had ``tomllib`` parse the same
    text: this reads no more of TOML's grammar than it needs for a text that is right.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        # How many elements each array of tables has so far: a header that passes through one means its last element.
        self._elements: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._pair(table)
            self._skip(_LINE_END)
        return self._lines

    def _header(self, brackets: int) -> KeyPath:
        self._at += brackets
        path: KeyPath = ()
        keys = self._keys()
        for key in keys[:-1]:
            path = self._last_element((*path, key))
        path = (*path, keys[-1])
        self._note(path)
        if brackets == 2:
            self._elements[path] = self._elements.get(path, 0) + 1
            path = self._last_element(path)
        return path

    def _last_element(self, path: KeyPath) -> KeyPath:
        self._note(path)
        if path in self._elements:
            path = (*path, self._elements[path] - 1)
            self._note(path)
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path)
        self._at += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            token = self._take(_KEY)
            keys.append(tomllib.loads(f"key = {token}")["key"] if token[0] in "\"'" else token)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._comma_or("]")
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        # Newer TOML allows line ends and a last comma here, so this does too.
        while self._text[self._skip(_BLANK)] != "}":
            self._pair(path)
            self._comma_or("}")
        self._at += 1

    def _comma_or(self, end: str) -> None:
        # Without this, a text that is no TOML would be read without getting on.
        found = self._text[self._skip(_BLANK)]
        assert found in f",{end}", f"not TOML at character {self._at}"
        if found == ",":
            self._at += 1

    def _note(self, path: KeyPath) -> None:
        self._lines.setdefault(path, self._line)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._take(pattern)
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, f"not TOML at character {self._at}"
        self._at = found.end()
        self._line += found[0].count("\n")
        return found[0]
