"""Our login to a backend."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.errors import BackendError
from interceptor.protocol.md5 import md5_hash, md5_response
from interceptor.protocol.scram import MAX_SERVER_MESSAGE, ScramServer
from interceptor.protocol.scram_keys import MAX_ITERATIONS, ScramKeys, derive_keys
from pooler.auth import BackendCredential, BackendLogin, KeyCache, Md5Hash, PlainPassword, Send, Work
from pooler.config.tls import AUTH_METHODS

SALT = b"salt of the server"
PLAIN = PlainPassword(b"pencil")
MD5 = Md5Hash(md5_hash(b"pencil", b"alice"))
KEYS = derive_keys(b"pencil", SALT, 3)

OK = pack("!i", 0)
CLEARTEXT = pack("!i", 3)
MD5_REQUEST = pack("!i4s", 5, b"1234")
SASL = pack("!i", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"


def login_of(credential: BackendCredential | None, cache: KeyCache | None = None) -> BackendLogin:
    return BackendLogin("alice", credential, KeyCache() if cache is None else cache)


def data_of(step: Send | Work | None) -> bytes:
    assert isinstance(step, Send)
    assert step.data[:5] == b"p" + pack("!I", len(step.data) - 1)
    return step.data[5:]


class ScramBackend:
    """The server's part of one exchange."""

    def __init__(self, keys: ScramKeys = KEYS) -> None:
        self.keys = keys
        self.scram = ScramServer()

    def first(self, initial_response: bytes) -> bytes:
        mechanism, message = initial_response.split(b"\0", 1)
        assert mechanism == b"SCRAM-SHA-256"
        assert message[:4] == pack("!i", len(message) - 4)
        return pack("!i", 11) + self.scram.on_client_first(message[4:], self.keys.salt, self.keys.iterations)

    def final(self, response: bytes) -> bytes:
        self.scram.on_client_final(response)
        assert self.scram.check_proof(self.keys.stored_key)
        return pack("!i", 12) + self.scram.final_message(self.keys.server_key)


def test_a_server_that_trusts_us_is_believed() -> None:
    login = login_of(PLAIN)
    assert login.receive(OK) is None
    assert login.done


def test_the_password_in_clear_text() -> None:
    login = login_of(PLAIN)
    assert data_of(login.receive(CLEARTEXT)) == b"pencil\0"
    assert not login.done
    assert login.receive(OK) is None
    assert login.done


@pytest.mark.parametrize("credential", [PLAIN, MD5], ids=["plain", "md5"])
def test_md5(credential: BackendCredential) -> None:
    assert data_of(login_of(credential).receive(MD5_REQUEST)) == md5_response(MD5.stored, b"1234") + b"\0"


def test_scram_with_a_password_derives_its_keys_once_per_server() -> None:
    cache = KeyCache()
    works = 0
    for _ in range(3):
        login, server = login_of(PLAIN, cache), ScramBackend()
        step = login.receive(server.first(data_of(login.receive(SASL))))
        if isinstance(step, Work):
            works += 1
            step = login.resume(step.function())
        assert login.receive(server.final(data_of(step))) is None
        assert not login.done
        login.receive(OK)
        assert login.done
    assert works == 1


def test_scram_with_the_keys_of_a_clients_own_login_needs_no_work() -> None:
    login, server = login_of(KEYS), ScramBackend()
    step = login.receive(server.first(data_of(login.receive(SASL))))
    assert login.receive(server.final(data_of(step))) is None
    login.receive(OK)
    assert login.done


@pytest.mark.parametrize("server_keys", [derive_keys(b"pencil", b"new salt", 3), derive_keys(b"pencil", SALT, 4)])
def test_keys_of_another_verifier_are_not_sent(server_keys: ScramKeys) -> None:
    login, server = login_of(KEYS), ScramBackend(server_keys)
    first = server.first(data_of(login.receive(SASL)))
    with pytest.raises(BackendError, match="verifier in the user file is not the server's own") as caught:
        login.receive(first)
    assert "pg_authid" in caught.value.hint


def test_a_server_that_cannot_prove_itself_is_left() -> None:
    login, server = login_of(KEYS), ScramBackend()
    login.receive(server.first(data_of(login.receive(SASL))))
    with pytest.raises(BackendError, match="impostor"):
        login.receive(pack("!i", 12) + b"v=" + b"A" * 43 + b"=")


def test_its_keys_are_not_remembered() -> None:
    cache = KeyCache()
    login, server = login_of(PLAIN, cache), ScramBackend()
    step = login.receive(server.first(data_of(login.receive(SASL))))
    assert isinstance(step, Work)
    login.resume(step.function())
    with pytest.raises(BackendError):
        login.receive(pack("!i", 12) + b"v=" + b"A" * 43 + b"=")
    assert len(cache) == 0


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_server_that_lets_us_in_before_it_proved_itself_is_left(rounds: int) -> None:
    login, server = login_of(KEYS), ScramBackend()
    first = data_of(login.receive(SASL))
    if rounds == 2:
        login.receive(server.first(first))
    with pytest.raises(BackendError, match="before it proved"):
        login.receive(OK)
    assert not login.done


@pytest.mark.parametrize(
    ("request_body", "method"),
    [(OK, "none"), (CLEARTEXT, "password"), (MD5_REQUEST, "md5"), (SASL, "scram-sha-256")],
    ids=["none", "password", "md5", "scram"],
)
def test_a_server_gets_nothing_of_a_method_that_is_not_wanted(request_body: bytes, method: str) -> None:
    def receive(allowed: frozenset[str]) -> object:
        return BackendLogin("alice", PLAIN, KeyCache(), require_auth=allowed).receive(request_body)

    receive(frozenset({method}))
    with pytest.raises(BackendError, match="and require_auth=") as caught:
        receive(AUTH_METHODS - {method})
    assert "pencil" not in str(caught.value)


@pytest.mark.parametrize(
    ("credential", "request_body", "reason"),
    [
        (None, CLEARTEXT, "asks for the password in clear text, and no password is known"),
        (None, MD5_REQUEST, "asks for the md5 hash of the password, and no password is known"),
        (None, SASL, "asks for proof of the password by SCRAM, and no password is known"),
        (PlainPassword(b""), SASL, "no password is known"),
        (MD5, CLEARTEXT, "only an md5 hash of this user can be had"),
        (MD5, SASL, "only an md5 hash of this user can be had"),
        (KEYS, CLEARTEXT, "only SCRAM keys of this user can be had"),
        (KEYS, MD5_REQUEST, "only SCRAM keys of this user can be had"),
        (PLAIN, pack("!i", 10) + b"SCRAM-SHA-256-PLUS\0\0", r"mechanisms \['SCRAM-SHA-256-PLUS'\], and only SCRAM"),
        (PLAIN, pack("!i", 10) + b"\0", r"mechanisms \[\], and only SCRAM"),
        (PLAIN, pack("!i", 7), "asks for GSSAPI"),
        (PLAIN, pack("!i", 9), "asks for SSPI"),
        (PLAIN, pack("!i", 2), "asks for Kerberos"),
        (PLAIN, pack("!i", 4711), "the unknown method 4711"),
        (PLAIN, pack("!i", -1), "the unknown method -1"),
        (PlainPassword(b"pen\0cil"), CLEARTEXT, "zero byte"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(
    credential: BackendCredential | None, request_body: bytes, reason: str
) -> None:
    with pytest.raises(BackendError, match=reason) as caught:
        login_of(credential).receive(request_body)
    error = caught.value
    assert error.failure.code == "backend_login_failed"
    assert error.message.startswith('Login to the server as user "alice" failed: ')
    assert error.hint
    assert "pencil" not in error.message + error.hint + error.detail


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([b""], id="empty"),
        pytest.param([b"\0\0\0"], id="short"),
        pytest.param([CLEARTEXT + bytes(MAX_SERVER_MESSAGE)], id="long"),
        pytest.param([pack("!i", 5) + b"123"], id="short md5 salt"),
        pytest.param([pack("!i", 5) + b"12345"], id="long md5 salt"),
        pytest.param([CLEARTEXT, CLEARTEXT], id="asks twice"),
        pytest.param([MD5_REQUEST, CLEARTEXT], id="asks for another form"),
        pytest.param([SASL, CLEARTEXT], id="turns from SCRAM to clear text"),
        pytest.param([SASL, SASL], id="SASL twice"),
        pytest.param([pack("!i", 11) + b"r=a,s=AAAA,i=1"], id="continues what was not begun"),
        pytest.param([pack("!i", 12) + b"v=AAAA"], id="ends what was not begun"),
        pytest.param([SASL, pack("!i", 12) + b"v=AAAA"], id="ends too early"),
        pytest.param([SASL, pack("!i", 11) + b"r=a,s=AAAA,i=1"], id="nonce not ours"),
    ],
)
def test_a_server_out_of_its_mind(bodies: list[bytes]) -> None:
    login = login_of(PLAIN)
    *before, last = bodies
    for body in before:
        login.receive(body)
    with pytest.raises(BackendError) as caught:
        login.receive(last)
    assert caught.value.failure.code == "backend_protocol"


def test_a_server_cannot_make_us_hash_for_long() -> None:
    login = login_of(PLAIN)
    nonce = data_of(login.receive(SASL)).rpartition(b"r=")[2]
    with pytest.raises(BackendError, match=f"from 1 to {MAX_ITERATIONS}"):
        login.receive(pack("!i", 11) + b"r=%bX,s=AAAA,i=%d" % (nonce, MAX_ITERATIONS + 1))


@settings(deadline=None)
@given(
    st.sampled_from([None, PLAIN, MD5, KEYS]),
    st.lists(st.tuples(st.sampled_from([0, 3, 5, 7, 10, 11, 12, 99]), st.binary(max_size=30)), max_size=4),
    st.booleans(),
)
def test_any_bytes_are_answered_or_a_backend_error(
    credential: BackendCredential | None, requests: list[tuple[int, bytes]], begin_with_scram: bool
) -> None:
    login = login_of(credential)
    try:
        if begin_with_scram:
            server = ScramBackend()
            step = login.receive(server.first(data_of(login.receive(SASL))))
            if isinstance(step, Work):
                login.resume(step.function())
        for code, data in requests:
            if not login.done:
                assert isinstance(login.receive(pack("!i", code) + data), Send | None)
    except BackendError:
        assert not login.done
