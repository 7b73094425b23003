"""The channel binding tls-server-end-point: a hash of the server's certificate (RFC 5929, section 4).

The hash function is that of the certificate's own signature, with SHA-256 in place of MD5 and SHA-1. Only this name is
needed of the certificate, so its outer three elements are read here (RFC 5280, 4.1) and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["server_end_point"]

_SEQUENCE: Final = 0x30
_OID: Final = 0x06
_EXPLICIT_0: Final = 0xA0

_RSA: Final = bytes.fromhex("2a864886f70d0101")
_ECDSA_SHA2: Final = bytes.fromhex("2a8648ce3d0403")
_PSS: Final = _RSA + b"\x0a"

# The object identifiers of RFC 4055, RFC 5758 and RFC 8017.
_HASHES: Final = {
    _RSA + b"\x04": "sha256",  # md5WithRSAEncryption
    _RSA + b"\x05": "sha256",  # sha1WithRSAEncryption
    _RSA + b"\x0b": "sha256",
    _RSA + b"\x0c": "sha384",
    _RSA + b"\x0d": "sha512",
    _RSA + b"\x0e": "sha224",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ecdsa-with-SHA1
    _ECDSA_SHA2 + b"\x01": "sha224",
    _ECDSA_SHA2 + b"\x02": "sha256",
    _ECDSA_SHA2 + b"\x03": "sha384",
    _ECDSA_SHA2 + b"\x04": "sha512",
}
_PSS_HASHES: Final = {
    bytes.fromhex("2b0e03021a"): "sha256",  # SHA-1
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
    bytes.fromhex("608648016503040204"): "sha224",
}


def server_end_point(certificate: bytes) -> bytes | None:
    """The channel-binding data of a server's certificate in DER; None if its signature has no hash function of its own
    (Ed25519), for which RFC 5929 defines none."""
    try:
        name = _hash_name(certificate)
    except (IndexError, ValueError):
        return None
    return None if name is None else hashlib.new(name, certificate).digest()


def _hash_name(certificate: bytes) -> str | None:
    content, _ = _element(certificate, 0, _SEQUENCE)
    _signed, end = _element(content, 0, _SEQUENCE)
    algorithm, _ = _element(content, end, _SEQUENCE)
    oid, end = _element(algorithm, 0, _OID)
    if oid != _PSS:
        return _HASHES.get(oid)
    parameters, _ = _element(algorithm, end, _SEQUENCE)
    if not parameters or parameters[0] != _EXPLICIT_0:
        return "sha256"  # SHA-1 is the default
    hash_algorithm, _ = _element(_element(parameters, 0, _EXPLICIT_0)[0], 0, _SEQUENCE)
    return _PSS_HASHES.get(_element(hash_algorithm, 0, _OID)[0])


def _element(data: bytes, position: int, tag: int) -> tuple[bytes, int]:
    """The content of the element at this place, and where the next begins. Raises ValueError, IndexError."""
    if data[position] != tag:
        raise ValueError("another element was expected")
    length = data[position + 1]
    start = position + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    end = start + length
    if end > len(data):
        raise ValueError("cut short")
    return data[start:end], end
