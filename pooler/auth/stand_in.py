"""Stand-ins for users that don't exist, so that nobody learns from a login which users do.

A login of an unknown user takes the same way as any other, with a credential made up for its name, and fails at the
end. So the messages, their number and the hashing are the same by construction, and no second code path has to be kept
alike.

What an outsider sees of a credential is its `Shape`: which method it leads to, and a verifier's salt length and
iteration count. A stand-in gets the shape of one user of the file, drawn by a keyed hash of the name. An unknown name
therefore has any given shape as often as a known one has, and seeing a shape tells nothing, whatever the file mixes.
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from interceptor.protocol.scram_keys import DEFAULT_SALT_LENGTH, KEY_LENGTH
from pooler.auth.credentials import Md5Hash, PlainPassword, ScramVerifier, StoredCredential

__all__ = ["AuthType", "Shape", "Shapes", "derive_salt", "is_usable", "make_stand_in"]

AuthType = Literal["trust", "password", "md5", "scram-sha-256"]


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """What can be seen of a credential from outside; the numbers are 0 except for a verifier."""

    kind: Literal["plain", "md5", "scram"]
    iterations: int = 0
    salt_length: int = 0

    @classmethod
    def of(cls, credential: StoredCredential) -> Shape:
        """The shape of a credential."""
        if isinstance(credential, ScramVerifier):
            return cls("scram", credential.iterations, len(credential.salt))
        return cls("plain" if isinstance(credential, PlainPassword) else "md5")


class Shapes:
    """The shapes of all users of a file that can log in by a password, weighed by how many have each."""

    def __init__(self, credentials: Iterable[StoredCredential] = ()) -> None:
        self._arrange(Counter(Shape.of(credential) for credential in credentials if is_usable(credential, "password")))

    def _arrange(self, counts: Counter[Shape]) -> None:
        self._counts = counts
        all_shapes = sorted(counts)
        self._any = _Wheel(all_shapes, counts)
        self._without_md5 = _Wheel([shape for shape in all_shapes if shape.kind != "md5"], counts)

    def with_more(self, shapes: Iterable[Shape]) -> Shapes:
        """These and others."""
        both = Shapes()
        both._arrange(self._counts + Counter(shapes))
        return both

    def draw(self, number: int, auth_type: AuthType) -> Shape | None:
        """The shape that a 64-bit number falls on; None if no user can log in by this method."""
        return (self._without_md5 if auth_type == "scram-sha-256" else self._any).draw(number)


class _Wheel:
    def __init__(self, shapes: list[Shape], counts: Counter[Shape]) -> None:
        self._shapes = shapes
        self._bounds = list(accumulate(counts[shape] for shape in shapes))

    def draw(self, number: int) -> Shape | None:
        if not self._shapes:
            return None
        # Scaled, not modulo: a user more or less in the file then moves only a few names to another shape.
        return self._shapes[bisect_right(self._bounds, number * self._bounds[-1] >> 64)]


def is_usable(credential: StoredCredential | None, auth_type: AuthType) -> bool:
    """Whether a client can prove by this method that it has this credential."""
    if credential is None or credential == PlainPassword(b""):
        return False
    return not (auth_type == "scram-sha-256" and isinstance(credential, Md5Hash))


def make_stand_in(user: str, secret: bytes, shapes: Shapes, auth_type: AuthType) -> StoredCredential:
    """Make up a credential for a name, always the same for the same secret and shapes. Nobody can log in by it.

    Where there are no users to imitate it is a plain password, the kind that a connection string lends to a user.
    """
    shape = shapes.draw(int.from_bytes(_keyed_hash(secret, b"shape", user, 8)), auth_type)
    if shape is None or shape.kind == "plain":
        return PlainPassword(_keyed_hash(secret, b"password", user, KEY_LENGTH))
    if shape.kind == "md5":
        return Md5Hash(b"md5" + _keyed_hash(secret, b"md5", user, 16).hex().encode())
    return ScramVerifier(
        salt=derive_salt(user, secret, shape.salt_length),
        iterations=shape.iterations,
        stored_key=_keyed_hash(secret, b"stored key", user, KEY_LENGTH),
        server_key=_keyed_hash(secret, b"server key", user, KEY_LENGTH),
    )


def derive_salt(user: str, secret: bytes, length: int = DEFAULT_SALT_LENGTH) -> bytes:
    """The salt for a user that has none of its own: always the same for the same secret, as a verifier's is."""
    return _keyed_hash(secret, b"salt", user, length)


def _keyed_hash(secret: bytes, purpose: bytes, user: str, length: int) -> bytes:
    message = purpose + b"\0" + user.encode()
    blocks = (hmac.digest(secret, b"%d\0%s" % (number, message), "sha256") for number in range(-(-length // 32)))
    return b"".join(blocks)[:length]
