"""Messages of ours in the midst of a client's batch: statements that run before one of the client's.

They are of the extended protocol, under names that nobody else uses, and none of them is a Sync: so they run in the
order in which they stand, in the transaction of what stands around them, and an error skips what follows up to the
client's own Sync. What the server answers to them is not shown; an error is.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.session.notes import Note, Noted
from interceptor.session.positions import Rewriting
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession

__all__ = ["PASSING_NAME", "close_passing", "close_portal", "execute_prelude", "nowhere", "parse_passing", "prelude"]

PASSING_NAME: Final = b"_" + secrets.token_hex(8).encode()
"""Of statements and portals that are closed at once. Drawn anew by each process: nobody can use it by accident."""

_OWED: Final = int(Request.PRELUDE)

_CLOSE_STATEMENT: Final = messages.encode_message(messages.CLOSE, b"S" + PASSING_NAME + b"\0")
_CLOSE_PORTAL: Final = messages.encode_message(messages.CLOSE, b"P" + PASSING_NAME + b"\0")
_BIND: Final = messages.encode_message(messages.BIND, PASSING_NAME + b"\0" + PASSING_NAME + bytes(7))
_EXECUTE: Final = messages.encode_message(messages.EXECUTE, PASSING_NAME + bytes(5))


def nowhere(sql: bytes) -> Note:
    """Of a text that the client knows nothing of: no place in it means anything to it."""
    return Note(rewriting=Rewriting(b"", sql))


def parse_passing(backend: BackendSession, body: bytes, note: Note) -> bytes:
    """What prepares a statement under ``PASSING_NAME``. The first Close is for one that an error left behind.

    ``body``: the text, its zero, the parameter types.
    """
    backend.owed += (_OWED, Noted(_OWED, note))
    return _CLOSE_STATEMENT + messages.encode_message(messages.PARSE, PASSING_NAME + b"\0" + body)


def close_passing(backend: BackendSession) -> bytes:
    """What takes it away again. A portal outlives its statement (postgres.c, exec_execute_message)."""
    backend.owed.append(_OWED)
    return _CLOSE_STATEMENT


def prelude(backend: BackendSession, sql: bytes) -> bytes:
    """What runs a statement of ours. It must be exactly one, and must not begin or end a transaction."""
    return execute_prelude(backend, sql, Noted(_OWED, nowhere(sql))) + close_portal(backend)


def execute_prelude(backend: BackendSession, sql: bytes, execution: int) -> bytes:
    """As ``prelude``, up to its execution, for which ``execution`` is owed; ``close_portal`` is to follow."""
    note = nowhere(sql)
    out = parse_passing(backend, sql + bytes(3), note)
    backend.owed += (_OWED, Noted(_OWED, note), execution)
    return out + _CLOSE_PORTAL + _BIND + _EXECUTE


def close_portal(backend: BackendSession) -> bytes:
    """What takes a portal of ours away, and its statement."""
    backend.owed += (_OWED, _OWED)
    return _CLOSE_PORTAL + _CLOSE_STATEMENT
