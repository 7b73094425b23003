"""Whom a certificate names: its distinguished name in PostgreSQL's form, and the common name that logs in."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pooler.tls.certificate import PeerCertificate, peer_certificate
from tests.support.certificates import Authority


def seen(folder: Path, authority: Authority, subject: x509.Name | None) -> PeerCertificate | None:
    """What a server sees of a client with a certificate of this subject, or without any."""
    (folder / "ca.crt").write_bytes(authority.certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("localhost", hosts=["localhost"]).write(folder, "server"))
    server.load_verify_locations(folder / "ca.crt")
    server.verify_mode = ssl.CERT_OPTIONAL
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    if subject is not None:
        client.load_cert_chain(*authority.issue(subject).write(folder, "client"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return peer_certificate(ends[1])


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


CN, ORG, UNIT = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (name((ORG, "shop"), (UNIT, "sales"), (CN, "alice")), PeerCertificate("CN=alice,OU=sales,O=shop", "alice")),
        (name((ORG, "shop, inc"), (CN, 'a"b')), PeerCertificate('CN=a\\"b,O=shop\\, inc', 'a"b')),
        (name((CN, "alice"), (CN, "bob")), PeerCertificate("CN=bob,CN=alice", "bob")),
        (name((ORG, "shop")), PeerCertificate("O=shop", "")),
        # CVE-2009-4034: an authority signs it for the owner of evil.example, and a name would end at the zero byte.
        (name((CN, "alice\0.evil.example")), PeerCertificate("CN=alice\\00.evil.example", "")),
        (name((CN, "alice,O=shop")), PeerCertificate("CN=alice\\,O=shop", "alice,O=shop")),
        (None, None),
    ],
    ids=["plain", "escaped", "two names", "no name", "zero byte", "forged", "none"],
)
def test_whom_a_certificate_names(tmp_path: Path, subject: x509.Name | None, expected: PeerCertificate | None) -> None:
    assert seen(tmp_path, Authority(), subject) == expected
