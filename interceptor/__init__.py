"""What a PostgreSQL query is and what may be done to it: bytes and SQL in, decisions out.

Plugins import from here and never from ``pooler``, the server. What is not in ``__all__`` of this module, or documented
under docs/reference/, may change at any time.
"""

from __future__ import annotations

from interceptor.errors import BackendError, ClientError, ConfigError, InterceptorError, ProtocolViolation

__all__ = [
    "BackendError",
    "ClientError",
    "ConfigError",
    "InterceptorError",
    "ProtocolViolation",
    "__version__",
]

# pyproject.toml says the same, and a test compares. To read installed metadata would cost every start 5 ms.
__version__ = "0.1.0"
