"""A password must not come out by accident, whichever way a program writes out its values."""

from __future__ import annotations

import copy
import dataclasses
import logging
import pickle

import pytest

from pooler.config.dsn import parse_dsn
from pooler.config.secret import Secret

HIDDEN = "hunter2"


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(HIDDEN)),
        str(Secret(HIDDEN)),
        f"{Secret(HIDDEN)}",
        f"{Secret(HIDDEN)!r:>40}",
        "%s %r" % (Secret(HIDDEN), Secret(HIDDEN)),  # noqa: UP031 - logging formats in this way
        str([Secret(HIDDEN)]),
        str(vars(logging.LogRecord("n", logging.INFO, "f", 1, "%s", (Secret(HIDDEN),), None))),
        repr(parse_dsn(f"postgresql://app:{HIDDEN}@h/d")),
        str(dataclasses.asdict(parse_dsn(f"postgresql://app:{HIDDEN}@h/d"))),
    ],
)
def test_no_way_of_showing_shows_it(shown: str) -> None:
    assert HIDDEN not in shown
    assert "Secret(hidden)" in shown


def test_reveal_gives_it() -> None:
    assert Secret(HIDDEN).reveal() == HIDDEN


def test_pickling_is_refused() -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(Secret(HIDDEN))


def test_copies_are_the_secret_itself() -> None:
    secret = Secret(HIDDEN)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret


def test_equality_is_of_values_and_of_secrets_alone() -> None:
    assert Secret("päss") == Secret("päss")
    assert hash(Secret("päss")) == hash(Secret("päss"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
