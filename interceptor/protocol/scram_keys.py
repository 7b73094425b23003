"""The keys of SCRAM-SHA-256, and the verifier that PostgreSQL keeps in pg_authid (RFC 5802, RFC 5803, RFC 7677).

::

    SaltedPassword = PBKDF2(password, salt, iterations)      slow on purpose: 1.5 ms at 4096 iterations
     ├── ClientKey ── StoredKey = SHA-256(ClientKey)    a client proves that it has ClientKey; servers keep StoredKey
     └── ServerKey                                      a server proves that it has ServerKey

    verifier: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>      (the last three are base64)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field

from interceptor.protocol.saslprep import saslprep

__all__ = [
    "DEFAULT_ITERATIONS",
    "DEFAULT_SALT_LENGTH",
    "KEY_LENGTH",
    "MAX_ITERATIONS",
    "MAX_SALT_LENGTH",
    "ScramKeys",
    "ScramVerifier",
    "decode_base64",
    "decode_iterations",
    "decode_verifier",
    "derive_keys",
    "encode_verifier",
    "is_verifier",
]

KEY_LENGTH = 32
DEFAULT_SALT_LENGTH = 16  # PostgreSQL's SCRAM_DEFAULT_SALT_LEN
DEFAULT_ITERATIONS = 4096  # PostgreSQL's scram_iterations

# A peer chooses how much we hash. One million iterations take 0.4 s of one core, 240 times PostgreSQL's default.
MAX_ITERATIONS = 1_000_000
MAX_SALT_LENGTH = 1024

_PREFIX = b"SCRAM-SHA-256$"
_VERIFIER = re.compile(rb"SCRAM-SHA-256\$([^$:]*):([^$:]*)\$([^$:]*):([^$:]*)")
_POSITIVE = re.compile(rb"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What logs in, as the password would, to a server whose verifier has this salt and iteration count."""

    salt: bytes = field(repr=False)
    iterations: int
    client_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @property
    def stored_key(self) -> bytes:
        """What a server keeps to check the client key with."""
        return hashlib.sha256(self.client_key).digest()


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """What a server keeps of a password. It checks a login and cannot make one."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def derive_keys(password: bytes, salt: bytes, iterations: int) -> ScramKeys:
    """Derive the keys of a password, which SASLprep prepares first.

    Takes 0.4 µs per iteration and lets other threads run meanwhile: an event loop has a thread do it.
    """
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password), salt, iterations)
    return ScramKeys(
        salt=salt,
        iterations=iterations,
        client_key=hmac.digest(salted, b"Client Key", "sha256"),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def is_verifier(password: bytes) -> bool:
    """Whether a stored password claims to be a SCRAM-SHA-256 verifier. It may still be a broken one."""
    return password.startswith(_PREFIX)


def decode_verifier(text: bytes) -> ScramVerifier:
    """Decode PostgreSQL's form of a verifier.

    Raises ValueError with a sentence that names the wrong part and shows nothing of it.
    """
    match = _VERIFIER.fullmatch(text)
    if match is None:
        raise ValueError("a SCRAM verifier has the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")
    iterations = decode_iterations(match[1])
    if iterations is None:
        raise ValueError(f"the iteration count of a SCRAM verifier is a number from 1 to {MAX_ITERATIONS}")
    salt = decode_base64(match[2])
    if not salt or len(salt) > MAX_SALT_LENGTH:
        raise ValueError(f"the salt of a SCRAM verifier is the base64 of 1 to {MAX_SALT_LENGTH} bytes")
    stored_key, server_key = decode_base64(match[3]), decode_base64(match[4])
    if stored_key is None or server_key is None or {len(stored_key), len(server_key)} != {KEY_LENGTH}:
        raise ValueError(f"StoredKey and ServerKey of a SCRAM verifier are the base64 of {KEY_LENGTH} bytes each")
    return ScramVerifier(salt, iterations, stored_key, server_key)


def encode_verifier(verifier: ScramVerifier | ScramKeys) -> bytes:
    """Encode a verifier as ALTER ROLE … PASSWORD and the user file take it."""
    salt, stored_key, server_key = map(b64encode, (verifier.salt, verifier.stored_key, verifier.server_key))
    return b"%s%d:%s$%s:%s" % (_PREFIX, verifier.iterations, salt, stored_key, server_key)


def decode_base64(data: bytes) -> bytes | None:
    """Decode the one canonical base64 form of some bytes; None for any other text.

    The library's own decoder accepts several texts for the same bytes even when it is strict.
    """
    try:
        decoded = a2b_base64(data, strict_mode=True)
    except Base64Error:
        return None
    return decoded if b2a_base64(decoded, newline=False) == data else None


def decode_iterations(digits: bytes) -> int | None:
    """Decode an iteration count: decimal digits without a leading zero, up to `MAX_ITERATIONS`. None for all else."""
    if _POSITIVE.fullmatch(digits) is None or (iterations := int(digits)) > MAX_ITERATIONS:
        return None
    return iterations
