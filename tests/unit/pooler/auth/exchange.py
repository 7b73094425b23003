"""A login played to its end in memory, with everything that an outsider could see of it written down."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from struct import unpack_from

import pytest

from interceptor.errors import ClientError
from pooler.auth import (
    Accepted,
    BackendCredential,
    BackendLogin,
    ClientLogin,
    KeyCache,
    LoginSettings,
    Send,
    Step,
    StoredCredential,
    Work,
)

SECRET = b"a secret of 32 bytes for testing"


@dataclass
class Hashing:
    """How much was hashed: what an outsider could read off a clock."""

    pbkdf2_iterations: int = 0
    md5: int = 0


@contextmanager
def counted_hashing() -> Iterator[Hashing]:
    """Count the hashing of everything that runs in the block."""
    counts = Hashing()
    pbkdf2, md5 = hashlib.pbkdf2_hmac, hashlib.md5

    def counted_pbkdf2(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        counts.pbkdf2_iterations += iterations
        return pbkdf2(name, password, salt, iterations)

    def counted_md5(data: bytes, *, usedforsecurity: bool) -> object:
        counts.md5 += 1
        return md5(data, usedforsecurity=usedforsecurity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "pbkdf2_hmac", counted_pbkdf2)
        patch.setattr(hashlib, "md5", counted_md5)
        yield counts


@dataclass
class Outcome:
    """How a login went. ``error`` is the ClientError that refused it; the sent bodies are in ``sent``."""

    sent: list[bytes] = field(default_factory=list)
    hashing: Hashing = field(default_factory=Hashing)
    accepted: bool = False
    credential: BackendCredential | None = None
    error: ClientError | None = None

    @property
    def visible(self) -> list[tuple[int, int, int]]:
        """Type, authentication code and length of each message that the client got."""
        return [(message[0], unpack_from("!i", message, 5)[0], len(message)) for message in self.sent]


def body_of(message: bytes) -> bytes:
    """The body of exactly one message."""
    assert unpack_from("!I", message, 1)[0] == len(message) - 1, message
    return message[5:]


def run_client_login(login: ClientLogin, answer: Callable[[bytes], bytes]) -> Outcome:
    """Log in; ``answer`` maps the body of an Authentication message to the body of the client's reply."""
    outcome = Outcome()
    with counted_hashing() as outcome.hashing:
        try:
            step: Step = login.start()
            while not isinstance(step, Accepted):
                if isinstance(step, Work):
                    step = login.resume(step.function())
                else:
                    outcome.sent.append(step.data)
                    step = login.receive(ord("p"), answer(body_of(step.data)))
        except ClientError as error:
            outcome.error = error
            return outcome
    outcome.accepted = True
    outcome.credential = step.backend_credential
    if step.data:
        outcome.sent.append(step.data)
    return outcome


def log_in(
    settings: LoginSettings,
    user: str,
    entry: StoredCredential | None,
    typed: BackendCredential,
    *,
    typing_user: str | None = None,
) -> Outcome:
    """Log in with our own client. Its hashing isn't counted, and it checks that the server has proved itself."""
    # A cache that has what the client needs would be the server's, were it the same one.
    backend_login = BackendLogin(typing_user or user, typed, KeyCache())
    hidden = hashlib.pbkdf2_hmac, hashlib.md5

    def answer(body: bytes) -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hashlib, "pbkdf2_hmac", hidden[0])
            patch.setattr(hashlib, "md5", hidden[1])
            step = backend_login.receive(body)
            if isinstance(step, Work):
                step = backend_login.resume(step.function())
            assert isinstance(step, Send)
            return body_of(step.data)

    outcome = run_client_login(ClientLogin(user, entry, settings), answer)
    if outcome.accepted:
        if outcome.sent and outcome.visible[-1][1] == 12:
            assert backend_login.receive(body_of(outcome.sent[-1])) is None
        assert backend_login.receive(bytes(4)) is None
        assert backend_login.done
    return outcome
