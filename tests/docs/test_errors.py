"""docs/reference/errors.md says of every failure what it is, with the SQLSTATE that goes on the wire."""

from __future__ import annotations

import re
from pathlib import Path

from interceptor.errors import BACKEND_LOGIN, FAILURES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| (FATAL|ERROR|WARNING) \| ([^|]+) \|", re.MULTILINE)


def test_every_failure_is_documented_with_its_sqlstate() -> None:
    documented = {code: sqlstate for code, sqlstate, _, _ in _ROW.findall(PAGE.read_text())}
    expected = {code: failure.sqlstate for code, failure in FAILURES.items()}
    expected[BACKEND_LOGIN.code] = f"the server's own, or {BACKEND_LOGIN.sqlstate}"
    assert documented == expected


def test_every_row_says_when() -> None:
    assert all(when.strip() for _, _, _, when in _ROW.findall(PAGE.read_text()))
