"""Reading of replies: strict about bytes, and readable for people."""

from __future__ import annotations

import pytest

from tests.support.backend import MalformedReply, Reply, decode_error, row_values

WELL_FORMED: list[tuple[Reply, str]] = [
    (Reply(b"R", b"\0\0\0\0"), "Authentication Ok"),
    (Reply(b"R", b"\0\0\0\x05salt"), "Authentication MD5Password"),
    (Reply(b"K", b"\0\0\0\x07abcd"), "BackendKeyData pid=7 key=b'abcd'"),
    (Reply(b"1", b""), "ParseComplete"),
    (Reply(b"2", b""), "BindComplete"),
    (Reply(b"3", b""), "CloseComplete"),
    (Reply(b"I", b""), "EmptyQueryResponse"),
    (Reply(b"n", b""), "NoData"),
    (Reply(b"s", b""), "PortalSuspended"),
    (Reply(b"c", b""), "CopyDone"),
    (Reply(b"C", b"SELECT 1\0"), "CommandComplete 'SELECT 1'"),
    (Reply(b"d", b"1\n"), r"CopyData b'1\n'"),
    (Reply(b"G", b"\0\0\x02\0\0\0\x01"), "CopyInResponse format=0 columns=[0, 1]"),
    (Reply(b"H", b"\x01\0\0"), "CopyOutResponse format=1 columns=[]"),
    (Reply(b"W", b"\0\0\0"), "CopyBothResponse format=0 columns=[]"),
    (Reply(b"D", b"\0\x02\0\0\0\x01x\xff\xff\xff\xff"), "DataRow b'x' NULL"),
    (Reply(b"E", b"SERROR\0Mno\0\0"), "ErrorResponse S='ERROR' M='no'"),
    (Reply(b"N", b"Mhm\0\0"), "NoticeResponse M='hm'"),
    (Reply(b"V", b"\xff\xff\xff\xff"), "FunctionCallResponse NULL"),
    (Reply(b"v", b"\0\x03\0\0\0\0\0\x01_pq_.x\0"), "NegotiateProtocolVersion version=196608 '_pq_.x'"),
    (Reply(b"A", b"\0\0\0\x07ch\0load\0"), "NotificationResponse pid=7 'ch' 'load'"),
    (Reply(b"t", b"\0\x01\0\0\0\x17"), "ParameterDescription [23]"),
    (Reply(b"S", b"TimeZone\0UTC\0"), "ParameterStatus TimeZone='UTC'"),
    (Reply(b"Z", b"T"), "ReadyForQuery T"),
    (
        Reply(b"T", b"\0\x01id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
        "RowDescription id(table=16384.1 type=23:4:-1 format=0)",
    ),
]
MALFORMED = [
    Reply(b"Z", b""),
    Reply(b"Z", b"X"),
    Reply(b"Z", b"II"),
    Reply(b"1", b"x"),
    Reply(b"C", b"no end"),
    Reply(b"D", b"\0\x01\0\0\0\x05x"),
    Reply(b"D", b"\0\x01\xff\xff\xff\xfe"),
    Reply(b"T", b"\0\x02id\0"),
    Reply(b"E", b"SERROR\0"),
    Reply(b"?", b""),
]


@pytest.mark.parametrize(("reply", "expected"), WELL_FORMED, ids=[reply.name for reply, _ in WELL_FORMED])
def test_a_reply_is_read(reply: Reply, expected: str) -> None:
    assert str(reply) == expected


@pytest.mark.parametrize("reply", MALFORMED, ids=lambda reply: f"{reply.tag!r} {reply.body!r}")
def test_a_malformed_reply_is_told_as_one(reply: Reply) -> None:
    with pytest.raises(MalformedReply):
        reply.fields()
    assert "MALFORMED" in str(reply)


def test_long_values_of_equal_length_are_told_apart() -> None:
    one, other = (Reply(b"d", letter * 100_000) for letter in (b"x", b"y"))
    assert str(one) != str(other)
    assert len(str(one)) < 200


def test_fields_of_an_error_and_values_of_a_row() -> None:
    assert decode_error(b"SERROR\0C22012\0\0") == {"S": "ERROR", "C": "22012"}
    assert row_values(Reply(b"D", b"\0\x02\0\0\0\x01x\xff\xff\xff\xff")) == (b"x", None)
