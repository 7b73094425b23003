"""What a worker and the control say to each other about notifications."""

from __future__ import annotations

from enum import Enum

import msgspec

from pooler.auth import BackendCredential, Md5Hash, PlainPassword, ScramKeys

__all__ = ["Lent", "Listen", "Notified", "State", "Told", "Unlisten", "encode_lent"]


class Lent(msgspec.Struct, array_like=True):
    """Whose login may be used, and a ``BackendCredential``: its kind, and what it is made of. Never shown."""

    user: str
    kind: str
    parts: tuple[bytes, ...] = ()
    iterations: int = 0

    def __repr__(self) -> str:
        return f"Lent({self.user!r}, hidden)"

    def credential(self) -> BackendCredential | None:
        """As it was before ``encode_lent``."""
        match self.kind, self.parts:
            case "password", (password,):
                return PlainPassword(password)
            case "md5", (stored,):
                return Md5Hash(stored)
            case "scram", (salt, client_key, server_key):
                return ScramKeys(salt, self.iterations, client_key, server_key)
        return None


def encode_lent(user: str, credential: BackendCredential | None) -> Lent:
    """The login of a client with this name."""
    match credential:
        case PlainPassword(password):
            return Lent(user, "password", (password,))
        case Md5Hash(stored):
            return Lent(user, "md5", (stored,))
        case ScramKeys(salt, iterations, client_key, server_key):
            return Lent(user, "scram", (salt, client_key, server_key), iterations)
    return Lent(user, "")


class _Tagged(msgspec.Struct, tag=True, array_like=True):
    pass


# --- From a worker ---------------------------------------------------------------------------------------------------


class Listen(_Tagged):
    """Its clients want to hear of these. It is answered, unless they are ``kept``: heard of through another control."""

    database: str
    lent: list[Lent]
    """The one to use is the last."""
    channels: list[bytes]
    kept: bool


class Unlisten(_Tagged):
    """Its clients want to hear of these no more."""

    database: str
    channels: list[bytes]


# --- To a worker -----------------------------------------------------------------------------------------------------


class Notified(_Tagged):
    """NotificationResponse messages, one behind the other."""

    database: str
    messages: bytes


class State(Enum):
    """What has become of it."""

    LISTENING = 1
    REFUSED = 2
    LOST = 3
    RESTORED = 4


class Told(_Tagged):
    """One of the calls of ``Subscriber``. With REFUSED comes why: a code of ``FAILURES``, text, detail and hint."""

    database: str
    state: State
    why: tuple[str, str, str, str] | None = None
