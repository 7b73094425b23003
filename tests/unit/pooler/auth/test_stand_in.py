"""Stand-ins for users that don't exist."""

from __future__ import annotations

from collections import Counter

import pytest

from interceptor.protocol.scram_keys import derive_keys
from pooler.auth import AuthType, Md5Hash, PlainPassword, ScramVerifier, Shapes, StoredCredential
from pooler.auth.stand_in import Shape, derive_salt, is_usable, make_stand_in
from tests.unit.pooler.auth.exchange import SECRET


def verifier(salt: bytes, iterations: int) -> ScramVerifier:
    keys = derive_keys(b"pencil", salt, iterations)
    return ScramVerifier(keys.salt, keys.iterations, keys.stored_key, keys.server_key)


PLAIN = PlainPassword(b"pencil")
MD5 = Md5Hash(b"md5" + b"0" * 32)
SCRAM = verifier(b"s" * 16, 7)
LONG_SALT = verifier(b"s" * 100, 9)


@pytest.mark.parametrize("entry", [PLAIN, MD5, SCRAM, LONG_SALT], ids=["plain", "md5", "scram", "long salt"])
def test_a_stand_in_looks_like_the_users_of_the_file(entry: StoredCredential) -> None:
    stand_in = make_stand_in("nobody", SECRET, Shapes([entry]), "md5")
    assert Shape.of(stand_in) == Shape.of(entry)
    assert stand_in != entry


def test_a_stand_in_is_always_the_same_for_a_name_and_a_secret() -> None:
    shapes = Shapes([SCRAM])
    of_nobody = make_stand_in("nobody", SECRET, shapes, "md5")
    assert make_stand_in("nobody", SECRET, shapes, "md5") == of_nobody
    assert make_stand_in("no one", SECRET, shapes, "md5") != of_nobody
    assert make_stand_in("nobody", SECRET[::-1], shapes, "md5") != of_nobody


def test_in_a_mixed_file_unknown_names_are_mixed_alike() -> None:
    """Otherwise the rarer method would prove that a user exists."""
    shares: dict[StoredCredential, int] = {PLAIN: 50, MD5: 30, SCRAM: 15, LONG_SALT: 5}
    shapes = Shapes(entry for entry, share in shares.items() for _ in range(share))
    drawn = Counter(Shape.of(make_stand_in(f"user{n}", SECRET, shapes, "md5")) for n in range(10_000))
    for entry, share in shares.items():
        assert abs(drawn[Shape.of(entry)] - share * 100) < 150  # three standard deviations


def test_shapes_that_were_seen_elsewhere_count_too() -> None:
    shapes = Shapes([PLAIN] * 25).with_more([Shape.of(SCRAM)] * 75)
    drawn = Counter(make_stand_in(f"user{n}", SECRET, shapes, "md5").__class__ for n in range(2_000))
    assert abs(drawn[ScramVerifier] - 1500) < 80  # four standard deviations


def test_another_user_in_the_file_changes_few_stand_ins() -> None:
    """Whoever sees the method of a name change over a reload knows that nobody has this name."""

    def drawn(shapes: Shapes) -> list[Shape]:
        return [Shape.of(make_stand_in(f"user{n}", SECRET, shapes, "md5")) for n in range(2_000)]

    before = drawn(Shapes([PLAIN] * 50 + [SCRAM] * 50))
    after = drawn(Shapes([PLAIN] * 51 + [SCRAM] * 50))
    assert sum(a != b for a, b in zip(before, after, strict=True)) < 40


def test_under_scram_an_md5_entry_is_no_model() -> None:
    shapes = Shapes([MD5] * 99 + [SCRAM])
    assert all(
        Shape.of(make_stand_in(f"user{n}", SECRET, shapes, "scram-sha-256")) == Shape.of(SCRAM) for n in range(100)
    )


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
def test_where_there_is_nobody_to_imitate_it_is_a_plain_password(auth_type: AuthType) -> None:
    """As it is with a user that a connection string lends its password to."""
    assert Shape.of(make_stand_in("nobody", SECRET, Shapes([PlainPassword(b"")]), auth_type)) == Shape("plain")


@pytest.mark.parametrize(
    ("entry", "auth_type", "usable"),
    [
        (None, "password", False),
        (PlainPassword(b""), "password", False),
        (PLAIN, "scram-sha-256", True),
        (MD5, "password", True),
        (MD5, "md5", True),
        (MD5, "scram-sha-256", False),
        (SCRAM, "password", True),
        (SCRAM, "md5", True),
        (SCRAM, "scram-sha-256", True),
    ],
)
def test_what_a_client_can_log_in_by(entry: StoredCredential | None, auth_type: AuthType, usable: bool) -> None:
    assert is_usable(entry, auth_type) is usable


def test_salts_have_the_length_asked_for() -> None:
    assert [len(derive_salt("alice", SECRET, length)) for length in (1, 16, 32, 33, 1000)] == [1, 16, 32, 33, 1000]
    assert len(set(derive_salt("alice", SECRET, 1000))) > 200
