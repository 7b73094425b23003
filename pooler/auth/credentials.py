"""What is known of a user's password: what the user file, a DSN or a login gives, and what a login may need.

===================  ==========================================  ==========================================
Credential           checks a client that logs in by             logs in to a backend that asks for
===================  ==========================================  ==========================================
`PlainPassword`      password, md5, scram-sha-256                password, md5, scram-sha-256
`Md5Hash`            password, md5                               md5
`ScramVerifier`      password, scram-sha-256                     nothing
`ScramKeys`          nothing                                     scram-sha-256, same salt and iterations
===================  ==========================================  ==========================================

Passwords are bytes, because PostgreSQL never asks for their encoding. No repr shows any part of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interceptor.protocol.scram_keys import ScramKeys, ScramVerifier

__all__ = ["BackendCredential", "Md5Hash", "PlainPassword", "ScramKeys", "ScramVerifier", "StoredCredential"]


@dataclass(frozen=True, slots=True)
class PlainPassword:
    """The password itself. An empty one stands for none: nobody logs in by it, as in PostgreSQL and PgBouncer."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Md5Hash:
    """PostgreSQL's ``md5…`` form of a password, 35 bytes with the prefix."""

    stored: bytes = field(repr=False)


StoredCredential = PlainPassword | Md5Hash | ScramVerifier
"""What a user file holds."""

BackendCredential = PlainPassword | Md5Hash | ScramKeys
"""What logs in to a backend."""
