"""Whom a client's certificate names."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

__all__ = ["PeerCertificate", "peer_certificate"]

# The short names of RFC 4514, by the long ones of OpenSSL.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "street",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "SN",
    "givenName": "GN",
}


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a certificate that was checked says of who has it."""

    subject: str
    """Its distinguished name as in RFC 2253 and in PostgreSQL's pg_stat_ssl order: ``CN=alice,OU=sales,O=shop``."""
    common_name: str
    """The last one, if there are several; "" for none, and for one that holds a zero byte."""


def peer_certificate(connection: ssl.SSLObject) -> PeerCertificate | None:
    """The peer's certificate; None if it has shown none, or if none was asked for."""
    found = connection.getpeercert()
    if not found:
        return None
    parts: list[str] = []
    common_name = ""
    subject = found.get("subject", ())
    assert isinstance(subject, tuple)
    for relative in subject:
        assert isinstance(relative, tuple)
        pairs = [(str(pair[0]), str(pair[1])) for pair in relative]
        parts.append("+".join(f"{_SHORT.get(name, name)}={_escape(value)}" for name, value in pairs))
        for name, value in pairs:
            if name == "commonName":
                # As PostgreSQL: "alice\0.example" must not be taken for alice.
                common_name = "" if "\0" in value else value
    return PeerCertificate(",".join(reversed(parts)), common_name)


def _escape(value: str) -> str:
    escaped = "".join(f"\\{character}" if character in ',+"\\<>;' else character for character in value)
    if escaped[:1] in (" ", "#"):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(value) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped.replace("\0", "\\00")
