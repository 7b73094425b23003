"""Certificates and keys for tests, made when they are asked for: nothing in the repository ever expires."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Identity", "debian_postgres"]

_DAY = datetime.timedelta(days=1)


def debian_postgres() -> Path:
    """The folder of programs of the newest PostgreSQL of Debian's that is installed. Raises FileNotFoundError."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise FileNotFoundError("/usr/lib/postgresql/*/bin/postgres")
    return found[-1].parent


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write them as ``name.crt`` and ``name.key``; libpq wants keys that nobody else can read."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_bytes(self.certificate)
        paths[1].touch(0o600)
        paths[1].write_bytes(self.key)
        return paths


class Authority:
    """Signs certificates. ``certificate`` is its own."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    @cached_property
    def certificate(self) -> bytes:
        """In PEM."""
        builder = self._builder(self._name, self._key, days=2)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        common_name: str | x509.Name,
        *,
        hosts: Sequence[str] = (),
        organization: str = "",
        days: float = 1,
        algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
        with_rsa: bool = False,
    ) -> Identity:
        """A certificate for a server (``hosts``: names and addresses) or a client, of this common name or subject.

        ``days`` below 0: it has expired.
        """
        key: CertificateIssuerPrivateKeyTypes
        key = rsa.generate_private_key(65537, 2048) if with_rsa else ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
        subject = common_name
        if isinstance(subject, str):
            subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        builder = self._builder(subject, key, days)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False
            )
        certificate = builder.sign(self._key, algorithm or hashes.SHA256())
        return Identity(
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _builder(
        self, subject: x509.Name, key: CertificateIssuerPrivateKeyTypes, days: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        start = now - _DAY if days > 0 else now - 10 * _DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(now + days * _DAY)
        )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
