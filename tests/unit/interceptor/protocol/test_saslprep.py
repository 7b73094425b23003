"""SASLprep; tests/integration/test_auth_exchange.py compares it with PostgreSQL's own for any text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.protocol.saslprep import MAX_PREPARED, saslprep


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        # RFC 4013, section 3
        pytest.param("I\u00adX", "IX", id="soft hyphen mapped to nothing"),
        pytest.param("user", "user", id="no transformation"),
        pytest.param("USER", "USER", id="case preserved"),
        pytest.param("\u00aa", "a", id="NFKC"),
        pytest.param("\u2168", "IX", id="NFKC of one to two"),
        # RFC 3454
        pytest.param("\u00a0x\u2003y", " x y", id="other spaces become the space"),
        pytest.param("e\u0301", "\u00e9", id="composed"),
        pytest.param("\u0627\u0628", "\u0627\u0628", id="right to left alone"),
        pytest.param("\ufe8d 1\ufe8d", "\u0627 1\u0627", id="digits and spaces may stand within right to left"),
    ],
)
def test_text_is_prepared(password: str, prepared: str) -> None:
    assert saslprep(password.encode()) == prepared.encode()


@pytest.mark.parametrize(
    "password",
    [
        pytest.param(b"a\x07b", id="control character in ASCII"),
        pytest.param("\u00aa\x07".encode(), id="control character"),
        pytest.param("\u00aa\ue000".encode(), id="private use"),
        pytest.param("\u00aa\u0221".encode(), id="unassigned in Unicode 3.2"),
        pytest.param("\u00aa\ufffd".encode(), id="replacement character"),
        pytest.param("\u00aa\U000e0001".encode(), id="tag"),
        pytest.param("\ufe8d1".encode(), id="right to left must end as it begins"),
        pytest.param("1\ufe8d".encode(), id="right to left must begin as it ends"),
        pytest.param("\u0627\u00aa\u0628".encode(), id="left to right within right to left"),
        pytest.param("\u00ad\u200b".encode(), id="nothing would be left"),
        pytest.param(b"caf\xe9", id="not UTF-8"),
        pytest.param(b"\xed\xa0\x80", id="a surrogate is not UTF-8"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_refused_stays_as_it_is(password: bytes) -> None:
    assert saslprep(password) == password


def test_prohibited_characters_are_looked_for_before_normalization() -> None:
    # NFKC would turn U+0340, which table C.8 prohibits, into U+0300, which is fine.
    assert saslprep("\u2024\u0340".encode()) == "\u2024\u0340".encode()


def test_a_long_password_is_used_raw() -> None:
    # Longer ones would make normalization slow: it sorts combining marks by insertion.
    longest = "\u00aa" * (MAX_PREPARED // 2)
    assert saslprep(longest.encode()) == b"a" * (MAX_PREPARED // 2)
    assert saslprep((longest + "\u00aa").encode()) == (longest + "\u00aa").encode()


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_prepared_or_returned(password: bytes) -> None:
    prepared = saslprep(password)
    assert prepared == password or not password.isascii()
