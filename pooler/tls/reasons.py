"""What OpenSSL says, in words."""

from __future__ import annotations

import ssl
from typing import Final

__all__ = ["explain"]

_WORDS: Final = {
    "http request": "the peer speaks HTTP",
    "unknown protocol": "the peer does not speak TLS",
    "wrong version number": "the peer does not speak TLS",
    "peer did not return a certificate": "the peer has shown no certificate, and one is needed",
    "tlsv13 alert certificate required": "the peer wants a certificate of us",
}


def explain(error: ssl.SSLError) -> str:
    """An error of OpenSSL's in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not accepted: {error.verify_message}"
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return _WORDS.get(reason, reason)
