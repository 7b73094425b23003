"""Headers of the PROXY protocol: good ones cut at every byte, and bad ones."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import ClientError
from pooler.proxy_protocol import ProxyHeader, decode_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def addresses(source: str, target: str, port: int, more: bytes = b"") -> bytes:
    ends = b"".join(ipaddress.ip_address(end).packed for end in (source, target))
    return ends + port.to_bytes(2, "big") + (6432).to_bytes(2, "big") + more


def signed(body: bytes, behind: bytes = b"", *, spoilt: int = 0) -> bytes:
    """A header with a checksum in it, and a field behind that."""
    header = bytearray(v2(0x21, 0x11, body + b"\x03\0\x04" + bytes(4) + behind))
    place = 16 + len(body) + 3
    header[place : place + 4] = (crc32c(bytes(header)) ^ spoilt).to_bytes(4, "big")
    return bytes(header)


def crc32c(data: bytes) -> int:
    """By long division, a bit at a time."""
    remainder = 0xFFFFFFFF
    for bit in (byte >> shift & 1 for byte in data for shift in range(8)):
        remainder = (remainder >> 1) ^ (0x82F63B78 if (remainder ^ bit) & 1 else 0)
    return remainder ^ 0xFFFFFFFF


BODY = addresses("192.0.2.7", "10.0.0.1", 51234)
GOOD = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 51234 6432\r\n", "192.0.2.7", 51234),
    (b"PROXY TCP6 2001:db8::7 ::1 51234 6432\r\n", "2001:db8::7", 51234),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", 0),
    (v2(0x21, 0x11, addresses("192.0.2.7", "10.0.0.1", 51234)), "192.0.2.7", 51234),
    (v2(0x21, 0x21, addresses("2001:db8::7", "::1", 51234, b"\x04\0\x02hi")), "2001:db8::7", 51234),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 51234 6432\r\n", "192.0.2.7", 51234),
    (v2(0x21, 0x21, addresses("::ffff:192.0.2.7", "::1", 51234)), "192.0.2.7", 51234),
    (signed(BODY), "192.0.2.7", 51234),
    (signed(BODY, b"\xea\0\x03aws"), "192.0.2.7", 51234),
    (v2(0x20, 0x00, b""), "", 0),
    (v2(0x20, 0x11, addresses("192.0.2.7", "10.0.0.1", 51234)), "", 0),
    (v2(0x21, 0x31, bytes(216)), "", 0),
    (v2(0x21, 0x00, b"whatever"), "", 0),
]
BAD = [
    b"PROXY TCP4 192.0.2.7 10.0.0.1 51234\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 51234 6432\n",
    b"PROXY TCP4 2001:db8::7 ::1 51234 6432\r\n",
    b"PROXY TCP6 192.0.2.7 10.0.0.1 51234 6432\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 51234 6432\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 6432\r\n",
    b"PROXY UDP4 192.0.2.7 10.0.0.1 51234 6432\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY " + b"x" * 200,
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"GET / HTTP/1.1\r\n",
    v2(0x11, 0x11, addresses("192.0.2.7", "10.0.0.1", 51234)),
    v2(0x22, 0x11, addresses("192.0.2.7", "10.0.0.1", 51234)),
    v2(0x21, 0x11, addresses("192.0.2.7", "10.0.0.1", 51234)[:-1]),
    v2(0x21, 0x21, addresses("192.0.2.7", "10.0.0.1", 51234)),
    SIGNATURE + b"\x21\x11\xff\xff",
    v2(0x21, 0x11, BODY + b"\x04"),
    v2(0x21, 0x11, BODY + b"\x04\0\x05four"),
    v2(0x21, 0x11, BODY + b"\x03\0\0"),
    signed(BODY, spoilt=1),
    signed(BODY).replace(b"\xc0\0\x02\x07", b"\xc0\0\x02\x08"),
]


@pytest.mark.parametrize(("header", "address", "port"), GOOD)
def test_a_header_is_read_once_it_is_whole(header: bytes, address: str, port: int) -> None:
    for end in range(len(header)):
        assert decode_proxy_header(header[:end]) is None
    assert decode_proxy_header(header + b"rest") == ProxyHeader(address, port, len(header))


@pytest.mark.parametrize("header", BAD)
def test_anything_else_is_refused(header: bytes) -> None:
    with pytest.raises(ClientError, match="PROXY protocol"):
        decode_proxy_header(header)


def test_the_checksum_is_the_one_that_is_meant() -> None:
    """RFC 3720, B.4: what SCSI calls the CRC of 32 zero bytes, and of the numbers from 0 to 31."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda tail: SIGNATURE + tail)))
def test_any_bytes_are_a_header_wait_for_more_or_are_refused(data: bytes) -> None:
    try:
        found = decode_proxy_header(data)
    except ClientError:
        return
    assert found is None or 0 < found.size <= len(data)
