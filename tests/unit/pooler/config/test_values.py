"""Each kind of value: what is taken, what it becomes, and what is refused."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import pytest

from pooler.config import values
from pooler.config.values import AuthType, Kind, Unfit, describe


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (5, 5.0),
        (2.5, 2.5),
        ("5", 5.0),
        ("2.5", 2.5),
        ("250us", 0.00025),
        ("10ms", 0.01),
        ("5s", 5.0),
        ("5 s", 5.0),
        (" 5s ", 5.0),
        ("2min", 120.0),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("3650d", values.MAX_DURATION),
    ],
)
def test_durations(written: object, seconds: float) -> None:
    assert values.duration.parse(written) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "written",
    [
        *(-1, -0.5, math.inf, math.nan, True, 3650 * 86400 + 1, 10**400),
        *("", "s", "-1s", "1 2s", "1m", "1S", "1MS", "1e3", "1_000", "inf", "nan", ".5s", "5.", "3651d", "1ms1s", "٣s"),
        *([], {}, datetime.date(2026, 1, 1)),
    ],
)
def test_no_durations(written: object) -> None:
    with pytest.raises(Unfit):
        values.duration.parse(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        *((1024, 1024), ("1024", 1024), ("2048B", 2048), ("64kB", 65536), ("64MB", 67108864), ("1GB", 1073741824)),
        *(("1.5kB", 1536), ("1 MB", 1048576), (2048.0, 2048), ("2147483647", 2147483647)),
    ],
)
def test_sizes(written: object, size: int) -> None:
    assert values.size(1024, 2147483647).parse(written) == size


@pytest.mark.parametrize("written", [1023, "1kb", "64M", "64mb", "2GB", -1, True, "", "1.0001kB", 1024.5, None, [1024]])
def test_no_sizes(written: object) -> None:
    with pytest.raises(Unfit):
        values.size(1024, 2147483647).parse(written)


@pytest.mark.parametrize(
    ("written", "meaning"),
    [(True, True), (False, False), (1, True), (0, False), ("1", True), ("0", False), ("on", True), ("No", False)],
)
def test_booleans(written: object, meaning: bool) -> None:
    assert values.boolean.parse(written) is meaning


@pytest.mark.parametrize("written", [2, -1, 1.0, 0.0, "", "y", "2", [], None])
def test_no_booleans(written: object) -> None:
    with pytest.raises(Unfit):
        values.boolean.parse(written)


@pytest.mark.parametrize(("written", "number"), [(1, 1), (10, 10), ("7", 7), ("+7", 7), ("007", 7)])
def test_integers(written: object, number: int) -> None:
    assert values.integer(1, 10).parse(written) == number


@pytest.mark.parametrize("written", [0, 11, "0", "11", True, 1.0, "1.0", "", " 1", "0x1", "1_0", "٣", "9" * 5000, None])
def test_no_integers(written: object) -> None:
    with pytest.raises(Unfit):
        values.integer(1, 10).parse(written)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("", ()),
        ("  ", ()),
        ("a", ("a",)),
        ("a, b,c", ("a", "b", "c")),
        ([], ()),
        (["a b", "c,d"], ("a b", "c,d")),
    ],
)
def test_names(written: object, names: tuple[str, ...]) -> None:
    assert values.names.parse(written) == names


@pytest.mark.parametrize("written", ["a,,b", ",", [""], [1], 1, {}, "a\0b", ["a\0b"]])
def test_no_names(written: object) -> None:
    with pytest.raises(Unfit):
        values.names.parse(written)


@pytest.mark.parametrize("kind", [values.text, values.path])
@pytest.mark.parametrize("written", [1, True, [], {}, "a\0b"])
def test_no_texts_and_no_paths(kind: Kind[object], written: object) -> None:
    with pytest.raises(Unfit):
        kind.parse(written)


def test_texts_and_paths() -> None:
    assert values.text.parse("") == ""
    assert values.text.parse("SELECT 1") == "SELECT 1"
    assert values.path.parse("") is None
    assert values.path.parse("a/b") == Path("a/b")


def test_choices_are_members_and_what_stands_elsewhere_says_so() -> None:
    kind = values.choice(AuthType, {"plain": 'write "password"'})
    assert kind.parse("md5") is AuthType.MD5
    with pytest.raises(Unfit, match=r'^write "password"$'):
        kind.parse("plain")
    for written in ("MD5", "", 5, None):
        with pytest.raises(Unfit) as refused:
            kind.parse(written)
        assert not refused.value.args
    assert kind.expected == 'one of "trust", "password", "md5", "scram-sha-256", "cert", "hba"'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (2.5, "2.5"),
        (10**400, "a number with very many digits"),
        ("it's", '"it\'s"'),
        ('say "hü"\n', '"say \\"hü\\"\\n"'),
        ("x" * 61, "a text"),
        ("postgresql://app:hunter2@h", "a text"),
        ("app:hunter2@h", "a text"),
        ([1], "an array"),
        ({}, "a table"),
        (datetime.date(2026, 1, 2), "a date or time"),
        (datetime.time(1, 2), "a date or time"),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "a date or time"),
    ],
)
def test_values_in_errors(value: object, shown: str) -> None:
    assert describe(value) == shown


def test_what_toml_cannot_hold_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        describe(object())
