"""docs/howto/see-queries.md names every key, column and field of the plugin."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from interceptor_queries.config import Config
from interceptor_queries.showing import _COLUMNS
from interceptor_queries.writing import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "see-queries.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section("Settings"), re.MULTILINE)
    defaults = {name: value.strip('"') for name, value in rows}
    config = Config()
    assert defaults == {
        field.name: f"{value:g}"
        if isinstance(value := getattr(config, field.name), float)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
        for field in msgspec.structs.fields(Config)
    }


def test_every_column() -> None:
    named = re.findall(r"`(\w+)`", PAGE.split("| Column |")[1].split("\n\n")[0])
    assert sorted(named) == sorted(name for name, _ in _COLUMNS if name not in ("database", "user", "query"))


def test_every_field() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section("The log of queries"), re.MULTILINE)) == FIELDS
