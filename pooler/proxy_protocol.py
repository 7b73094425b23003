"""The PROXY protocol, versions 1 and 2: a load balancer says whose connection it passes on.

Source: HAProxy's proxy-protocol.txt. The header is the first thing on the connection, before TLS and all else.

::

    version 1   PROXY TCP4 192.0.2.7 10.0.0.1 51234 6432\\r\\n                         at most 107 bytes
    version 2   signature (12 bytes), version and command, family, length (2 bytes), addresses, further fields
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from interceptor.errors import PROXY_HEADER, ClientError

__all__ = ["ProxyHeader", "decode_proxy_header"]

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_MOST_V1: Final = 107
_MOST_V2: Final = 4096
"""Bytes behind the first 16. Addresses of Unix sockets have 216, and balancers add little to them."""

_V1: Final = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
_UNKNOWN: Final = b"PROXY UNKNOWN"

_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}
"""By family: TCP over IPv4, TCP over IPv6."""

_CRC32C: Final = 0x03
"""The type of the field that holds a checksum of the whole header, as balancers of some clouds send it."""
_CRC32C_BYTES: Final = 4
_POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli's, its lowest bit first."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Whose connection it is. ``address`` is "" where the balancer speaks for itself, as for a check of its own."""

    address: str
    port: int
    size: int
    """Bytes of the header."""


def decode_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the front of ``data``; None until more has come. Raises ClientError for anything else."""
    if data.startswith(_SIGNATURE[: len(data)]):
        return _decode_v2(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _decode_v1(data)
    raise _malformed("it does not begin with one")


def _decode_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _MOST_V1)
    if end < 0:
        if len(data) >= _MOST_V1:
            raise _malformed(f"its line is longer than {_MOST_V1} bytes")
        return None
    line = data[: end + 1]
    if (
        line.startswith(_UNKNOWN)
        and line.endswith(b"\r\n")
        and line[len(_UNKNOWN) : len(_UNKNOWN) + 1] in (b" ", b"\r")
    ):
        return ProxyHeader("", 0, len(line))
    found = _V1.fullmatch(line)
    if found is None:
        raise _malformed("its line is not of the form PROXY TCP4 <address> <address> <port> <port>")
    wanted = ipaddress.IPv4Address if found[1] == b"TCP4" else ipaddress.IPv6Address
    try:
        source = wanted(found[2].decode())
        wanted(found[3].decode())
    except ValueError:
        raise _malformed("its addresses are none") from None
    if int(found[4]) > 65535 or int(found[5]) > 65535:
        raise _malformed("its ports are none")
    return ProxyHeader(_text(source), int(found[4]), len(line))


def _decode_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise _malformed("its version or command is unknown")
    if length > _MOST_V2:
        raise _malformed(f"it is longer than {_MOST_V2} bytes")
    size = 16 + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return ProxyHeader("", 0, size)
    width = _ADDRESS_BYTES.get(family)
    if width is None:
        # Unspecified, a Unix socket or a datagram: the specification has the real address taken then.
        return ProxyHeader("", 0, size)
    if length < 2 * width + 4:
        raise _malformed("its addresses are cut short")
    _check_fields(data[:size], 16 + 2 * width + 4)
    source = ipaddress.ip_address(data[16 : 16 + width])
    port = int.from_bytes(data[16 + 2 * width : 18 + 2 * width], "big")
    return ProxyHeader(_text(source), port, size)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An address as one of a client that came by itself: IPv4 within IPv6 is IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _check_fields(header: bytes, position: int) -> None:
    """Walk over what follows the addresses. Raises ClientError if it is cut short, or its checksum is wrong."""
    while position < len(header):
        start = position + 3
        length = int.from_bytes(header[position + 1 : start], "big")
        end = start + length
        if end > len(header):
            raise _malformed("a field behind its addresses is cut short")
        if header[position] == _CRC32C:
            unsigned = header[:start] + bytes(length) + header[end:]
            if length != _CRC32C_BYTES or int.from_bytes(header[start:end], "big") != _crc32c(unsigned):
                raise _malformed("its checksum is wrong")
        position = end


def _crc32c(data: bytes) -> int:
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = _CRC_TABLE[(remainder ^ byte) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(map(_crc_of_byte, range(256)))


def _malformed(why: str) -> ClientError:
    return ClientError(
        PROXY_HEADER,
        f"a connection from this address has to begin with a header of the PROXY protocol, and {why}",
        hint="Let the load balancer send the header, or take its address out of proxy_protocol_from.",
    )
