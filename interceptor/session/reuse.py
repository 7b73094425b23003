"""``reuse_unnamed_statements``: an unnamed Parse of a text that is known runs as a statement that the backend has.

The backend is sent no Parse at all, and saves reading and planning the text. PostgreSQL would have answered a Parse
before it looks at the Bind, so ParseComplete is given when the answer to what follows shows that the statement is good.
Off by default: PostgreSQL plans an unnamed statement for its values, and a named one, after five runs, perhaps no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.prepared import provide
from interceptor.session.splice import Splice
from interceptor.session.statements import renamed
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

MAX_REUSED: Final = 8 * 1024
"""Bytes of text and parameter types. A longer one is not likely to come again."""

_REUSED_BIND: Final = int(Request.REUSED_BIND)
_REUSED_DESCRIBE: Final = int(Request.REUSED_DESCRIBE)


def reuse_parse(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
    """Leave out an unnamed Parse, if its text is known and what follows it is here and uses it.

    The Bind or Describe behind it goes to ``use_reused``. None: the Parse goes as it came.
    """
    named = session.named
    if named is None or not backend.reusable or session.belongings.deviates or end - position > MAX_REUSED:
        return None
    if not _is_used_at(data, end):
        return None
    prepared = named.registry.known_unnamed(data[position + 6 : end], session.meaning, session.effects_of)
    if prepared is None:
        return None
    session.reused = prepared
    session.reused_parse = data[position:end]
    backend.unnamed_in_batch = True
    backend.unnamed_ready = False
    return b"", end


def _is_used_at(data: bytes, position: int) -> bool:
    """Whether the next message is a Bind or a Describe of the unnamed statement."""
    if len(data) - position < 7:
        return False
    kind, length = unpack_header(data, position)
    end = position + 1 + length
    if end > len(data):
        return False
    if kind == messages.BIND:
        portal_end = data.find(0, position + 5, end)
        return portal_end >= 0 and data[portal_end + 1 : portal_end + 2] == b"\0"
    return kind == messages.DESCRIBE and data[position + 5 : position + 7] == b"S\0"


def use_reused(
    session: ClientSession, backend: BackendSession, data: bytes, position: int, name_at: int, name_end: int
) -> Splice:
    """Put the name of the reused statement into a Bind or Describe of the unnamed one, and note what is owed."""
    prepared = session.reused
    assert prepared is not None
    first = bool(session.reused_parse)
    if first and data.endswith(messages.SYNC_MESSAGE) and session.retry is None:
        # Its Parse has to be seen again as well.
        session.retry = (session.reused_parse + data[position:], 0, prepared)
    before = provide(backend, prepared)
    describes = data[position] == messages.DESCRIBE
    if first:
        backend.owed.append(_REUSED_DESCRIBE if describes else _REUSED_BIND)
        backend.parses.append(session.reused_parse)
        session.reused_parse = b""
    else:
        backend.owed.append(Request.DESCRIBE_STATEMENT if describes else Request.BIND)
    return before + renamed(data, position, name_at, name_end, prepared.name), name_end
