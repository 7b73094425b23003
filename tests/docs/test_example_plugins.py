"""The plugins in examples/ do what they say, in fewer than forty lines each."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor import Block, Column, Forward
from interceptor.testing.harness import PluginHarness

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 40


def test_a_word_is_blocked_wherever_it_stands() -> None:
    harness = PluginHarness(EXAMPLES / "block_word.py", config={"words": ["DBLINK", "pg_read_file"]})
    for sql in ("SELECT dblink('x')", "SELECT 1; SELECT pg_Read_File('x')", "DO $$ BEGIN PERFORM dblink('x'); END $$"):
        action = harness.decide(sql).action
        assert isinstance(action, Block)
        assert action.sqlstate == "42501"
        assert sql.lower()[action.position - 1 :].startswith(("dblink", "pg_read_file"))
        early = harness.at_parse(sql)
        assert early is not None
        assert early.block == action
    assert harness.decide("SELECT 1").action == Forward()
    assert harness.at_parse("SELECT 1") is None


def test_hello_is_answered_with_rows() -> None:
    harness = PluginHarness(EXAMPLES / "hello.py")
    outcome = harness.decide(" select HELLO() ;", user="alice")
    assert harness.rows(outcome) == [("Hello, alice", 1), ("Hallo, alice", 2), ("Bonjour, alice", 3)]
    early = harness.at_parse("SELECT hello()")
    assert early is not None
    assert early.shape is not None
    assert early.shape.columns == (Column("greeting", "text"), Column("number", "int4"))
    for sql in ("SELECT hello(1)", "SELECT hello(), 1", "SELECT 1; SELECT hello()"):
        assert harness.decide(sql).action == Forward()


@pytest.mark.parametrize(
    ("sql", "target"),
    [
        ("SELECT * FROM orders", "replica1"),
        ("SELECT count(*) FROM orders", "replica1"),
        ("TABLE orders", "replica1"),
        ("SELECT nextval('s')", None),
        ("SELECT 1 FOR UPDATE", None),
        ("SELECT 1 INTO t", None),
        ("SELECT 1; SELECT 2", None),
        ("WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", None),
        ("INSERT INTO t SELECT 1", None),
        ("DO $$ BEGIN END $$", None),
        ("SELECT FROM WHERE", None),
    ],
)
def test_reads_go_elsewhere_and_nothing_else(sql: str, target: str | None) -> None:
    harness = PluginHarness(EXAMPLES / "read_elsewhere.py", config={"target": "replica1", "functions": ["count"]})
    assert harness.decide(sql).target == target
    assert harness.decide(sql, in_transaction=True).target is None
    (explanation,) = harness.explain(sql)
    assert explanation.reason
    assert explanation.decision == ("route" if target else "none")
