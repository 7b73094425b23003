"""tls-server-end-point against the library that makes our certificates, for every hash; and any bytes."""

from __future__ import annotations

import hashlib
import ssl

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from pooler.tls import server_end_point
from tests.support.certificates import Authority


def der(algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Authority().issue("localhost", algorithm=algorithm).certificate.decode())


@pytest.mark.parametrize(
    ("algorithm", "name"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")]
)
def test_the_hash_is_that_of_the_certificate_s_signature(
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512, name: str
) -> None:
    certificate = der(algorithm)
    assert server_end_point(certificate) == hashlib.new(name, certificate).digest()


@pytest.mark.parametrize(
    ("oid", "parameters", "name"),
    [
        ("06092a864886f70d010104", "0500", "sha256"),  # MD5, for which SHA-256 stands in
        ("06092a864886f70d010105", "0500", "sha256"),  # SHA-1, likewise
        ("06092a864886f70d01010b", "0500", "sha256"),
        ("06092a864886f70d01010d", "0500", "sha512"),
        ("06092a864886f70d01010a", "3000", "sha256"),  # RSASSA-PSS, by default with SHA-1
        ("06092a864886f70d01010a", "300fa00d300b0609608648016503040202", "sha384"),
        ("06032b6570", "", None),  # Ed25519
    ],
)
def test_algorithms_that_few_use(oid: str, parameters: str, name: str | None) -> None:
    algorithm = bytes.fromhex(oid + parameters)
    certificate = sequence(sequence(b"to be signed") + sequence(algorithm) + b"\x03\x01\0")
    expected = None if name is None else hashlib.new(name, certificate).digest()
    assert server_end_point(certificate) == expected


def sequence(content: bytes) -> bytes:
    return b"\x30" + bytes([len(content)]) + content


@given(st.one_of(st.binary(max_size=60), st.integers(0, 200)))
def test_any_bytes_give_a_hash_or_none(data: bytes | int) -> None:
    found = server_end_point(data if isinstance(data, bytes) else CERTIFICATE[:data])
    assert found is None or len(found) in (28, 32, 48, 64)


CERTIFICATE = der(hashes.SHA256())
