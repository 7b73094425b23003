"""The login of one client, from the first Authentication message to the verdict.

::

    trust                                                                     Accepted at once
    password   AuthenticationCleartextPassword ──▶  ◀── PasswordMessage       Accepted, or Work first for a SCRAM entry
    md5        AuthenticationMD5Password       ──▶  ◀── PasswordMessage       Accepted
    scram      AuthenticationSASL              ──▶  ◀── SASLInitialResponse
               AuthenticationSASLContinue      ──▶  ◀── SASLResponse          Accepted, or Work first for a plain entry

Under ``md5``, a user whose entry is a SCRAM verifier logs in by SCRAM, as in PgBouncer and PostgreSQL.

Source: PostgreSQL documentation, "Message Flow", and src/backend/libpq/auth.c, auth-sasl.c; texts of errors are theirs.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from struct import Struct

from interceptor.errors import AUTH_FAILED, MESSAGE_TOO_LARGE, ClientError, ProtocolViolation
from interceptor.protocol.md5 import SALT_LENGTH, md5_hash, md5_response
from interceptor.protocol.messages import AUTHENTICATION, PASSWORD, decode_cstring, encode_message
from interceptor.protocol.scram import MECHANISM, MECHANISM_PLUS, ScramServer
from interceptor.protocol.scram_keys import DEFAULT_ITERATIONS, ScramKeys
from pooler.auth.credentials import (
    BackendCredential,
    Md5Hash,
    PlainPassword,
    ScramVerifier,
    StoredCredential,
)
from pooler.auth.key_cache import KeyCache
from pooler.auth.stand_in import AuthType, Shapes, derive_salt, is_usable, make_stand_in
from pooler.auth.steps import Accepted, Derivation, Send, Step, Work

__all__ = ["MAX_LOGIN_MESSAGE", "ClientLogin", "LoginSettings"]

MAX_LOGIN_MESSAGE = 65535
"""Bytes of body; PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH. The caller refuses longer messages before it reads them."""

_CLEARTEXT = 3
_MD5 = 5
_SASL = 10
_SASL_CONTINUE = 11
_SASL_FINAL = 12

_INT32 = Struct("!i")


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """What all logins of a process share; made anew when the user file or a setting changes.

    ``mock_secret``: 32 random bytes, the same in all processes of a node: with it stand-ins for unknown users are made
    up, and differing ones would give them away. ``shapes``: those of the user file.
    """

    auth_type: AuthType
    mock_secret: bytes = field(repr=False)
    shapes: Shapes = field(default_factory=Shapes)
    keys: KeyCache = field(default_factory=KeyCache)
    scram_iterations: int = DEFAULT_ITERATIONS


class _State(Enum):
    NEW = "not started"
    PASSWORD = "a password message is due"
    MD5 = "the answer to an md5 challenge is due"
    SASL_INITIAL = "SASLInitialResponse is due"
    SASL_FIRST = "SASLResponse with client-first-message is due"
    SASL_FINAL = "SASLResponse with client-final-message is due"
    WORKING = "the result of Work is due"
    ENDED = "accepted or refused"


class ClientLogin:
    """One client's login. `start` once, then `receive` each message of the client; do what the returned steps say.

    An unknown user (``credential=None``), one without a password and one whose entry can't work with the method are
    refused only at the end, like a wrong password. Every refusal and every broken message is a ClientError.
    ``end_point`` is the channel binding of our certificate, where the connection has TLS: with it SCRAM-SHA-256-PLUS is
    offered.
    """

    def __init__(
        self,
        user: str,
        credential: StoredCredential | None,
        settings: LoginSettings,
        end_point: bytes | None = None,
    ) -> None:
        self._user = user
        self._settings = settings
        self._credential = credential
        self._state = _State.NEW
        self._known = is_usable(credential, settings.auth_type)
        self._entry: StoredCredential = PlainPassword(b"")
        if settings.auth_type != "trust":
            # Made for known users too: an outsider might measure these microseconds.
            stand_in = make_stand_in(user, settings.mock_secret, settings.shapes, settings.auth_type)
            self._entry = credential if credential is not None and self._known else stand_in
        self._md5_salt = b""
        self._end_point = end_point
        self._scram = ScramServer(end_point=end_point)
        self._plus = False
        self._salt = b""
        self._iterations = 0
        self._finish: Callable[[ScramKeys], Step] | None = None
        self.is_refused = False
        """The outcome of the `Work` that is under way is known: the password was wrong."""

    def start(self) -> Step:
        """Begin: a `Send` with the request for a password, or under ``trust`` an `Accepted`."""
        assert self._state is _State.NEW
        auth_type = self._settings.auth_type
        if auth_type == "trust":
            self._state = _State.ENDED
            return Accepted(b"", self._credential_of_trust())
        if auth_type == "password":
            self._state = _State.PASSWORD
            return _authentication(_CLEARTEXT)
        if auth_type == "scram-sha-256" or isinstance(self._entry, ScramVerifier):
            self._state = _State.SASL_INITIAL
            offered = [MECHANISM] if self._end_point is None else [MECHANISM_PLUS, MECHANISM]
            return _authentication(_SASL, b"".join([name.encode() + b"\0" for name in offered]) + b"\0")
        self._state = _State.MD5
        self._md5_salt = secrets.token_bytes(SALT_LENGTH)
        return _authentication(_MD5, self._md5_salt)

    def receive(self, message_type: int, body: bytes) -> Step:
        """Take the client's next message. Not to be called while `Work` is under way, nor after the end.

        Raises ClientError with PostgreSQL's words when the client is refused, ProtocolViolation when it makes no sense.
        """
        state, self._state = self._state, _State.ENDED  # of whatever raises below, this is the end
        assert state in _HANDLERS, state
        if message_type != PASSWORD:
            expected = "password" if state in (_State.PASSWORD, _State.MD5) else "SASL"
            raise ProtocolViolation(f"expected {expected} response, got message type {message_type}")
        if len(body) > MAX_LOGIN_MESSAGE:
            raise ProtocolViolation(
                f"the login message is longer than {MAX_LOGIN_MESSAGE} bytes", failure=MESSAGE_TOO_LARGE
            )
        return _HANDLERS[state](self, body)

    def resume(self, keys: ScramKeys) -> Step:
        """Take the result of `Work`. Raises ClientError when the client is refused."""
        assert self._state is _State.WORKING
        assert self._finish is not None
        self._state = _State.ENDED
        return self._finish(keys)

    # --- password and md5 ----------------------------------------------------------------------------------------

    def _on_password(self, body: bytes) -> Step:
        password = _decode_password_message(body)
        entry = self._entry
        if isinstance(entry, ScramVerifier):
            self._finish = partial(self._finish_password, password, entry)
            return self._work(password, entry.salt, entry.iterations)
        if isinstance(entry, Md5Hash):
            matches = hmac.compare_digest(md5_hash(password, self._user.encode()), entry.stored)
        else:
            matches = _same_password(password, entry.password)
        return self._verdict(matches, PlainPassword(password))

    def _finish_password(self, password: bytes, verifier: ScramVerifier, keys: ScramKeys) -> Step:
        return self._verdict(hmac.compare_digest(keys.stored_key, verifier.stored_key), PlainPassword(password))

    def _on_md5(self, body: bytes) -> Step:
        response = _decode_password_message(body)
        entry = self._entry
        assert isinstance(entry, PlainPassword | Md5Hash)
        stored = entry.stored if isinstance(entry, Md5Hash) else md5_hash(entry.password, self._user.encode())
        return self._verdict(hmac.compare_digest(md5_response(stored, self._md5_salt), response), entry)

    # --- SCRAM ---------------------------------------------------------------------------------------------------

    def _on_sasl_initial(self, body: bytes) -> Step:
        mechanism, position = decode_cstring(body, 0)
        self._plus = mechanism == MECHANISM_PLUS.encode() and self._end_point is not None
        if mechanism != MECHANISM.encode() and not self._plus:
            raise ProtocolViolation("client selected an invalid SASL authentication mechanism")
        if len(body) < position + _INT32.size:
            raise ProtocolViolation("insufficient data left in message")
        (length,) = _INT32.unpack_from(body, position)
        message = body[position + _INT32.size :]
        if length == -1 and not message:
            # The client has nothing to say yet, which SASL allows: an empty challenge asks it for its first message.
            self._state = _State.SASL_FIRST
            return _authentication(_SASL_CONTINUE)
        if length != len(message):
            raise ProtocolViolation("invalid message format")
        return self._on_sasl_first(message)

    def _on_sasl_first(self, message: bytes) -> Step:
        entry = self._entry
        if isinstance(entry, ScramVerifier):
            self._salt, self._iterations = entry.salt, entry.iterations
        else:
            self._salt = derive_salt(self._user, self._settings.mock_secret)
            self._iterations = self._settings.scram_iterations
        reply = self._scram.on_client_first(message, self._salt, self._iterations, plus=self._plus)
        self._state = _State.SASL_FINAL
        return _authentication(_SASL_CONTINUE, reply)

    def _on_sasl_final(self, message: bytes) -> Step:
        self._scram.on_client_final(message)
        entry = self._entry
        if isinstance(entry, ScramVerifier):
            client_key = self._scram.check_proof(entry.stored_key)
            keys = ScramKeys(self._salt, self._iterations, client_key or b"", entry.server_key)
            return self._verdict(client_key is not None, keys, entry.server_key)
        assert isinstance(entry, PlainPassword)
        keys_of_password = self._settings.keys.get(entry.password, self._salt, self._iterations)
        if keys_of_password is not None and self._scram.check_proof(keys_of_password.stored_key):
            return self._verdict(True, entry, keys_of_password.server_key)
        # A wrong password costs a derivation even where the keys are at hand: if it did not, its quicker refusal would
        # tell that the user exists and has logged in lately.
        self.is_refused = keys_of_password is not None
        self._finish = partial(self._finish_scram, entry)
        return self._work(entry.password, self._salt, self._iterations)

    def _finish_scram(self, entry: PlainPassword, keys: ScramKeys) -> Step:
        if self._known:
            self._settings.keys.put(entry.password, keys)
        return self._verdict(self._scram.check_proof(keys.stored_key) is not None, entry, keys.server_key)

    # --- the end -------------------------------------------------------------------------------------------------

    def _work(self, password: bytes, salt: bytes, iterations: int) -> Work:
        self._state = _State.WORKING
        return Work(Derivation(password, salt, iterations))

    def _verdict(self, matches: bool, credential: BackendCredential, server_key: bytes = b"") -> Accepted:
        if not (matches and self._known):
            raise ClientError(AUTH_FAILED, f'password authentication failed for user "{self._user}"')
        data = _authentication(_SASL_FINAL, self._scram.final_message(server_key)).data if server_key else b""
        return Accepted(data, credential)

    def _credential_of_trust(self) -> BackendCredential | None:
        # A verifier alone can't log in anywhere, and this client has shown no keys.
        if not self._known or isinstance(self._credential, ScramVerifier):
            return None
        return self._credential


_HANDLERS: dict[_State, Callable[[ClientLogin, bytes], Step]] = {
    _State.PASSWORD: ClientLogin._on_password,
    _State.MD5: ClientLogin._on_md5,
    _State.SASL_INITIAL: ClientLogin._on_sasl_initial,
    _State.SASL_FIRST: ClientLogin._on_sasl_first,
    _State.SASL_FINAL: ClientLogin._on_sasl_final,
}


def _authentication(code: int, data: bytes = b"") -> Send:
    return Send(encode_message(AUTHENTICATION, _INT32.pack(code) + data))


def _decode_password_message(body: bytes) -> bytes:
    password, end = decode_cstring(body, 0)
    if end != len(body):
        raise ProtocolViolation("invalid password packet size")
    if not password:
        # Said of known and unknown users alike, before anything is looked at.
        raise ClientError(AUTH_FAILED, "empty password returned by client")
    return password


def _same_password(left: bytes, right: bytes) -> bool:
    # Their hashes are compared, because compare_digest shows whether two lengths are the same.
    key = secrets.token_bytes(16)
    return hmac.compare_digest(hmac.digest(key, left, "sha256"), hmac.digest(key, right, "sha256"))
