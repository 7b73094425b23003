"""Which connect_query could change what names mean, and how a version reads as a number."""

from __future__ import annotations

import pytest

from pooler.plugins.host import version_number
from pooler.plugins.names import may_rename


@pytest.mark.parametrize("sql", ["SET jit = off", "SET statement_timeout = 5; SET work_mem = '5MB'", "SELECT 1"])
def test_ordinary_settings_leave_names_alone(sql: str) -> None:
    assert not may_rename(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path = a",
        "SET jit = off; SET ROLE b",
        "SET SESSION AUTHORIZATION b",
        "RESET ALL",
        "DISCARD ALL",
        "SELECT set_config('search_path', 'a', false)",
        "SELECT own_function()",
        "DO $$ BEGIN EXECUTE 'SET ROLE b'; END $$",
        "SELEC 1",
    ],
)
def test_these_may_change_what_names_mean(sql: str) -> None:
    assert may_rename(sql)


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"18.4 (Debian 18.4-1)", 180004), (b"16.0", 160000), (b"19devel", 190000), (b"18beta1", 180000), (b"", 0)],
)
def test_a_version_is_a_number(text: bytes, number: int) -> None:
    assert version_number(text) == number
