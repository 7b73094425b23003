"""Both sides of SCRAM-SHA-256, against the vectors of RFC 7677 and against each other."""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.errors import BackendError, ProtocolViolation
from interceptor.protocol.scram import MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ScramClient, ScramServer
from interceptor.protocol.scram_keys import MAX_ITERATIONS, MAX_SALT_LENGTH, ScramKeys, derive_keys

# RFC 7677, section 3: user "user", password "pencil".
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_NONCE = b"rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
NONCE = CLIENT_NONCE + SERVER_NONCE
CLIENT_FIRST = b"n,,n=user,r=" + CLIENT_NONCE
SERVER_FIRST = b"r=" + NONCE + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = b"c=biws,r=" + NONCE + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.fixture(scope="module")
def keys() -> ScramKeys:
    return derive_keys(b"pencil", SALT, 4096)


def begun_server() -> ScramServer:
    server = ScramServer(nonce=SERVER_NONCE)
    assert server.on_client_first(CLIENT_FIRST, SALT, 4096) == SERVER_FIRST
    return server


def begun_client() -> ScramClient:
    client = ScramClient(nonce=CLIENT_NONCE, user=b"user")
    client.on_server_first(SERVER_FIRST)
    return client


# --- the vectors -----------------------------------------------------------------------------------------------------


def test_the_server_plays_its_part_of_rfc_7677(keys: ScramKeys) -> None:
    server = begun_server()
    server.on_client_final(CLIENT_FINAL)
    assert server.check_proof(keys.stored_key) == keys.client_key
    assert server.final_message(keys.server_key) == SERVER_FINAL


def test_the_client_plays_its_part_of_rfc_7677(keys: ScramKeys) -> None:
    client = ScramClient(nonce=CLIENT_NONCE, user=b"user")
    assert client.first_message() == CLIENT_FIRST
    client.on_server_first(SERVER_FIRST)
    assert (client.salt, client.iterations) == (SALT, 4096)
    assert client.final_message(keys.client_key) == CLIENT_FINAL
    client.on_server_final(SERVER_FINAL, keys.server_key)


# --- each other ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(), st.binary(), st.binary(min_size=1, max_size=100), st.integers(1, 3))
def test_client_and_server_agree_exactly_when_their_passwords_do(
    right: bytes, typed: bytes, salt: bytes, iterations: int
) -> None:
    of_server, of_client = derive_keys(right, salt, iterations), derive_keys(typed, salt, iterations)
    client, server = ScramClient(), ScramServer()
    client.on_server_first(server.on_client_first(client.first_message(), salt, iterations))
    assert (client.salt, client.iterations) == (salt, iterations)
    server.on_client_final(client.final_message(of_client.client_key))
    if of_server == of_client:
        assert server.check_proof(of_server.stored_key) == of_client.client_key
        client.on_server_final(server.final_message(of_server.server_key), of_client.server_key)
    else:
        assert server.check_proof(of_server.stored_key) is None
        with pytest.raises(BackendError, match="impostor"):
            client.on_server_final(server.final_message(of_server.server_key), of_client.server_key)


def test_nonces_are_new_each_time() -> None:
    assert len({ScramClient().first_message() for _ in range(10)}) == 10
    assert len({ScramServer().on_client_first(CLIENT_FIRST, SALT, 1) for _ in range(10)}) == 10


# --- what the server takes and refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"y,,n=,r=abc", id="client could bind channels and thinks that we can't"),
        pytest.param(b"n,,n=some=2Cbody,r=abc", id="user name is ignored"),
        pytest.param(b"n,,n=\xff,r=abc", id="user name of no encoding"),
        pytest.param(b"n,,n=,r=abc,x=optional,y=", id="optional extensions are ignored"),
    ],
)
def test_first_messages_that_are_taken(message: bytes) -> None:
    reply = ScramServer(nonce=b"DEF").on_client_first(message, b"salt", 7)
    assert reply == b"r=abcDEF,s=c2FsdA==,i=7"


@pytest.mark.parametrize(
    ("message", "sqlstate"),
    [
        pytest.param(b"", "08P01", id="empty"),
        pytest.param(b"n", "08P01", id="flag alone"),
        pytest.param(b"n,", "08P01", id="half a header"),
        pytest.param(b"n,,", "08P01", id="nothing after the header"),
        pytest.param(b"x,,n=,r=abc", "08P01", id="unknown flag"),
        pytest.param(b"nn,,n=,r=abc", "08P01", id="long flag"),
        pytest.param(b"p=tls-server-end-point,,n=,r=abc", "08P01", id="channel binding"),
        pytest.param(b"n,a=admin,n=,r=abc", "0A000", id="authorization identity"),
        pytest.param(b"n,x,n=,r=abc", "08P01", id="garbage for an authorization identity"),
        pytest.param(b"n,,m=must,n=,r=abc", "0A000", id="mandatory extension"),
        pytest.param(b"n,,n=,r=abc,m=must", "0A000", id="mandatory extension at the end"),
        pytest.param(b"n,,r=abc,n=", "08P01", id="wrong order"),
        pytest.param(b"n,,n=", "08P01", id="no nonce"),
        pytest.param(b"n,,n=,r=", "08P01", id="empty nonce"),
        pytest.param(b"n,,n=,r=a b", "08P01", id="blank in nonce"),
        pytest.param(b"n,,n=,r=a\x7f", "08P01", id="unprintable nonce"),
        pytest.param(b"n,,n=,r=a\n", "08P01", id="line end after nonce"),
        pytest.param(b"n,,n=,r=abc,", "08P01", id="comma at the end"),
        pytest.param(b"n,,n=,r=abc,1=x", "08P01", id="attribute is no letter"),
        pytest.param(b"n,,n=\0,r=abc", "08P01", id="zero byte"),
        pytest.param(b"n,,n=,r=" + b"a" * MAX_CLIENT_MESSAGE, "54000", id="too long"),
    ],
)
def test_first_messages_that_are_refused(message: bytes, sqlstate: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        ScramServer().on_client_first(message, b"salt", 7)
    assert caught.value.failure.sqlstate == sqlstate


def test_channel_binding_has_a_refusal_of_its_own() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        ScramServer().on_client_first(b"p=tls-server-end-point,,n=,r=abc", b"salt", 7)
    assert "without channel binding" in caught.value.detail


def test_extensions_of_the_final_message_are_signed_and_ignored(keys: ScramKeys) -> None:
    server = begun_server()
    server.on_client_final(CLIENT_FINAL.replace(b",p=", b",x=1,p="))
    assert server.check_proof(keys.stored_key) is None  # as the proof does not cover "x=1"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(CLIENT_FINAL.replace(b"biws", b"eSws"), id="another flag than at first"),
        pytest.param(CLIENT_FINAL.replace(b"biws", b"cCws"), id="channel binding"),
        pytest.param(CLIENT_FINAL.replace(b"c=biws,", b""), id="no channel binding"),
        pytest.param(CLIENT_FINAL.replace(NONCE, CLIENT_NONCE), id="own nonce only"),
        pytest.param(CLIENT_FINAL.replace(NONCE, NONCE + b"x"), id="longer nonce"),
        pytest.param(CLIENT_FINAL.replace(NONCE, b"x" * len(NONCE)), id="another nonce"),
        pytest.param(CLIENT_FINAL.replace(b",p=", b",m=must,p="), id="mandatory extension"),
        pytest.param(CLIENT_FINAL + b",x=1", id="extension after the proof"),
        pytest.param(CLIENT_FINAL + b",", id="comma at the end"),
        pytest.param(CLIENT_FINAL[:-4], id="short proof"),
        pytest.param(CLIENT_FINAL[:-1], id="proof without padding"),
        pytest.param(CLIENT_FINAL.replace(b"VQ=", b"VR="), id="proof is not canonical base64"),
        pytest.param(CLIENT_FINAL + b"\0", id="zero byte at the end"),
        pytest.param(CLIENT_FINAL.replace(b",p=", b",q="), id="no proof"),
        pytest.param(CLIENT_FINAL.replace(b",p=", b",x=%b,p=" % bytes(1)), id="zero byte"),
        pytest.param(CLIENT_FINAL.replace(b",p=", b",x=%b,p=" % (b"x" * MAX_CLIENT_MESSAGE)), id="too long"),
    ],
)
def test_final_messages_that_are_refused(message: bytes) -> None:
    server = begun_server()
    with pytest.raises(ProtocolViolation):
        server.on_client_final(message)


def test_a_proof_of_another_password_is_wrong(keys: ScramKeys) -> None:
    client, server = begun_client(), begun_server()
    server.on_client_final(client.final_message(derive_keys(b"pencils", SALT, 4096).client_key))
    assert server.check_proof(keys.stored_key) is None


# --- what the client takes and refuses -------------------------------------------------------------------------------


def test_the_longest_salt_and_the_most_iterations_are_taken() -> None:
    client = ScramClient(nonce=b"abc")
    client.on_server_first(b"r=abcDEF,s=%b,i=%d" % (b64encode(bytes(MAX_SALT_LENGTH)), MAX_ITERATIONS))
    assert (len(client.salt), client.iterations) == (MAX_SALT_LENGTH, MAX_ITERATIONS)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"r=abcDEF,s=c2FsdA==", id="no iterations"),
        pytest.param(b"s=c2FsdA==,r=abcDEF,i=1", id="wrong order"),
        pytest.param(b"m=must,r=abcDEF,s=c2FsdA==,i=1", id="mandatory extension"),
        pytest.param(b"r=abcDEF,s=c2FsdA==,i=1,x=", id="extension, which libpq refuses too"),
        pytest.param(b"r=abc,s=c2FsdA==,i=1", id="nonce of ours alone"),
        pytest.param(b"r=abDEF,s=c2FsdA==,i=1", id="nonce not of ours"),
        pytest.param(b"r=abc\x01,s=c2FsdA==,i=1", id="unprintable nonce"),
        pytest.param(b"r=abcDEF,s=,i=1", id="empty salt"),
        pytest.param(b"r=abcDEF,s=c2FsdA=,i=1", id="salt is not base64"),
        pytest.param(b"r=abcDEF,s=%b,i=1" % b64encode(bytes(MAX_SALT_LENGTH + 1)), id="long salt"),
        pytest.param(b"r=abcDEF,s=c2FsdA==,i=0", id="zero iterations"),
        pytest.param(b"r=abcDEF,s=c2FsdA==,i=-1", id="negative iterations"),
        pytest.param(b"r=abcDEF,s=c2FsdA==,i=1_000", id="Python's idea of a number"),
        pytest.param(b"r=abcDEF,s=c2FsdA==,i=%d" % (MAX_ITERATIONS + 1), id="too many iterations"),
        pytest.param(b"r=abc%b,s=c2FsdA==,i=1" % (b"D" * MAX_SERVER_MESSAGE), id="too long"),
    ],
)
def test_server_first_messages_that_are_refused(message: bytes) -> None:
    with pytest.raises(BackendError):
        ScramClient(nonce=b"abc").on_server_first(message)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(b"", "makes no sense", id="empty"),
        pytest.param(b"v=", "could not prove", id="empty signature"),
        pytest.param(b"v=!", "makes no sense", id="not base64"),
        pytest.param(b"v=%b" % b64encode(bytes(32)), "could not prove", id="wrong signature"),
        pytest.param(SERVER_FINAL + b",x=1", "makes no sense", id="extension"),
        pytest.param(b"x=" + SERVER_FINAL[2:], "makes no sense", id="no signature"),
        pytest.param(b"e=invalid-proof", "'invalid-proof'", id="error"),
        pytest.param(b"e=" + b"\n" * 1000, "'" + r"\\n" * 40 + "'", id="error that would flood a log"),
    ],
)
def test_server_final_messages_that_are_refused(message: bytes, reason: str, keys: ScramKeys) -> None:
    client = begun_client()
    client.final_message(keys.client_key)
    with pytest.raises(BackendError, match=reason):
        client.on_server_final(message, keys.server_key)


# --- anything --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", b"n,,n=,r=", b"c=biws,r=" + NONCE + b",p="]))
def test_any_bytes_are_a_message_for_the_server_or_a_violation(tail: bytes, head: bytes) -> None:
    with suppress(ProtocolViolation):
        ScramServer().on_client_first(head + tail, SALT, 1)
    with suppress(ProtocolViolation):
        begun_server().on_client_final(head + tail)


@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", b"r=" + NONCE + b",s=", b"v=", b"e="]))
def test_any_bytes_are_a_message_for_the_client_or_a_backend_error(tail: bytes, head: bytes) -> None:
    with suppress(BackendError):
        ScramClient(nonce=CLIENT_NONCE).on_server_first(head + tail)
    with pytest.raises(BackendError):
        begun_client().on_server_final(head + tail, bytes(32))
