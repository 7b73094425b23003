"""SCRAM keys and verifiers."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.protocol.scram_keys import (
    MAX_ITERATIONS,
    MAX_SALT_LENGTH,
    ScramVerifier,
    decode_base64,
    decode_verifier,
    derive_keys,
    encode_verifier,
    is_verifier,
)

# Of the password and salt of RFC 7677.
VERIFIER = (
    b"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
KEY = b64encode(bytes(32))


def test_the_keys_of_a_password_are_those_of_its_verifier() -> None:
    keys = derive_keys(b"pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert encode_verifier(keys) == VERIFIER


def test_passwords_that_look_alike_have_the_same_keys() -> None:
    assert derive_keys("\u00e9".encode(), b"salt", 1) == derive_keys("e\u0301".encode(), b"salt", 1)


def test_a_verifier_is_read_back() -> None:
    verifier = decode_verifier(VERIFIER)
    assert (verifier.iterations, len(verifier.salt)) == (4096, 16)
    assert encode_verifier(verifier) == VERIFIER


@settings(deadline=None)
@given(
    st.binary(min_size=1, max_size=64),
    st.integers(1, MAX_ITERATIONS),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
def test_any_verifier_survives_the_way_through_text(salt: bytes, iterations: int, stored: bytes, server: bytes) -> None:
    verifier = ScramVerifier(salt, iterations, stored, server)
    assert decode_verifier(encode_verifier(verifier)) == verifier


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"SCRAM-SHA-256$", "has the form"),
        (b"SCRAM-SHA-256$4096:AAAA", "has the form"),
        (b"SCRAM-SHA-256$4096:AAAA$%b:%b:x" % (KEY, KEY), "has the form"),
        (b"SCRAM-SHA-256$4096:AAAA$%b:%b$x" % (KEY, KEY), "has the form"),
        (b"SCRAM-SHA-256$0:AAAA$%b:%b" % (KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$-1:AAAA$%b:%b" % (KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$:AAAA$%b:%b" % (KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$ 1:AAAA$%b:%b" % (KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$%d:AAAA$%b:%b" % (MAX_ITERATIONS + 1, KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$%b:AAAA$%b:%b" % (b"9" * 5000, KEY, KEY), "iteration count"),
        (b"SCRAM-SHA-256$4096:$%b:%b" % (KEY, KEY), "salt"),
        (b"SCRAM-SHA-256$4096:secret$%b:%b" % (KEY, KEY), "salt"),
        (b"SCRAM-SHA-256$4096:%b$%b:%b" % (b64encode(bytes(MAX_SALT_LENGTH + 1)), KEY, KEY), "salt"),
        (b"SCRAM-SHA-256$4096:AAAA$AAAA:%b" % KEY, "StoredKey and ServerKey"),
        (b"SCRAM-SHA-256$4096:AAAA$%b:AAAA" % KEY, "StoredKey and ServerKey"),
        (b"SCRAM-SHA-256$4096:AAAA$%b:%b" % (KEY, KEY[:-1]), "StoredKey and ServerKey"),
    ],
)
def test_a_broken_verifier_is_refused_without_being_shown(text: bytes, reason: str) -> None:
    assert is_verifier(text)
    with pytest.raises(ValueError, match=reason) as caught:
        decode_verifier(text)
    assert "secret" not in str(caught.value)
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"AB==", b"AA=", b"AA", b"AA==\n", b" AA==", b"AA==AA==", b"A-==", b"=", "ÄÄ".encode()]
)
def test_base64_has_one_form_only(text: bytes) -> None:
    assert decode_base64(text) is None


@settings(deadline=None)
@given(st.binary(max_size=50))
def test_any_bytes_are_base64_or_none(text: bytes) -> None:
    decoded = decode_base64(text)
    assert decoded is None or b64encode(decoded) == text


def test_no_repr_shows_a_key() -> None:
    keys = derive_keys(b"pencil", b"the salt", 1)
    shown = repr(keys) + repr(ScramVerifier(keys.salt, keys.iterations, keys.stored_key, keys.server_key))
    for hidden in (keys.salt, keys.client_key, keys.stored_key, keys.server_key):
        assert repr(hidden) not in shown
