"""The bytes of each message of a client, held against the layouts in PostgreSQL's documentation."""

from __future__ import annotations

import pytest

from tests.support import frontend
from tests.support.frontend import Frontend

MESSAGES: list[tuple[Frontend, bytes]] = [
    (
        frontend.startup({"user": "u", "_pq_.x": "1"}, frontend.PROTOCOL_3_2),
        b"\x00\x00\x00\x19\x00\x03\x00\x02user\x00u\x00_pq_.x\x001\x00\x00",
    ),
    (frontend.ssl_request(), b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
    (frontend.gssenc_request(), b"\x00\x00\x00\x08\x04\xd2\x16\x30"),
    (frontend.cancel_request(7, b"secret"), b"\x00\x00\x00\x12\x04\xd2\x16\x2e\x00\x00\x00\x07secret"),
    (frontend.password("pw"), b"p\x00\x00\x00\x07pw\x00"),
    (frontend.sasl_initial_response("M", b"abc"), b"p\x00\x00\x00\x0dM\x00\x00\x00\x00\x03abc"),
    (frontend.sasl_response(b"abc"), b"p\x00\x00\x00\x07abc"),
    (frontend.query("SELECT"), b"Q\x00\x00\x00\x0bSELECT\x00"),
    (frontend.query(b"\xe9"), b"Q\x00\x00\x00\x06\xe9\x00"),
    (frontend.parse("S", "n", [23, 0]), b"P\x00\x00\x00\x12n\x00S\x00\x00\x02\x00\x00\x00\x17\x00\x00\x00\x00"),
    (
        frontend.bind([b"ab", None], portal="p", statement="s", formats=[0, 1], results=[1]),
        b"B\x00\x00\x00\x1ep\x00s\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00\x00\x00\x02ab\xff\xff\xff\xff\x00\x01\x00\x01",
    ),
    (frontend.describe_statement("s"), b"D\x00\x00\x00\x07Ss\x00"),
    (frontend.describe_portal(), b"D\x00\x00\x00\x06P\x00"),
    (frontend.execute("p", 5), b"E\x00\x00\x00\x0ap\x00\x00\x00\x00\x05"),
    (frontend.close_statement("s"), b"C\x00\x00\x00\x07Ss\x00"),
    (frontend.close_portal("p"), b"C\x00\x00\x00\x07Pp\x00"),
    (frontend.flush(), b"H\x00\x00\x00\x04"),
    (frontend.sync(), b"S\x00\x00\x00\x04"),
    (frontend.copy_data(b"\x00x"), b"d\x00\x00\x00\x06\x00x"),
    (frontend.copy_done(), b"c\x00\x00\x00\x04"),
    (frontend.copy_fail("no"), b"f\x00\x00\x00\x07no\x00"),
    (
        frontend.function_call(177, [b"1", None], formats=[1], result=1),
        b"F\x00\x00\x00\x19\x00\x00\x00\xb1\x00\x01\x00\x01\x00\x02\x00\x00\x00\x011\xff\xff\xff\xff\x00\x01",
    ),
    (frontend.terminate(), b"X\x00\x00\x00\x04"),
]


@pytest.mark.parametrize(("message", "expected"), MESSAGES, ids=[message.name for message, _ in MESSAGES])
def test_message_has_the_documented_layout(message: Frontend, expected: bytes) -> None:
    assert message.data == expected


def test_every_builder_is_covered() -> None:
    builders = {name for name in frontend.__all__ if name[0].islower()}
    names = {message.name for message, _ in MESSAGES}
    # query appears twice above; describe and close are two builders of one message each.
    assert len(names) == len(builders) - 2


def test_a_long_message_is_printed_short() -> None:
    assert len(str(frontend.query("x" * 100_000))) < 200
