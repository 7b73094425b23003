"""What somebody types, as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import ClientError
from pooler.console.words import Word, split


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SHOW POOLS", [["SHOW", "POOLS"]]),
        (" show\tpools ; ", [["show", "pools"]]),
        ("", []),
        (" ;; ; ", []),
        ("-- nothing\n/* nor\nhere */", []),
        ("SHOW POOLS; SHOW STATS;", [["SHOW", "POOLS"], ["SHOW", "STATS"]]),
        ('PAUSE "my ""db"";x"', [["PAUSE", 'my "db";x']]),
        ("SET a='it''s; -- so'", [["SET", "a", "=", "it's; -- so"]]),
        ("SET a = 1 /* c */ -- d", [["SET", "a", "=", "1"]]),
    ],
)
def test_split(text: str, statements: list[list[str]]) -> None:
    assert split(text) == statements


@pytest.mark.parametrize("text", ['PAUSE "db', "SET a='b", "SHOW POOLS; SET a='it''s"])
def test_an_open_quote_is_an_error_of_the_command_alone(text: str) -> None:
    with pytest.raises(ClientError, match="quote is not closed") as raised:
        split(text)
    assert not raised.value.fatal


def test_only_a_bare_word_is_a_keyword() -> None:
    ((bare, quoted),) = split('pause "pause"')
    assert (bare.keyword, quoted.keyword) == ("PAUSE", "")
    assert Word("db").keyword == "DB"


@given(st.text())
def test_no_text_is_too_much(text: str) -> None:
    try:
        statements = split(text)
    except ClientError:
        return
    assert all(statements)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0"))))
def test_a_quoted_word_comes_back_as_it_was(words: list[str]) -> None:
    text = " ".join('"' + word.replace('"', '""') + '"' for word in words)
    assert split(text) == ([words] if words else [])
