"""What a text of SQL may do to the session that runs it, and whether its client must keep its backend for that.

The vocabulary that ``interceptor.sql.analysis`` answers in. docs/design/session-effects.md holds the reasons for each
judgement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["EMPTY", "NONE", "OPAQUE", "PinReason", "SessionEffects", "shared_effects"]


class PinReason(Enum):
    """Why a client must keep the backend that ran its statement; the value goes on after "because"."""

    SETTING = "it changed a setting, the role or the random seed of its session"
    PREPARED_STATEMENT = "it used SQL's PREPARE or EXECUTE"
    TEMPORARY_OBJECT = "it made something temporary"
    HOLD_CURSOR = "it declared a cursor WITH HOLD"
    ADVISORY_LOCK = "it asked for an advisory lock of its session"
    LISTEN = "it listens for notifications"
    SEQUENCE_VALUE = "it used a sequence, whose last value its session remembers"
    LIBRARY = "it loaded a library"
    SESSION_RESOURCE = "it began a backup, a replication slot or a replication origin that ends with its session"
    OPAQUE = "it ran something whose effect on its session can't be told from the text"
    # Last, because every other reason outweighs it.
    RESET = "it returned its session to the state after login"


@dataclass(frozen=True, slots=True)
class SessionEffects:
    """What one Query or Parse may do to its session. Shared between texts: compare with ``==``, never change.

    ``pin``: the gravest reason why the client must keep its backend, or None. With ``PinReason.RESET`` nothing was
    added to the session: what the proxy itself had set up on the backend for this client (startup parameters, prepared
    statements) may be gone. A caller that sets it up again need not pin; one that pins makes no mistake.

    ``statement_count``: how many statements the text has; 0 for an empty text, and -1 where it could not be told.

    ``transaction_control``: it has BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION or one of their kin; also
    True where that could not be told.

    ``reads_sequence``: it asks for ``currval()`` or ``lastval()``, which answer from the state of the backend. A
    backend that served others holds their values (an INSERT into a table with a serial column leaves one without a
    word in its text), so the caller runs ``DISCARD SEQUENCES`` there before it hands the backend to this statement,
    unless this client was pinned to the backend already. Also True where it could not be told.
    """

    pin: PinReason | None
    statement_count: int
    transaction_control: bool = False
    reads_sequence: bool = False


_SHARED_COUNT = 16
_shared: dict[tuple[PinReason | None, int, bool, bool], SessionEffects] = {}


def shared_effects(
    pin: PinReason | None, statement_count: int, transaction_control: bool = False, reads_sequence: bool = False
) -> SessionEffects:
    """Return the effects with these fields: always the same object for texts of up to 16 statements."""
    key = (pin, statement_count, transaction_control, reads_sequence)
    found = _shared.get(key)
    if found is None:
        found = SessionEffects(pin, statement_count, transaction_control, reads_sequence)
        if statement_count <= _SHARED_COUNT:  # or a client could fill the table, one length of text after another
            _shared[key] = found
    return found


NONE = shared_effects(None, 1)
"""One statement that leaves its session as it was."""

EMPTY = shared_effects(None, 0)
"""No statement at all: PostgreSQL answers EmptyQueryResponse."""

OPAQUE = shared_effects(PinReason.OPAQUE, -1, True, True)
"""Nothing is known of the text. Also right for a FunctionCall message."""
