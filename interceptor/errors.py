"""Everything that can go wrong, and what people are told about it.

::

    InterceptorError
     ├── ClientError        reaches a client as an ErrorResponse
     │    └── ProtocolViolation   the peer broke the wire protocol
     ├── BackendError       a PostgreSQL server refused, hung up, or made no sense
     └── ConfigError        a config file or a user file is wrong: file, line, key

Each kind of failure has a stable code (``Failure.code``), which appears in the text sent to people, in logs and in
docs/reference/errors.md, and the SQLSTATE that PostgreSQL would use for the nearest case of its own.
An error of our own making is an AssertionError and never one of these.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FAILURES",
    "BackendError",
    "ClientError",
    "ConfigError",
    "Failure",
    "InterceptorError",
    "ProtocolViolation",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure: its stable code, and the SQLSTATE that goes with it on the wire."""

    code: str
    sqlstate: str


FAILURES: dict[str, Failure] = {}


def _failure(code: str, sqlstate: str) -> Failure:
    assert code not in FAILURES, code
    failure = FAILURES[code] = Failure(code, sqlstate)
    return failure


# SQLSTATEs are those of PostgreSQL's errcodes.txt. Where PostgreSQL has the same failure, its own code is taken.
PROTOCOL_VIOLATION = _failure("protocol_violation", "08P01")
MESSAGE_TOO_LARGE = _failure("message_too_large", "54000")
UNSUPPORTED_PROTOCOL = _failure("unsupported_protocol", "0A000")
REPLICATION_REFUSED = _failure("replication_refused", "0A000")
STARTUP_PARAMETER = _failure("startup_parameter", "22023")

UNKNOWN_DATABASE = _failure("unknown_database", "3D000")
AUTH_FAILED = _failure("auth_failed", "28P01")
LOGIN_REFUSED = _failure("login_refused", "28000")
LOGIN_TIMEOUT = _failure("client_login_timeout", "08006")
TLS_REQUIRED = _failure("tls_required", "28000")
PROXY_HEADER = _failure("proxy_header", "08P01")
HBA_REJECTED = _failure("hba_rejected", "28000")
AUTH_QUERY = _failure("auth_query_failed", "58000")
BANNED = _failure("banned", "28000")

TOO_MANY_CLIENTS = _failure("too_many_clients", "53300")
QUERY_WAIT_TIMEOUT = _failure("query_wait_timeout", "53300")
QUERY_TIMEOUT = _failure("query_timeout", "57014")
QUERY_CANCELED = _failure("query_canceled", "57014")
CLIENT_IDLE_TIMEOUT = _failure("client_idle_timeout", "57P05")
IDLE_TRANSACTION_TIMEOUT = _failure("idle_transaction_timeout", "25P03")
TRANSACTION_TIMEOUT = _failure("transaction_timeout", "25P04")
STATEMENT_POOLING = _failure("statement_pooling_transaction", "0A000")
SETTINGS_LOST = _failure("settings_lost", "08006")
TOO_MANY_PINNED = _failure("too_many_pinned", "53300")
PIN_TIMEOUT = _failure("pin_timeout", "57P05")
LISTEN_FAILED = _failure("listen_failed", "58000")
NOTIFICATIONS_UNREAD = _failure("notifications_unread", "53400")
NOTIFICATIONS_MISSED = _failure("notifications_missed", "01000")
DEFINITION_REFUSED = _failure("definition_refused", "55P03")
NOT_JUDGED = _failure("not_judged", "54000")
TOO_MANY_STATEMENTS = _failure("too_many_statements", "53400")
SHUTTING_DOWN = _failure("shutting_down", "57P01")

DATABASE_DISABLED = _failure("database_disabled", "55000")
CONFIGURATION_CHANGED = _failure("configuration_changed", "57P01")
KILLED = _failure("killed", "57P01")
CONSOLE_SYNTAX = _failure("console_syntax", "42601")
CONSOLE_REFUSED = _failure("console_refused", "42501")
CONSOLE_FAILED = _failure("console_failed", "55000")
RELOAD_FAILED = _failure("reload_failed", "F0000")

PLUGIN_FAILED = _failure("plugin_failed", "58000")
SESSION_REFUSED = _failure("session_refused", "28000")
ROUTE_REFUSED = _failure("route_refused", "58000")
REWRITE_REFUSED = _failure("rewrite_refused", "0A000")
SETTINGS_REFUSED = _failure("settings_refused", "0A000")
RESULT_LIMIT = _failure("result_limit", "54000")

BACKEND_CONNECT = _failure("backend_connect_failed", "08001")
BACKEND_TLS = _failure("backend_tls_failed", "08001")
BACKEND_LOGIN = _failure("backend_login_failed", "08004")
BACKEND_LOST = _failure("backend_lost", "08006")
BACKEND_PROTOCOL = _failure("backend_protocol", "08P01")
HELPER_QUERY = _failure("helper_query_failed", "58000")
HELPER_TIMEOUT = _failure("helper_timeout", "57014")


class InterceptorError(Exception):
    """The base of all failures that are not bugs."""


class ClientError(InterceptorError):
    """A failure that a client is told about.

    ``fatal`` means that the client's connection ends with it. The text is a sentence that says what happened and
    why; ``hint`` says what to do. Neither holds a secret.
    """

    def __init__(self, failure: Failure, message: str, *, detail: str = "", hint: str = "", fatal: bool = True) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.detail = detail
        self.hint = hint
        self.fatal = fatal


class ProtocolViolation(ClientError):
    """The peer sent bytes that the wire protocol does not allow."""

    def __init__(
        self, message: str, *, failure: Failure = PROTOCOL_VIOLATION, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(failure, message, detail=detail, hint=hint)


class BackendError(InterceptorError):
    """A PostgreSQL server could not be reached, refused us, or broke the protocol.

    ``sqlstate`` is the server's own code where it gave one.
    """

    def __init__(self, failure: Failure, message: str, *, sqlstate: str = "", detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.sqlstate = sqlstate or failure.sqlstate
        self.detail = detail
        self.hint = hint


class ConfigError(InterceptorError):
    """A file that people write is wrong: the text names the file, the line (0: unknown), the key, what was expected."""

    def __init__(self, file: str, line: int, key: str, message: str) -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(f"{where}: {key}: {message}" if key else f"{where}: {message}")
        self.file = file
        self.line = line
        self.key = key
        self.message = message
