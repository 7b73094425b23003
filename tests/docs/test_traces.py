"""docs/howto/trace-queries.md names every key of the plugin."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from interceptor_traces.config import Config

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "trace-queries.md").read_text()


def test_every_key_with_its_default() -> None:
    named = {field.name: getattr(Config(), field.name) for field in msgspec.structs.fields(Config)}
    written = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in named.items()}
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert {name: value.strip('"') for name, value in rows} == written
