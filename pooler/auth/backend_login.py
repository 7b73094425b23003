"""Our own login to a PostgreSQL server: the answers to its Authentication messages, as libpq gives them (fe-auth.c).

As in libpq, the server chooses the method, and one that asks for the password in clear text gets it. So a connection
that others can listen to or answer needs TLS; see docs/reference/auth.md.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct

from interceptor.errors import BACKEND_LOGIN, BACKEND_PROTOCOL, BackendError
from interceptor.protocol.md5 import SALT_LENGTH, md5_hash, md5_response
from interceptor.protocol.messages import PASSWORD, encode_message
from interceptor.protocol.scram import MAX_SERVER_MESSAGE, MECHANISM, MECHANISM_PLUS, ScramClient
from interceptor.protocol.scram_keys import ScramKeys
from pooler.auth.credentials import BackendCredential, Md5Hash, PlainPassword
from pooler.auth.key_cache import KeyCache
from pooler.auth.steps import Derivation, Send, Work
from pooler.config.tls import AUTH_METHODS, ChannelBinding

__all__ = ["BackendLogin"]

_INT32 = Struct("!i")

_METHODS_WE_LACK = {2: "Kerberos V5", 6: "SCM credentials", 7: "GSSAPI", 8: "GSSAPI", 9: "SSPI"}


class _State(Enum):
    NEW = "nothing asked yet"
    ANSWERED = "a password was sent"
    SASL_FIRST = "client-first-message was sent"
    WORKING = "the result of Work is due"
    SASL_FINAL = "client-final-message was sent"
    PROVED = "the server has proved that it knows our verifier"
    DONE = "AuthenticationOk has come"


class BackendLogin:
    """One login to a server. Give the body of each AuthenticationRequest (``R``) to `receive` until ``done``.

    ErrorResponse and all other messages are the caller's business. ``keys`` is the process's cache. ``end_point`` is
    the channel binding of the server's certificate; None without TLS.
    """

    def __init__(
        self,
        user: str,
        credential: BackendCredential | None,
        keys: KeyCache,
        end_point: bytes | None = None,
        channel_binding: ChannelBinding = ChannelBinding.PREFER,
        require_auth: frozenset[str] = AUTH_METHODS,
    ) -> None:
        self._user = user
        self._end_point = None if channel_binding is ChannelBinding.DISABLE else end_point
        self._must_bind = channel_binding is ChannelBinding.REQUIRE
        self._allowed = require_auth
        self._credential = None if credential == PlainPassword(b"") else credential
        self._cache = keys
        self._state = _State.NEW
        self._scram = ScramClient()
        self._keys: ScramKeys | None = None

    @property
    def done(self) -> bool:
        """Whether AuthenticationOk has come."""
        return self._state is _State.DONE

    def receive(self, body: bytes) -> Send | Work | None:
        """Answer one request of the server; None where there is nothing to say to it.

        Not to be called while `Work` is under way, nor once ``done``. Raises BackendError with a sentence that says why
        the login can't go on: the server makes no sense, wants what we don't have, or has not proved who it is.
        """
        assert self._state not in (_State.WORKING, _State.DONE)
        if not _INT32.size <= len(body) <= MAX_SERVER_MESSAGE:
            raise _nonsense("an authentication request of impossible length")
        (code,) = _INT32.unpack_from(body)
        expected, handler = _HANDLERS.get(code, ((), None))
        if handler is None:
            method = _METHODS_WE_LACK.get(code, f"the unknown method {code}")
            raise self._refusal(
                f"the server asks for {method}, and only trust, password, md5 and scram-sha-256 are spoken here",
                "Let the server's pg_hba.conf name one of these for connections from here.",
            )
        if self._state not in expected:
            raise _nonsense(f"authentication request {code} out of order")
        return handler(self, body[_INT32.size :])

    def resume(self, keys: ScramKeys) -> Send:
        """Take the result of `Work`."""
        assert self._state is _State.WORKING
        return self._send_proof(keys)

    def _on_ok(self, _data: bytes) -> None:
        if self._state in (_State.SASL_FIRST, _State.SASL_FINAL):
            raise self._refusal(
                "the server let us in before it proved that it knows the password, so it may be an impostor",
                "Check the address of the server, and what stands between it and here.",
            )
        if self._must_bind and self._state is not _State.PROVED:
            raise self._unbound()
        if self._state is _State.NEW:
            self._check_allowed("none", "let us in without a question")
        self._state = _State.DONE

    def _on_cleartext(self, _data: bytes) -> Send:
        credential = self._credential
        if self._must_bind:
            raise self._unbound()
        self._check_allowed("password", "asks for the password in clear text")
        if not isinstance(credential, PlainPassword):
            raise self._lacking("the password in clear text")
        self._state = _State.ANSWERED
        return self._send_password(credential.password)

    def _on_md5(self, salt: bytes) -> Send:
        if len(salt) != SALT_LENGTH:
            raise _nonsense("an md5 salt of impossible length")
        if self._must_bind:
            raise self._unbound()
        self._check_allowed("md5", "asks for the md5 hash of the password")
        credential = self._credential
        if isinstance(credential, PlainPassword):
            credential = Md5Hash(md5_hash(credential.password, self._user.encode()))
        if not isinstance(credential, Md5Hash):
            raise self._lacking("the md5 hash of the password")
        self._state = _State.ANSWERED
        return self._send_password(md5_response(credential.stored, salt))

    def _on_sasl(self, data: bytes) -> Send:
        self._check_allowed("scram-sha-256", "asks for SCRAM-SHA-256")
        mechanisms = [name.decode("ascii", "replace") for name in data.split(b"\0") if name]
        plus = self._end_point is not None and MECHANISM_PLUS in mechanisms
        if self._must_bind and not plus:
            raise self._unbound()
        if MECHANISM not in mechanisms and not plus:
            raise self._refusal(
                f"the server offers the SASL mechanisms {mechanisms}, and only {MECHANISM} is spoken here",
                "Let the server's pg_hba.conf ask for scram-sha-256.",
            )
        if not isinstance(self._credential, PlainPassword | ScramKeys):
            raise self._lacking("proof of the password by SCRAM")
        self._state = _State.SASL_FIRST
        if plus:
            self._scram = ScramClient(end_point=self._end_point)
        elif self._end_point is not None:
            self._scram = ScramClient(could_bind=True)
        first = self._scram.first_message()
        mechanism = MECHANISM_PLUS if plus else MECHANISM
        return Send(encode_message(PASSWORD, mechanism.encode() + b"\0" + _INT32.pack(len(first)) + first))

    def _on_sasl_continue(self, data: bytes) -> Send | Work:
        scram, credential = self._scram, self._credential
        scram.on_server_first(data)
        if isinstance(credential, ScramKeys):
            if (credential.salt, credential.iterations) != (scram.salt, scram.iterations):
                raise self._refusal(
                    "the SCRAM verifier in the user file is not the server's own: salt or iteration count differ",
                    "Copy rolpassword of this role from the server's pg_authid into the user file.",
                )
            return self._send_proof(credential)
        assert isinstance(credential, PlainPassword)
        keys = self._cache.get(credential.password, scram.salt, scram.iterations)
        if keys is not None:
            return self._send_proof(keys)
        self._state = _State.WORKING
        return Work(Derivation(credential.password, scram.salt, scram.iterations))

    def _send_proof(self, keys: ScramKeys) -> Send:
        self._keys = keys
        self._state = _State.SASL_FINAL
        return Send(encode_message(PASSWORD, self._scram.final_message(keys.client_key)))

    def _on_sasl_final(self, data: bytes) -> None:
        assert self._keys is not None
        self._scram.on_server_final(data, self._keys.server_key)
        if isinstance(self._credential, PlainPassword):
            # Only now: a server that makes up salts must not be able to fill the cache.
            self._cache.put(self._credential.password, self._keys)
        self._state = _State.PROVED

    def _send_password(self, password: bytes) -> Send:
        if b"\0" in password:
            raise self._refusal("the password holds a zero byte, which can't be sent", "Set another password.")
        return Send(encode_message(PASSWORD, password + b"\0"))

    def _check_allowed(self, method: str, does: str) -> None:
        """Raises BackendError before anything of the credential is sent."""
        if method not in self._allowed:
            raise self._refusal(
                f"the server {does}, and require_auth={','.join(sorted(self._allowed))}",
                "Let the server ask for one of these, or correct require_auth. Or somebody answers in its place.",
            )

    def _unbound(self) -> BackendError:
        return self._refusal(
            "channel_binding=require, and the server asks for no login by SCRAM-SHA-256-PLUS over TLS",
            "Let the server ask for scram-sha-256 over TLS, or leave channel_binding out.",
        )

    def _lacking(self, asked: str) -> BackendError:
        if self._credential is None:
            return self._refusal(
                f"the server asks for {asked}, and no password is known for this user",
                "Put the password into the connection string of the database, or the user into auth_file.",
            )
        held = "an md5 hash" if isinstance(self._credential, Md5Hash) else "SCRAM keys"
        return self._refusal(
            f"the server asks for {asked}, and only {held} of this user can be had",
            "Put the password into auth_file, or let the server ask for what is there.",
        )

    def _refusal(self, why: str, hint: str) -> BackendError:
        return BackendError(BACKEND_LOGIN, f'Login to the server as user "{self._user}" failed: {why}.', hint=hint)


_HANDLERS: dict[int, tuple[tuple[_State, ...], Callable[[BackendLogin, bytes], Send | Work | None]]] = {
    0: ((_State.NEW, _State.ANSWERED, _State.SASL_FIRST, _State.SASL_FINAL, _State.PROVED), BackendLogin._on_ok),
    3: ((_State.NEW,), BackendLogin._on_cleartext),
    5: ((_State.NEW,), BackendLogin._on_md5),
    10: ((_State.NEW,), BackendLogin._on_sasl),
    11: ((_State.SASL_FIRST,), BackendLogin._on_sasl_continue),
    12: ((_State.SASL_FINAL,), BackendLogin._on_sasl_final),
}


def _nonsense(what: str) -> BackendError:
    return BackendError(BACKEND_PROTOCOL, f"The server broke the protocol during login: {what}.")
