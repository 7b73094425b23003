"""A plugin's own TOML files: what is wrong in them, and where."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from interceptor import ConfigError
from interceptor.hooks.files import SettingsFile


class Item(msgspec.Struct, frozen=True):
    name: str
    count: int = 0


class Settings(msgspec.Struct, frozen=True):
    item: list[Item] = []


def test_a_file_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_bytes(b'\xef\xbb\xbf[[item]]\nname = "a"\n\n[[item]]\nname = "b"\ncount = 2\n')
    file = SettingsFile.read(path, Settings)
    assert file.values == Settings([Item("a"), Item("b", 2)])
    error = file.problem(("item", 1, "count"), "too many")
    assert (error.file, error.line, error.key, error.message) == (str(path), 6, "item[1].count", "too many")


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (b'[[item]]\nname = "a"\n[[item]]\nname = 5', 4, "item[1].name", "expected str, got int"),
        (b"[[item]]\ncount = 1", 1, "item[0].name", "missing; it must be given"),
        (b'[[item]]\nname = "a"\n\ncuont = 1', 4, "item[0].cuont", 'unknown setting; did you mean "count"?'),
        (b"[[item]]\nname = ", 2, "", "not TOML: Invalid value"),
        (b"# \xff\n", 1, "", "the file is not UTF-8, which TOML must be"),
        (b"a = " + b"[" * 100_000, 0, "", "not TOML that can be read: it is nested too deeply"),
        (b"a = " + b"1" * 5000, 0, "", "not TOML that can be read: a number has too many digits"),
    ],
)
def test_what_is_wrong_has_its_line_and_key(text: bytes, line: int, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SettingsFile("x.toml", Settings, text)
    error = caught.value
    assert (error.file, error.line, error.key, error.message) == ("x.toml", line, key, message)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        SettingsFile.read(tmp_path / "none.toml", Settings)
