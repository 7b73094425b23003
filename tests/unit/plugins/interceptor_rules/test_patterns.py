"""Names, addresses, hours: what patterns stand for, and what none is."""

from __future__ import annotations

import pytest

from interceptor_rules.patterns import Addresses, BadPattern, NamePattern, Words, parse_hours, parse_weekdays


@pytest.mark.parametrize(
    ("pattern", "schema", "name", "expected"),
    [
        ("vault.secret", "vault", "secret", True),
        ("Vault.SECRET", "vault", "secret", True),
        ("vault.secret", "public", "secret", False),
        ("secret", "public", "secret", True),
        ("vault.*", "vault", "anything", True),
        ("v*.s?cret", "vault", "secret", True),
        ('"Vault"."a.b"', "Vault", "a.b", True),
        ('"vault.secret"', "vault", "secret", False),
        ('vault."*"', "vault", "secret", False),
        ('vault."*"', "vault", "*", True),
        ("vault.secret", None, "secret", True),
    ],
)
def test_names(pattern: str, schema: str | None, name: str, expected: bool) -> None:
    assert NamePattern(pattern, 2).match((schema, name)) is expected


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a.b.c", '"a', 'a"b', "a*b*c*d*e*f"])
def test_what_is_no_name(pattern: str) -> None:
    with pytest.raises(BadPattern):
        NamePattern(pattern, 2)


def test_words() -> None:
    words = Words(["analyst_*", "a?c", "x.y"])
    assert [words.match(one) for one in ("analyst_", "analyst_jo", "abc", "ac", "x.y", "xzy", "Analyst_jo")] == [
        True, True, True, False, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("", True),
        ("::1", True),
        ("::ffff:10.0.0.1", True),
        ("nonsense", False),
    ],
)
def test_addresses(address: str, expected: bool) -> None:
    assert Addresses(["10.0.0.0/8", "::1", "local"]).match(address) is expected


def test_what_is_no_network() -> None:
    with pytest.raises(BadPattern, match="expected a network"):
        Addresses(["10.0.0.1/8"])


def test_times() -> None:
    assert parse_hours("22:00-06:00") == (1320, 360)
    assert parse_weekdays(["sat-mon"]) == {5, 6, 0}
    for wrong in ("8-9", "25:00-26:00", "08:00-08:00", "08:00-24:30"):
        with pytest.raises(BadPattern):
            parse_hours(wrong)
    with pytest.raises(BadPattern):
        parse_weekdays(["monday"])
