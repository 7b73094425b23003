"""Variables of the environment in texts and in connection strings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.config.dsn import parse_dsn
from pooler.config.environment import expand, expand_dsn, has_variable
from pooler.config.secret import Secret
from pooler.config.values import Unfit

ENVIRON = {"A": "x", "B_2": "y z", "EMPTY": "", "NESTED": "${A}", "HOST": "db:6000", "LOGIN": "app:s", "N": "7"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${A}", "x"),
        ("<${A}${B_2}>", "<xy z>"),
        ("${EMPTY}", ""),
        ("${NESTED}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $$ {A} $", "$A $$ {A} $"),
        ("$${ and $${", "${ and ${"),
    ],
)
def test_expand(written: str, meant: str) -> None:
    assert expand(written, ENVIRON) == meant


MALFORMED = '"${" begins the name of an environment variable, as in ${NAME}; write "$${" for the text "${"'


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("${NONE}", "the environment variable NONE is not set"),
        ("${a}", "the environment variable a is not set"),
        ("${", MALFORMED),
        ("${}", MALFORMED),
        ("${A", MALFORMED),
        ("${1A}", MALFORMED),
        ("${A B}", MALFORMED),
        ("${A:-b}", MALFORMED),
    ],
)
@pytest.mark.parametrize("put_in", [expand, expand_dsn])
def test_what_cannot_be_expanded(put_in: Callable[[str, Mapping[str, str]], str], written: str, error: str) -> None:
    with pytest.raises(Unfit) as refused:
        put_in(written, ENVIRON)
    assert str(refused.value) == error


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    environ = {"A": os.fsdecode(b"\xff")}
    with pytest.raises(Unfit, match=r"^the environment variable A is not UTF-8$"):
        expand("${A}", environ)


@pytest.mark.parametrize(
    ("text", "answer"), [("", False), ("$${A}", False), ("$A", False), ("${A}", True), ("$${A}${A}", True)]
)
def test_has_variable(text: str, answer: bool) -> None:
    assert has_variable(text) is answer


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${DSN}", "postgresql://app:s%40@h/d"),
        ("postgresql://${HOST}/d", "postgresql://db:6000/d"),
        ("postgresql://${LOGIN}@${HOST}/d", "postgresql://app:s@db:6000/d"),
        ("postgresql://${A}:${ODD}@${HOST}/${ODD}", "postgresql://x:%40%3A%2F%3F%23%25@db:6000/%40%3A%2F%3F%23%25"),
        ("postgresql://a:x$${A}@h", "postgresql://a:x${A}@h"),
        ("postgresql://h/d?options=${ODD}&${A}=1", "postgresql://h/d?options=%40%3A%2F%3F%23%25&x=1"),
        ("postgresql://?host=/tmp&password=${ODD}", "postgresql://?host=/tmp&password=%40%3A%2F%3F%23%25"),
        ("postgresql://a:p@h?host=/tmp", "postgresql://a:p@h?host=/tmp"),
        ("postgresql://h:${N}", "postgresql://h:7"),
    ],
)
def test_expand_dsn(written: str, meant: str) -> None:
    assert expand_dsn(written, ENVIRON | {"DSN": "postgresql://app:s%40@h/d", "ODD": "@:/?#%"}) == meant


@given(st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", codec="utf-8")))
def test_any_password_may_come_from_the_environment(password: str) -> None:
    environ = {"PASSWORD": password}
    for dsn in ("postgresql://app:${PASSWORD}@h:1/d?sslmode=disable", "postgresql://h?user=app&password=${PASSWORD}"):
        parsed = parse_dsn(expand_dsn(dsn, environ))
        assert (parsed.host, parsed.user, parsed.password) == ("h", "app", Secret(password))
