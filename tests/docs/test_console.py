"""docs/reference/console.md says of every command what it does, and of every column what it means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pooler.console.changing import CHANGES, HELP
from pooler.console.columns import COLUMNS
from pooler.console.showing import SHOWS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "console.md").read_text()
SECTIONS = dict(re.findall(r"^### ([A-Z_]+(?: [A-Z_]+)*)(?: [^\n]*)?\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_command_is_described_and_none_is_made_up() -> None:
    assert set(COLUMNS) == set(SHOWS)
    assert set(SECTIONS) == {"SHOW HELP", *(f"SHOW {name}" for name in SHOWS), *CHANGES}


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_every_column_is_described_in_its_order(name: str) -> None:
    text = SECTIONS[f"SHOW {name}"]
    columns = [column for column, _ in COLUMNS[name]]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE)
    if rows:
        assert [column for column, _ in rows] == columns
        assert all(meaning.strip() for _, meaning in rows)
    else:
        # Nothing new to say of any: they are listed in a sentence.
        assert re.findall(r"`(\w+)`", text)[-len(columns) :] == columns


def test_the_help_names_every_command() -> None:
    named = set(re.findall(r"[A-Z_]{3,}", HELP))
    words = {word for name in ("SHOW", "HELP", *SHOWS, *CHANGES) for word in name.split()}
    assert named - {"WAIT_FOR_SERVERS", "WAIT_FOR_CLIENTS"} == words - {"SUSPEND"}
