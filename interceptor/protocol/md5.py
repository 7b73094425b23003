"""PostgreSQL's md5 passwords: ``md5`` and 32 hexadecimal digits (src/common/md5_common.c).

The stored form is ``md5(password + user)``. It is as good as the password to one who steals it, and PostgreSQL 18
announces that it will go; it is here for servers and user files that still have it.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["SALT_LENGTH", "is_md5_hash", "md5_hash", "md5_response"]

SALT_LENGTH = 4

# The same test as PostgreSQL's get_password_type: lower-case digits only, all else is a plain password.
_STORED = re.compile(rb"md5[0-9a-f]{32}")


def is_md5_hash(password: bytes) -> bool:
    """Whether PostgreSQL would take this for an md5 hash and not for a plain password."""
    return _STORED.fullmatch(password) is not None


def md5_hash(password: bytes, user: bytes) -> bytes:
    """Return the stored form of a password, ``md5…``: the user's name is its salt."""
    return _md5(password + user)


def md5_response(stored: bytes, salt: bytes) -> bytes:
    """Return what a client answers to AuthenticationMD5Password. ``stored`` is what `md5_hash` gives."""
    assert len(salt) == SALT_LENGTH
    return _md5(stored[3:] + salt)


def _md5(data: bytes) -> bytes:
    # It protects nothing by today's measure; without the flag, a machine in FIPS mode would not even start a login.
    return b"md5" + hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
