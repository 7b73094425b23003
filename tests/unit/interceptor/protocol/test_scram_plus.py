"""SCRAM-SHA-256-PLUS: both sides agree exactly when their TLS ends at the same certificate, and no one steps down."""

from __future__ import annotations

from base64 import b64encode

import pytest

from interceptor.errors import LOGIN_REFUSED, ClientError, ProtocolViolation
from interceptor.protocol.scram import ScramClient, ScramServer
from interceptor.protocol.scram_keys import ScramKeys, derive_keys

END_POINT = bytes(range(32))
FIRST = b"n=,r=abc"


@pytest.fixture(scope="module")
def keys() -> ScramKeys:
    return derive_keys(b"pencil", b"salt", 7)


def exchange(client: ScramClient, server: ScramServer, keys: ScramKeys, *, plus: bool) -> None:
    client.on_server_first(server.on_client_first(client.first_message(), keys.salt, keys.iterations, plus=plus))
    server.on_client_final(client.final_message(keys.client_key))
    assert server.check_proof(keys.stored_key) == keys.client_key
    client.on_server_final(server.final_message(keys.server_key), keys.server_key)


def test_both_ends_of_one_connection_agree(keys: ScramKeys) -> None:
    exchange(ScramClient(end_point=END_POINT), ScramServer(end_point=END_POINT), keys, plus=True)


def test_without_channel_binding_where_it_is_offered(keys: ScramKeys) -> None:
    exchange(ScramClient(), ScramServer(end_point=END_POINT), keys, plus=False)


def test_a_client_that_could_bind_says_so_where_it_is_not_offered(keys: ScramKeys) -> None:
    assert ScramClient(could_bind=True).first_message().startswith(b"y,,")
    exchange(ScramClient(could_bind=True), ScramServer(), keys, plus=False)


def test_another_certificate_is_noticed(keys: ScramKeys) -> None:
    with pytest.raises(ClientError, match="SCRAM channel binding check failed") as refused:
        exchange(ScramClient(end_point=b"another"), ScramServer(end_point=END_POINT), keys, plus=True)
    assert refused.value.failure is LOGIN_REFUSED


def test_an_offer_that_somebody_took_away_is_noticed() -> None:
    with pytest.raises(ProtocolViolation, match="channel binding negotiation error"):
        ScramServer(end_point=END_POINT).on_client_first(b"y,," + FIRST, b"salt", 7)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (b"n", "malformed SCRAM message"),
        (b"y", "malformed SCRAM message"),
        (b"p=tls-unique", "unsupported SCRAM channel-binding type"),
        (b"p=", "unsupported SCRAM channel-binding type"),
    ],
)
def test_a_flag_that_does_not_go_with_the_mechanism_is_refused(flag: bytes, message: str) -> None:
    with pytest.raises(ProtocolViolation, match=message):
        ScramServer(end_point=END_POINT).on_client_first(flag + b",," + FIRST, b"salt", 7, plus=True)


def test_a_last_message_without_the_binding_is_refused(keys: ScramKeys) -> None:
    server = ScramServer(nonce=b"s", end_point=END_POINT)
    server.on_client_first(b"p=tls-server-end-point,," + FIRST, b"salt", 7, plus=True)
    for binding in (b"biws", b64encode(b"p=tls-server-end-point,,")):
        with pytest.raises(ClientError, match="check failed"):
            server.on_client_final(b"c=" + binding + b",r=abcs,p=" + b64encode(bytes(32)))
