"""SCRAM-SHA-256, both sides of it, over messages given and taken as bytes (RFC 5802, RFC 7677).

::

    client                                                              server
    n,,n=,r=<nonce C>                    client-first-message   ──▶      (p=tls-server-end-point,, with channel binding)
                                     ◀── server-first-message           r=<C + nonce S>,s=<salt>,i=<iterations>
    c=biws,r=<C + S>,p=<ClientProof>     client-final-message   ──▶
                                     ◀── server-final-message           v=<ServerSignature>

    AuthMessage     = client-first-bare "," server-first "," client-final-without-proof
    ClientProof     = ClientKey XOR HMAC(StoredKey, AuthMessage)
    ServerSignature = HMAC(ServerKey, AuthMessage)

A server that holds only StoredKey thus learns ClientKey from a proof that is right. That is what lets a proxy log in to
the server behind it without ever knowing a password.

Channel binding (SCRAM-SHA-256-PLUS): ``c`` holds the base64 of the GS2 header and of a hash of the server's
certificate, and the proofs cover it. Somebody between the two, with a certificate of his own, can't pass that on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64encode

from interceptor.errors import (
    BACKEND_LOGIN,
    BACKEND_PROTOCOL,
    LOGIN_REFUSED,
    MESSAGE_TOO_LARGE,
    PROTOCOL_VIOLATION,
    UNSUPPORTED_PROTOCOL,
    BackendError,
    ClientError,
    Failure,
    ProtocolViolation,
)
from interceptor.protocol.scram_keys import (
    KEY_LENGTH,
    MAX_ITERATIONS,
    MAX_SALT_LENGTH,
    decode_base64,
    decode_iterations,
)

__all__ = ["MAX_CLIENT_MESSAGE", "MAX_SERVER_MESSAGE", "MECHANISM", "MECHANISM_PLUS", "ScramClient", "ScramServer"]

MECHANISM = "SCRAM-SHA-256"
MECHANISM_PLUS = "SCRAM-SHA-256-PLUS"

MAX_CLIENT_MESSAGE = 1024  # PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH
MAX_SERVER_MESSAGE = 2000  # as in libpq, which takes a longer authentication message for garbage (PQconnectPoll)

_NONCE_BYTES = 18  # PostgreSQL's SCRAM_RAW_NONCE_LEN
_NONCE = re.compile(rb"[!-+\--~]+")  # RFC 5802: printable ASCII except the comma
_ATTRIBUTE = re.compile(rb"[A-Za-z]=[^\0]*")

# The base64 of the GS2 header, which the client repeats in its last message: "n,," and "y,,".
_CHANNEL_BINDINGS = {b"n": b"c=biws", b"y": b"c=eSws"}

_END_POINT = b"p=tls-server-end-point"


class ScramServer:
    """The server's side of one exchange. Each method once, in the order in which they stand here.

    Any bytes from a client end in a ProtocolViolation or are a message; none of its texts shows what the client sent.
    ``end_point`` is the channel binding of our certificate, where SCRAM-SHA-256-PLUS was offered. ``nonce`` is for test
    vectors.
    """

    def __init__(self, *, nonce: bytes | None = None, end_point: bytes | None = None) -> None:
        self._nonce = nonce or _new_nonce()
        self._end_point = end_point
        self._channel_binding = b""
        self._auth_message = b""  # grows with each message
        self._proof = b""

    def on_client_first(self, message: bytes, salt: bytes, iterations: int, *, plus: bool = False) -> bytes:
        """Read client-first-message and return server-first-message. ``plus``: the client chose SCRAM-SHA-256-PLUS.

        The user name in it is ignored, as PostgreSQL does: the startup packet has named the user.
        Raises ProtocolViolation, also for a channel binding that doesn't go with the mechanism, and for mandatory
        extensions.
        """
        _check_client_message(message)
        flag, _, rest = message.partition(b",")
        authzid, _, bare = rest.partition(b",")
        channel_binding = self._check_flag(flag, plus)
        if authzid.startswith(b"a="):
            raise ProtocolViolation(
                "client uses authorization identity, but it is not supported", failure=UNSUPPORTED_PROTOCOL
            )
        attributes = bare.split(b",")
        _refuse_mandatory_extension(attributes)
        if authzid or len(attributes) < 2 or not all(map(_ATTRIBUTE.fullmatch, attributes)):
            raise _malformed("The client's first message is not a list of attributes.")
        if not attributes[0].startswith(b"n=") or not attributes[1].startswith(b"r="):
            raise _malformed("The client's first message does not hold a user name and a nonce, in this order.")
        if _NONCE.fullmatch(attributes[1], 2) is None:
            raise _malformed("The client's nonce is empty or holds unprintable characters.")
        self._channel_binding = channel_binding
        self._nonce = attributes[1][2:] + self._nonce
        reply = b"r=%s,s=%s,i=%d" % (self._nonce, b64encode(salt), iterations)
        self._auth_message = bare + b"," + reply
        return reply

    def _check_flag(self, flag: bytes, plus: bool) -> bytes:
        """The channel-binding attribute that the client's last message has to hold."""
        if plus:
            assert self._end_point is not None
            if flag == _END_POINT:
                return b"c=" + b64encode(_END_POINT + b",," + self._end_point)
            if flag.startswith(b"p="):
                raise ProtocolViolation("unsupported SCRAM channel-binding type", failure=UNSUPPORTED_PROTOCOL)
            raise _malformed("The client chose SCRAM-SHA-256-PLUS and then asked for no channel binding.")
        if flag.startswith(b"p="):
            raise _malformed("The client chose SCRAM-SHA-256 without channel binding and then asked for it.")
        if flag not in _CHANNEL_BINDINGS:
            raise _malformed('The message does not begin with a GS2 header, such as "n,,".')
        if flag == b"y" and self._end_point is not None:
            # Somebody may have taken the better mechanism out of our offer.
            raise ProtocolViolation(
                "SCRAM channel binding negotiation error",
                detail="The client supports SCRAM channel binding but thinks the server does not. "
                "However, this server does support channel binding.",
            )
        return _CHANNEL_BINDINGS[flag]

    def on_client_final(self, message: bytes) -> None:
        """Read client-final-message. Raises ProtocolViolation. Whether its proof is right, `check_proof` says."""
        _check_client_message(message)
        without_proof, _, proof = message.rpartition(b",")
        attributes = without_proof.split(b",")
        _refuse_mandatory_extension(attributes)
        if len(attributes) < 2 or not all(map(_ATTRIBUTE.fullmatch, attributes)):
            raise _malformed("The client's last message is not a list of attributes.")
        if attributes[0] != self._channel_binding:
            if attributes[0].startswith(b"c=") and self._channel_binding not in _CHANNEL_BINDINGS.values():
                # Its TLS ends at somebody else's certificate.
                raise ClientError(LOGIN_REFUSED, "SCRAM channel binding check failed")
            raise _malformed("The channel-binding attribute is not the one that the client began with.")
        if not hmac.compare_digest(attributes[1], b"r=" + self._nonce):
            raise ProtocolViolation("invalid SCRAM response", detail="Nonce does not match.")
        decoded = decode_base64(proof[2:])
        if not proof.startswith(b"p=") or decoded is None or len(decoded) != KEY_LENGTH:
            raise _malformed("The client's last message does not end with a proof.")
        self._proof = decoded
        self._auth_message += b"," + without_proof

    def check_proof(self, stored_key: bytes) -> bytes | None:
        """Return the client's ClientKey if it has the password that ``stored_key`` was made of, or None."""
        client_key = _xor(self._proof, hmac.digest(stored_key, self._auth_message, "sha256"))
        return client_key if hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key) else None

    def final_message(self, server_key: bytes) -> bytes:
        """Return server-final-message, which proves to the client that we have its ServerKey."""
        return b"v=" + b64encode(hmac.digest(server_key, self._auth_message, "sha256"))


class ScramClient:
    """The client's side of one exchange. Each method once, in the order in which they stand here.

    ``salt`` and ``iterations`` are there after `on_server_first`; the caller finds the keys that belong to them.
    Any bytes from a server end in a BackendError or are a message. ``end_point`` is the channel binding of the server's
    certificate, for SCRAM-SHA-256-PLUS; ``could_bind``: there would be one, but the server doesn't offer it. ``nonce``
    and ``user`` are for test vectors: PostgreSQL ignores the user named here, and libpq leaves it empty.
    """

    def __init__(
        self,
        *,
        nonce: bytes | None = None,
        user: bytes = b"",
        end_point: bytes | None = None,
        could_bind: bool = False,
    ) -> None:
        self.salt = b""
        self.iterations = 0
        self._nonce = nonce or _new_nonce()
        self._bare = b"n=%s,r=%s" % (user, self._nonce)
        self._gs2_header = (b"y,," if could_bind else b"n,,") if end_point is None else _END_POINT + b",,"
        self._channel_binding = b"c=" + b64encode(self._gs2_header + (end_point or b""))
        self._auth_message = b""
        self._without_proof = b""

    def first_message(self) -> bytes:
        """Return client-first-message."""
        return self._gs2_header + self._bare

    def on_server_first(self, message: bytes) -> None:
        """Read server-first-message. Raises BackendError, also for more than `MAX_ITERATIONS` iterations."""
        attributes = _server_attributes(message)
        if [attribute[:2] for attribute in attributes] != [b"r=", b"s=", b"i="]:
            raise _malformed_by_server("its first message is not a nonce, a salt and an iteration count")
        nonce, salt, iterations = (attribute[2:] for attribute in attributes)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce) or not _NONCE.fullmatch(nonce):
            raise _malformed_by_server("its nonce does not extend ours")
        decoded_salt = decode_base64(salt)
        if not decoded_salt or len(decoded_salt) > MAX_SALT_LENGTH:
            raise _malformed_by_server(f"its salt is not the base64 of 1 to {MAX_SALT_LENGTH} bytes")
        count = decode_iterations(iterations)
        if count is None:
            raise _malformed_by_server(f"its iteration count is not a number from 1 to {MAX_ITERATIONS}")
        self.salt, self.iterations = decoded_salt, count
        self._without_proof = self._channel_binding + b",r=" + nonce
        self._auth_message = b",".join((self._bare, message, self._without_proof))

    def final_message(self, client_key: bytes) -> bytes:
        """Return client-final-message. ``client_key`` belongs to the salt and the iterations that the server named."""
        stored_key = hashlib.sha256(client_key).digest()
        proof = _xor(client_key, hmac.digest(stored_key, self._auth_message, "sha256"))
        return self._without_proof + b",p=" + b64encode(proof)

    def on_server_final(self, message: bytes, server_key: bytes) -> None:
        """Read server-final-message. Raises BackendError if the server has not proved that it has our verifier."""
        attributes = _server_attributes(message)
        if attributes[0].startswith(b"e="):
            # Of RFC 5802's fixed words; anything else could be of any length and content, and would reach a log.
            reason = attributes[0][2:42].decode("ascii", "replace")
            raise BackendError(BACKEND_LOGIN, f"The server ended the SCRAM exchange with the error {reason!r}.")
        signature = decode_base64(attributes[0][2:])
        if not attributes[0].startswith(b"v=") or len(attributes) != 1 or signature is None:
            raise _malformed_by_server("its last message is not a signature")
        if not hmac.compare_digest(signature, hmac.digest(server_key, self._auth_message, "sha256")):
            raise BackendError(
                BACKEND_LOGIN,
                "The server accepted our password and could not prove that it knows it, so it may be an impostor.",
                hint="Check the address of the server, and what stands between it and here.",
            )


def _new_nonce() -> bytes:
    return b64encode(secrets.token_bytes(_NONCE_BYTES))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _malformed(detail: str, *, failure: Failure = PROTOCOL_VIOLATION) -> ProtocolViolation:
    return ProtocolViolation("malformed SCRAM message", failure=failure, detail=detail)


def _check_client_message(message: bytes) -> None:
    if len(message) > MAX_CLIENT_MESSAGE:
        raise _malformed(f"The message is longer than {MAX_CLIENT_MESSAGE} bytes.", failure=MESSAGE_TOO_LARGE)


def _refuse_mandatory_extension(attributes: list[bytes]) -> None:
    if any(attribute.startswith(b"m=") for attribute in attributes):
        raise ProtocolViolation("client requires an unsupported SCRAM extension", failure=UNSUPPORTED_PROTOCOL)


def _malformed_by_server(what: str) -> BackendError:
    return BackendError(BACKEND_PROTOCOL, f"The server sent a SCRAM message that makes no sense: {what}.")


def _server_attributes(message: bytes) -> list[bytes]:
    if len(message) > MAX_SERVER_MESSAGE:
        raise _malformed_by_server(f"it is longer than {MAX_SERVER_MESSAGE} bytes")
    return message.split(b",")
