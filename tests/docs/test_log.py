"""docs/reference/log.md names every field of a line of the log."""

from __future__ import annotations

import re
from pathlib import Path

from pooler.logs import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "log.md").read_text()


def test_every_field_is_described_as_in_the_code() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)) == FIELDS
