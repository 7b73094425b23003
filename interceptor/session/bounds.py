"""How long the messages of a client may be, and which are collected before they are acted on."""

from __future__ import annotations

from typing import Final

from interceptor.errors import ProtocolViolation
from interceptor.protocol import messages

WHOLE_MESSAGE: Final = 64 * 1024
"""Bytes up to which a message is collected before it is acted on; a longer one streams through in pieces.
SQL that is longer is not analysed, so in transaction mode its backend is asked what it did."""

MAX_MESSAGE: Final = 0x3FFFFFFE
MAX_SMALL_MESSAGE: Final = 10_000
"""PostgreSQL's PQ_LARGE_MESSAGE_LIMIT and PQ_SMALL_MESSAGE_LIMIT (libpq.h), in bytes."""

MAX_JUDGED: Final = 2 * 1024 * 1024
"""Bytes up to which a message is collected where plugins decide about statements: they have to see it whole."""

MAX_OWED: Final = 10_000
"""Requests that a pipeline may run ahead of their answers; beyond them the client's messages wait."""

LARGE_KINDS: Final = frozenset(b"QPBFd")
SMALL_KINDS: Final = frozenset(b"CDEHSXcf")


def must_wait(kind: int, length: int, present: int, whole: int = WHOLE_MESSAGE) -> bool:
    """Whether to wait for more of an incomplete message, of which ``present`` bytes are there, up to ``whole`` of them.

    Raises ProtocolViolation for one that can't be right.
    """
    if kind in SMALL_KINDS:
        if not 4 <= length <= MAX_SMALL_MESSAGE:
            raise ProtocolViolation("invalid message length")
        return True
    if kind not in LARGE_KINDS:
        raise ProtocolViolation(f"invalid frontend message type {kind}")
    if not 4 <= length <= MAX_MESSAGE:
        raise ProtocolViolation("invalid message length")
    return present < min(length + 1, whole) and kind != messages.COPY_DATA
