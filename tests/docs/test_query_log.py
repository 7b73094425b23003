"""docs/howto/log-queries.md names every key and field of the plugin."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from interceptor_query_log.config import Config
from interceptor_query_log.writing import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "log-queries.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section("Settings"), re.MULTILINE)
    named = {field.name: getattr(Config(), field.name) for field in msgspec.structs.fields(Config)}
    written = {name: f"{value:g}" if isinstance(value, float) else str(value).lower() for name, value in named.items()}
    assert {name: value.strip('"') for name, value in rows} == written


def test_every_field() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section("The lines"), re.MULTILINE)) == FIELDS
