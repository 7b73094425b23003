"""md5 passwords."""

from __future__ import annotations

import pytest

from interceptor.protocol.md5 import is_md5_hash, md5_hash, md5_response


def test_the_stored_form_is_the_one_of_pgbouncers_documentation() -> None:
    assert md5_hash(b"1234", b"admin") == b"md545f2603610af569b6155c45067268c6b"


def test_the_response_is_md5_over_the_digits_and_the_salt() -> None:
    # echo -n 45f2603610af569b6155c45067268c6b1234 | md5sum
    assert md5_response(b"md545f2603610af569b6155c45067268c6b", b"1234") == b"md5232e08b3089fd0af752c905b1379ed5f"


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (b"md545f2603610af569b6155c45067268c6b", True),
        (b"md545F2603610AF569B6155C45067268C6B", False),
        (b"md545f2603610af569b6155c45067268c6", False),
        (b"md545f2603610af569b6155c45067268c6b0", False),
        (b"md545f2603610af569b6155c45067268c6b\n", False),
        (b"md5rocks", False),
        (b"", False),
    ],
)
def test_what_passes_for_a_hash(password: bytes, expected: bool) -> None:
    assert is_md5_hash(password) is expected
