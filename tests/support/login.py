"""Answers to a server's authentication requests: cleartext, md5, SCRAM-SHA-256 (RFC 5802 and 7677).

A second implementation beside the product's on purpose: two that agree on a mistake would be one too few. Passwords are
ASCII here, so SASLprep has nothing to do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct

from tests.support.backend import Reply
from tests.support.frontend import Frontend, password, sasl_initial_response, sasl_response

__all__ = ["Authenticator", "LoginFailed"]


class LoginFailed(Exception):
    """A server refused a login, or its side of the proof was wrong."""


class Authenticator:
    """One login: takes each Authentication message and gives the answer, if one is due."""

    def __init__(self, user: str, secret: str | None) -> None:
        self._user = user
        self._secret = secret
        self._nonce = base64.b64encode(secrets.token_bytes(18)).decode()
        self._expected_proof = b""

    def answer(self, request: Reply) -> Frontend | None:
        """The message that ``request`` asks for, None where it asks for nothing.

        Raises LoginFailed where no password was given, or where the server could not prove that it knows it.
        """
        (kind,) = struct.unpack_from("!i", request.body)
        rest = request.body[4:]
        if kind == 0:
            return None
        if kind == 12:
            self._verify_server(rest)
            return None
        if self._secret is None:
            raise LoginFailed(f"The server asks for a password (authentication type {kind}) and none was given.")
        if kind == 3:
            return password(self._secret)
        if kind == 5:
            return password(self._md5(self._secret, salt=rest))
        if kind == 10:
            if b"SCRAM-SHA-256" not in rest.split(b"\0"):
                raise LoginFailed(f"The server offers {rest!r} and not SCRAM-SHA-256.")
            return sasl_initial_response("SCRAM-SHA-256", b"n,," + self._first_bare())
        if kind == 11:
            return sasl_response(self._final(self._secret, rest))
        raise LoginFailed(f"The server asks for authentication type {kind}.")

    def _md5(self, secret: str, salt: bytes) -> str:
        inner = hashlib.md5((secret + self._user).encode()).hexdigest()
        return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()

    def _first_bare(self) -> bytes:
        # PostgreSQL takes the user from the startup packet and ignores the one here.
        return f"n=,r={self._nonce}".encode()

    def _final(self, secret: str, server_first: bytes) -> bytes:
        attributes = dict(part.split("=", 1) for part in server_first.decode().split(","))
        if not attributes["r"].startswith(self._nonce) or attributes["r"] == self._nonce:
            raise LoginFailed("The server's nonce does not continue ours.")
        salt, rounds = base64.b64decode(attributes["s"]), int(attributes["i"])
        salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, rounds)
        client_key = _hmac(salted, b"Client Key")
        without_proof = f"c=biws,r={attributes['r']}".encode()
        signed = self._first_bare() + b"," + server_first + b"," + without_proof
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._expected_proof = _hmac(_hmac(salted, b"Server Key"), signed)
        return without_proof + b",p=" + base64.b64encode(proof)

    def _verify_server(self, server_final: bytes) -> None:
        if server_final != b"v=" + base64.b64encode(self._expected_proof):
            raise LoginFailed("The server does not know the password either.")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
