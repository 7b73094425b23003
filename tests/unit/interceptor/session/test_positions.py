"""Places in rewritten texts, and the places in the client's texts that they stand for."""

from __future__ import annotations

import time

import pytest

from interceptor.session.positions import MAX_TEXT, Rewriting, map_position

OLD = "select a, nope from t where b = $1"


def place(text: str, word: str) -> int:
    return text.index(word) + 1 if word else len(text) + 1


@pytest.mark.parametrize(
    ("new", "word", "expected"),
    [
        (OLD, "nope", "nope"),
        ("/* x */ " + OLD, "nope", "nope"),
        (OLD + " limit 10", "nope", "nope"),
        (OLD + " limit 10", "limit", None),
        ("select a, nope from s.t where b = $1", "nope", "nope"),
        ("select a, nope from s.t where b = $1", "s.", None),
        ("select a, nope from s.t where b = $2", "b =", "b ="),
        ("select  a ,  nope\nfrom t\nwhere b=$1", "b=", "b ="),
        ("select x from (select a, nope from t where b = $1) y(x)", "nope", "nope"),
        ("select x from (select a, nope from t where b = $1) y(x)", "x from", None),
        ("select a, nope from tt where b = $1", "tt", None),
        ("select é, nope from t where b = $1", "nope", "nope"),
        ("with w as (select 1) select a, nope from w, t where c > 1 and b = $1", "nope", "nope"),
        ("with w as (select 1) select a, nope from w, t where c > 1 and b = $1", "c >", None),
        ("something else", "else", None),
        ("", "", None),
    ],
)
def test_a_word_is_found_where_both_texts_have_it(new: str, word: str, expected: str | None) -> None:
    wanted = 0 if expected is None else place(OLD, expected)
    assert map_position(OLD, new, place(new, word)) == wanted


def test_the_inside_of_a_word_is_that_of_the_same_word() -> None:
    assert map_position("select 'abc'", "select  'abc' limit 1", 12) == 11


def test_the_end_is_the_end_where_the_last_word_is_the_same() -> None:
    assert map_position("select 1 +", "select 1::int +", 16) == 11
    assert map_position("select 1 +", "select 1 + limit", 17) == 0


@pytest.mark.parametrize("position", [0, -1])
def test_no_position_is_none(position: int) -> None:
    assert map_position(OLD, OLD + " limit 1", position) == 0


def test_of_a_very_long_text_nothing_is_said() -> None:
    long = "select " + "1," * MAX_TEXT + "nope"
    assert map_position(long, long + " limit 1", 1) == 0


@pytest.mark.parametrize("piece", ["/*", "'", '"', "a ", "--", "$", "a+", "/**/", "''", "$$"])
def test_no_text_takes_long(piece: str) -> None:
    old, new = piece * (MAX_TEXT // len(piece) - 10), "x " + piece * (MAX_TEXT // len(piece) - 10) + " y"
    before = time.process_time()
    map_position(old, new, len(new) // 2)
    # Linear: some 30 ms. Quadratic: minutes.
    assert time.process_time() - before < 5


def test_an_error_is_mended_field_by_field() -> None:
    rewriting = Rewriting(b"select nope", b"/* x */ select nope limit 1")
    body = b"SERROR\0C42703\0MP9 is no position\0P16\0p3\0qselect 1\0\0"
    assert rewriting.mend(body) == b"SERROR\0C42703\0MP9 is no position\0P8\0p3\0qselect 1\0\0"
    assert rewriting.mend(b"SERROR\0C42703\0Mno\0P21\0p3\0\0") == b"SERROR\0C42703\0Mno\0p3\0\0"


def test_characters_are_those_of_the_clients_encoding() -> None:
    old, new = "select 'äöü', nope".encode("latin-1"), "/**/ select 'äöü', nope".encode("latin-1")
    assert Rewriting(old, new, "latin-1").mend(b"P20\0\0") == b"P15\0\0"
    sjis = "select '表', nope"
    assert (
        Rewriting(sjis.encode("shift_jis"), b" " + sjis.encode("shift_jis"), "shift_jis").mend(b"P14\0\0") == b"P13\0\0"
    )
