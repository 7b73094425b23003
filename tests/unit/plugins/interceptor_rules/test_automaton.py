"""The regular expressions of rules: they find what Python's find, and none takes longer than its text is long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor_rules.automaton import Automaton, BadExpression

EXPRESSIONS = [
    "abc", "a|b", "(a|b)*c", "^a+$", "a{2,3}b", "a{2}", "a{0,2}c", "(ab){2,}", r"\bfoo\b", "[a-c]x", "[^a]b", "a.c",
    "(?:ab|c)+?d", "a??b", "^$", "a*", "(a*)*b", "(a|aa)+$", r"\w+\s\d", "x|", "[]a]", "^(select|insert) ", "(?i)AbC",
    "a{1,}$", r"b\B", r"\.\*", r"[\d.-]+", "(?i)[A-C]x", "a{3}{1}"[:4],
]  # fmt: skip


@pytest.mark.parametrize("source", EXPRESSIONS)
@given(text=st.text("abcx fo1._-", max_size=12))
def test_it_finds_what_python_finds(source: str, text: str) -> None:
    assert Automaton(source).search(text) is (re.search(source, text, re.DOTALL) is not None)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (r"(a)\1", r"\\1 is not known here"),
        ("(?=a)", "only"),
        ("(a", r"a \) is missing"),
        ("a)", r"unbalanced \)"),
        ("*a", "nothing stands before the repeat"),
        ("[a", "a ] is missing"),
        ("a{2", "expected {n}"),
        ("a{300}", "between 0 and 200"),
        ("a{2}{2}", "needs parentheses"),
        ("((a{100}){100}){100}", "too large"),
        ("(" * 100 + "a" + ")" * 100, "nested too deeply"),
        ("[b-a]", "ends before it begins"),
    ],
)
def test_what_can_not_be_searched_for_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(BadExpression, match=complaint):
        Automaton(source)


@pytest.mark.parametrize("source", ["(a*)*b", "(a|a)*b", "(.*)(.*)(.*)x", "(x+x+)+y", "(.*a){20}$", "(a?){50}a{50}b"])
def test_a_hostile_expression_ends(source: str) -> None:
    # Python's own would take longer than there is time in the world.
    assert Automaton(source).search("a" * 16_000 + "!") in (False, None)


def test_a_text_that_is_too_long_is_no_answer() -> None:
    assert Automaton("a").search("b" * 20_000) is None
