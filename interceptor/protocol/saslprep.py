"""SASLprep as PostgreSQL does it (RFC 4013, RFC 3454; PostgreSQL's src/common/saslprep.c).

It makes passwords that look alike be alike: from another keyboard, an ``é`` may arrive as one code point or as two.
PostgreSQL departs from the RFC in two places, and a password only fits its verifiers if we follow it there:

- It looks for prohibited characters before normalization, not after.
- A password that SASLprep refuses, or that isn't UTF-8, is used as its raw bytes.
"""

from __future__ import annotations

import stringprep
import unicodedata

__all__ = ["MAX_PREPARED", "saslprep"]

# Sorting combining characters, a part of normalization, takes time that grows with the square of their number, and
# holds the interpreter's lock meanwhile: 64 kB of them took 1000 ms, 2 kB take 1 ms. So what a stranger sends is
# normalized up to this many bytes, and used raw beyond. Only non-ASCII passwords of this length can notice.
MAX_PREPARED = 2048

_PROHIBITED = (
    stringprep.in_table_a1,  # unassigned in Unicode 3.2
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(password: bytes) -> bytes:
    """Return the bytes that PostgreSQL derives SCRAM keys from. What can't be prepared is returned as it is."""
    if password.isascii() or len(password) > MAX_PREPARED:
        return password
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    if not mapped or _is_prohibited(mapped):
        return password
    return unicodedata.normalize("NFKC", mapped).encode()


def _is_prohibited(text: str) -> bool:
    if any(in_table(character) for character in set(text) for in_table in _PROHIBITED):
        return True
    # RFC 3454, section 6: text with a right-to-left character begins and ends with one and holds no left-to-right one.
    if not any(map(stringprep.in_table_d1, text)):
        return False
    ends_right_to_left = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends_right_to_left or any(map(stringprep.in_table_d2, text))
