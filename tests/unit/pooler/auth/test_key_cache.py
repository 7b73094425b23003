"""The cache of derived keys."""

from __future__ import annotations

from interceptor.protocol.scram_keys import derive_keys
from pooler.auth import KeyCache


def test_keys_are_found_by_password_salt_and_iterations() -> None:
    cache = KeyCache()
    keys = derive_keys(b"pencil", b"salt", 2)
    cache.put(b"pencil", keys)
    assert cache.get(b"pencil", b"salt", 2) is keys
    assert cache.get(b"pen", b"salt", 2) is None
    assert cache.get(b"pencil", b"pepper", 2) is None
    assert cache.get(b"pencil", b"salt", 3) is None


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = KeyCache(max_entries=2)
    for password in (b"one", b"two"):
        cache.put(password, derive_keys(password, b"salt", 1))
    assert cache.get(b"one", b"salt", 1)
    cache.put(b"three", derive_keys(b"three", b"salt", 1))
    assert len(cache) == 2
    assert cache.get(b"two", b"salt", 1) is None
    assert cache.get(b"one", b"salt", 1)
    assert cache.get(b"three", b"salt", 1)
