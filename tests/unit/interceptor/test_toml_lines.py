"""Where keys stand. The generated documents are written by a writer that notes each key's line as it writes it."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.hooks.sources import KeyPath
from interceptor.toml_lines import find_lines

# ---- documents: what may stand under a key, and how it is written


@dataclass(frozen=True)
class Scalar:
    token: str


@dataclass(frozen=True)
class Array:
    items: list[Value]


@dataclass(frozen=True)
class Inline:
    entries: dict[str, Value]


@dataclass(frozen=True)
class Dotted:
    """A table written as ``key.below = value``."""

    entries: dict[str, Scalar | Array | Inline | Dotted]


@dataclass(frozen=True)
class Table:
    """A table with a header, or without one if it is only implied by those below it."""

    entries: dict[str, Node]
    implied: bool


@dataclass(frozen=True)
class Tables:
    elements: list[dict[str, Node]]


Value = Scalar | Array | Inline
Node = Scalar | Array | Inline | Dotted | Table | Tables

SCALARS = (
    *("1", "-0.5", "true", "inf", "2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05", "0xFF", "1_000"),
    *('""', "''", '"a # b"', "'a # \\'", '"] } , = \\" [x]"', '"\\u0022\\n"', "'''x'''", '"""x"""'),
    *('"""\n[no]\nk = 1\n"""', "'''\n[[no]]\n# k = 1 \\\n'''", '"""""a"" \\""" b"""""', "''''a'' ]'''''"),
    *('"""\\\n   \n  x = \\\\\n"""', "'''\n'''", '"""a\\"" """', '""""""', "''''''"),
)
KEYS = (
    *("a", "b", "c", "d", "server", "1", "-", "a.b", "a b", "", '"', "'", "#", "=", "]", "[x]", "{", ",", "é", "😀"),
    *("\n", "\\", "\x01", "a\\\"'b", "'''", '"""', "a = 1 # b", "\U000e0001"),
)
MOST_DEEP = 4


@dataclass
class Choices:
    """Turns bytes into a document: hypothesis makes and shrinks bytes far faster than trees."""

    data: Iterator[int]

    def pick(self, count: int) -> int:
        return next(self.data, 0) % count

    def key(self) -> str:
        return KEYS[self.pick(len(KEYS))]

    def value(self, depth: int) -> Value:
        match self.pick(4) if depth < MOST_DEEP else 0:
            case 2:
                return Array([self.value(depth + 1) for _ in range(self.pick(4))])
            case 3:
                return Inline({self.key(): self.value(depth + 1) for _ in range(self.pick(4))})
            case _:
                return Scalar(SCALARS[self.pick(len(SCALARS))])

    def dotted(self, depth: int) -> Scalar | Array | Inline | Dotted:
        if depth < MOST_DEEP and self.pick(3) == 2:
            return Dotted({self.key(): self.dotted(depth + 1) for _ in range(1 + self.pick(2))})
        return self.value(depth)

    def node(self, depth: int) -> Node:
        match self.pick(4) if depth < MOST_DEEP else 0:
            case 2:
                return Table(self.entries(depth + 1), implied=self.pick(2) == 1)
            case 3:
                return Tables([self.entries(depth + 1) for _ in range(1 + self.pick(3))])
            case _:
                return self.dotted(depth)

    def entries(self, depth: int) -> dict[str, Node]:
        return {self.key(): self.node(depth) for _ in range(self.pick(4))}


# ---- the writer


@dataclass
class Writer:
    """Writes a document and notes the line of each key. ``quirk`` varies quotes and blanks."""

    quirk: Iterator[int]
    text: str = ""
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def put(self, text: str) -> None:
        self.text += text

    def blank(self) -> None:
        self.put(["", " ", "\t", ""][next(self.quirk) % 4])

    def gap(self) -> None:
        self.put(["", " ", "\n", " # ], }\n", "\n\n\t# 'x\n"][next(self.quirk) % 5])

    def note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, key: str) -> str:
        bare = key.isascii() and key != "" and all(character.isalnum() or character in "-_" for character in key)
        literal = "'" not in key and key.isprintable()
        way = next(self.quirk) % 3
        if bare and way == 0:
            return key
        if literal and way == 1:
            return f"'{key}'"
        escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in key)
        return f'"{escaped}"'

    def keys(self, path: tuple[str, ...]) -> None:
        for number, key in enumerate(path):
            if number:
                self.blank()
                self.put(".")
            self.blank()
            self.put(self.key(key))
        self.blank()

    def pair(self, path: KeyPath, written: tuple[str, ...], node: Node) -> None:
        """``path`` leads to the node; ``written`` are the keys of it that stand on this line."""
        if isinstance(node, Dotted):
            for key, below in node.entries.items():
                self.pair((*path, key), (*written, key), below)
            return
        assert isinstance(node, Value)
        for end in range(len(written)):
            self.note(path[: len(path) - end])
        self.keys(written)
        self.put("=")
        self.blank()
        self.value(path, node)
        self.put(["\n", " # = [x]\n", "\n\n", "\t\n # '''\n"][next(self.quirk) % 4])

    def value(self, path: KeyPath, value: Value) -> None:
        match value:
            case Scalar(token):
                self.put(token)
            case Array(items):
                self.put("[")
                for number, item in enumerate(items):
                    self.gap()
                    self.note((*path, number))
                    self.value((*path, number), item)
                    self.gap()
                    if number < len(items) - 1 or next(self.quirk) % 2:
                        self.put(",")
                self.gap()
                self.put("]")
            case Inline(entries):
                self.put("{")
                for number, (key, below) in enumerate(entries.items()):
                    self.put("," if number else "")
                    self.note((*path, key))
                    self.keys((key,))
                    self.put("=")
                    self.blank()
                    self.value((*path, key), below)
                    self.blank()
                self.put("}")

    def body(self, path: KeyPath, names: tuple[str, ...], entries: dict[str, Node]) -> None:
        """``path`` counts the elements of arrays of tables; ``names`` are the keys alone, as headers write them."""
        for key, node in entries.items():
            if not isinstance(node, Table | Tables):
                self.pair((*path, key), (key,), node)
        for key, node in entries.items():
            if isinstance(node, Table):
                self.table((*path, key), (*names, key), node)
            elif isinstance(node, Tables):
                for number, element in enumerate(node.elements):
                    self.header((*path, key), (*names, key), "[[", "]]")
                    self.lines.setdefault((*path, key, number), self.lines_above())
                    self.body((*path, key, number), (*names, key), element)

    def table(self, path: KeyPath, names: tuple[str, ...], node: Table) -> None:
        below = [key for key, child in node.entries.items() if isinstance(child, Table | Tables)]
        if not node.implied or len(below) < len(node.entries) or not below:
            self.header(path, names, "[", "]")
        self.body(path, names, node.entries)

    def header(self, path: KeyPath, names: tuple[str, ...], begin: str, end: str) -> None:
        for length in range(1, len(path) + 1):
            self.note(path[:length])
        self.put(begin)
        self.keys(names)
        self.put(end + "\n")

    def lines_above(self) -> int:
        return self.text.count("\n")


def paths_of(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from paths_of(below, (*path, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from paths_of(below, (*path, number))


@given(data=st.binary(max_size=300), quirks=st.binary(min_size=1, max_size=12), windows=st.booleans())
def test_every_key_is_found_where_it_was_written(data: bytes, quirks: bytes, windows: bool) -> None:
    writer = Writer(itertools.cycle(quirks))
    writer.body((), (), Choices(iter(data)).entries(0))
    text = writer.text.replace("\n", "\r\n") if windows else writer.text

    paths = set(paths_of(tomllib.loads(text)))

    found = find_lines(text)

    assert set(found) == paths
    assert found == writer.lines


# ---- by hand: what a reader can check by eye

SAMPLE = '''\
title = "x" # not = here

[server]
  listen_port = 1
"quo.ted" . bare."a\\u0062" = { deep = [ 1, {in = 2},
  3,
  { "x y" = 4 } ] }
text = """
[not.a.table]
key = 1
"""
[databases.'*']
primary = \'\'\'
primary = 2\'\'\'
[[tables]]
a = 1
[tables.sub]
b = 2
[[tables.more]]
[[tables]]
[[tables.more]]
c = 3
d = [ """
"\\""""", \'\'\'
x\'\'\'\'\', { e = """"""} ]'''


def test_sample_by_eye() -> None:
    assert find_lines(SAMPLE) == {
        ("title",): 1,
        ("server",): 3,
        ("server", "listen_port"): 4,
        ("server", "quo.ted"): 5,
        ("server", "quo.ted", "bare"): 5,
        ("server", "quo.ted", "bare", "ab"): 5,
        ("server", "quo.ted", "bare", "ab", "deep"): 5,
        ("server", "quo.ted", "bare", "ab", "deep", 0): 5,
        ("server", "quo.ted", "bare", "ab", "deep", 1): 5,
        ("server", "quo.ted", "bare", "ab", "deep", 1, "in"): 5,
        ("server", "quo.ted", "bare", "ab", "deep", 2): 6,
        ("server", "quo.ted", "bare", "ab", "deep", 3): 7,
        ("server", "quo.ted", "bare", "ab", "deep", 3, "x y"): 7,
        ("server", "text"): 8,
        ("databases",): 12,
        ("databases", "*"): 12,
        ("databases", "*", "primary"): 13,
        ("tables",): 15,
        ("tables", 0): 15,
        ("tables", 0, "a"): 16,
        ("tables", 0, "sub"): 17,
        ("tables", 0, "sub", "b"): 18,
        ("tables", 0, "more"): 19,
        ("tables", 0, "more", 0): 19,
        ("tables", 1): 20,
        ("tables", 1, "more"): 21,
        ("tables", 1, "more", 0): 21,
        ("tables", 1, "more", 0, "c"): 22,
        ("tables", 1, "more", 0, "d"): 23,
        ("tables", 1, "more", 0, "d", 0): 23,
        ("tables", 1, "more", 0, "d", 1): 24,
        ("tables", 1, "more", 0, "d", 2): 25,
        ("tables", 1, "more", 0, "d", 2, "e"): 25,
    }
    assert set(find_lines(SAMPLE)) == set(paths_of(tomllib.loads(SAMPLE)))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "\r\n# x\r\n"])
def test_a_text_without_keys(text: str) -> None:
    assert find_lines(text) == {}
