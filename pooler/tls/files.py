"""Certificates and keys as files, and what is wrong with them: which file, which line, and why."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

__all__ = ["TlsProblem", "certificate_of", "load_authorities", "load_own_certificate"]

_BEGIN: Final = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.MULTILINE)
_MOST_BYTES: Final = 16 * 1024 * 1024

_KEYS: Final = frozenset([b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"])


class TlsProblem(Exception):
    """A setting of TLS can't be obeyed. ``part`` is which one: ``ca_file``, ``cert_file``, ``key_file``, ``protocols``,
    ``ciphers`` or ``sslmode``; the text names the file and the line."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part
        self.message = message


def load_authorities(context: ssl.SSLContext, path: Path) -> None:
    """Trust the certificates of this file, and no others. Raises TlsProblem."""
    text = _read("ca_file", path)
    _check_certificates("ca_file", path, text)
    context.load_verify_locations(cadata=text.decode("latin-1"))


def load_own_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    """Show this certificate, with those behind it in the file, and sign with this key. Raises TlsProblem."""
    _check_certificates("cert_file", cert_file, _read("cert_file", cert_file))
    _check_key(key_file, _read("key_file", key_file))
    try:
        # A passphrase would be asked for at the terminal, unless one is given.
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsProblem("key_file", f"the key in {key_file} is not that of {cert_file}") from None
        reason = (error.reason or "it makes no sense").lower().replace("_", " ")
        part = "cert_file" if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK") else "key_file"
        path = cert_file if part == "cert_file" else key_file
        raise TlsProblem(part, f"{path} can't be used: {reason}") from None
    except (OSError, ValueError) as error:
        raise TlsProblem("key_file", f"{key_file} can't be used: {error}") from None


def certificate_of(path: Path) -> bytes:
    """The first certificate of a file, in DER. The caller has loaded the file before, so it is there."""
    text = path.read_text("latin-1")
    start = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", start)
    return ssl.PEM_cert_to_DER_cert(text[start:end] + "-----END CERTIFICATE-----\n")


def _read(part: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TlsProblem(part, f"{path} can't be read: {error.strerror}") from None
    if len(text) > _MOST_BYTES:
        raise TlsProblem(part, f"{path} is larger than {_MOST_BYTES} bytes")
    return text


def _check_certificates(part: str, path: Path, text: bytes) -> None:
    found = False
    for begin in _BEGIN.finditer(text):
        if begin[1] != b"CERTIFICATE":
            continue
        found = True
        line = text.count(b"\n", 0, begin.start()) + 1
        end = text.find(b"-----END CERTIFICATE-----", begin.end())
        if end < 0:
            raise TlsProblem(part, f"{path}:{line}: the certificate that begins here has no end")
        block = text[begin.start() : end] + b"-----END CERTIFICATE-----\n"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block.decode("latin-1"))
        except (ssl.SSLError, ValueError):
            raise TlsProblem(part, f"{path}:{line}: the certificate that begins here can't be read") from None
    if not found:
        raise TlsProblem(part, f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")


def _check_key(path: Path, text: bytes) -> None:
    for begin in _BEGIN.finditer(text):
        if begin[1] in _KEYS:
            line = text.count(b"\n", 0, begin.start()) + 1
            if b"ENCRYPTED" in text[begin.start() : begin.end() + 80]:
                raise TlsProblem(
                    "key_file",
                    f"{path}:{line}: the key is encrypted, and nobody is there to type its passphrase: "
                    "store it without one, readable by the proxy's user alone",
                )
            return
    raise TlsProblem("key_file", f"{path} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
